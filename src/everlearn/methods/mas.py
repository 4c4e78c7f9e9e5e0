"""Memory aware synapses: weights that the answers are sensitive to are held."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Literal

import torch
from torch import Tensor

from everlearn.errors import SettingError
from everlearn.methods.base import Method, State, Step, at_least
from everlearn.methods.ewc import sampled
from everlearn.methods.per_example import mean_gradients, summed
from everlearn.methods.tensors import pull, tensors_of
from everlearn.models.weights import TrainedModel
from everlearn.types import Batch, Row


class MAS(Method):
    """Hold weights by how much they move the outputs: strength * sum_i Omega_i (theta_i - theta*_i)^2.

    Omega_i is the mean over examples of |d ||z||^2 / d theta_i|, ||z||^2 the squared norm of the logits, summed over an example's learned
    positions; theta* is where the experience started, and Omega <- decay Omega + Omega_t. Aljundi et al. 2018, arXiv:1711.09601. No label is
    asked: what the model would say is held, right or wrong. Differs: an example has many outputs, one at each learned position.

    sensitivity: "rows", or "batched" (of means of 16 examples, where opposite signs cancel; what others compute, cheaper, to compare).
    strength: lambda in the paper, >= 0; 0 is exactly plain training.   samples: examples the sensitivity is measured on, >= 1.
    decay: weight of the old Omega at each new experience, in [0, 1].   normalise: scale each tensor's Omega_t to mean 1, so that a strength
    means the same for all models.

    >>> MAS(strength=1, samples=64).samples
    64
    """

    neutral = {"strength": 0.0}
    active = {"strength": 10.0, "samples": 4}
    family = "regularisation"
    paper = "Aljundi et al. 2018, arXiv:1711.09601"
    stores = "two copies of the trained weights"
    cost = "about 2 % of a step; `samples` gradients after an experience"

    def __init__(
        self, strength: float = 1.0, samples: int = 256, decay: float = 1.0, normalise: bool = True, sensitivity: Literal["rows", "batched"] = "rows"
    ) -> None:
        at_least("mas strength", strength, 0)
        at_least("mas samples", samples, 1)
        at_least("mas decay", decay, 0, 1)
        if sensitivity not in ("rows", "batched"):
            raise SettingError(f"mas sensitivity must be 'rows' or 'batched', got {sensitivity!r}.")
        self.strength, self.samples, self.decay, self.normalise, self.sensitivity = strength, samples, decay, normalise, sensitivity
        self.importance: dict[str, Tensor] = {}
        self.anchor: dict[str, Tensor] = {}

    def begin(self, model: TrainedModel, rows: object) -> None:
        self.anchor = model.state()

    def gradients(self, model: TrainedModel, step: Step) -> None:
        if self.strength and self.importance:
            pull(model, self.importance, self.anchor, 2 * self.strength)

    def end(self, model: TrainedModel, step: Step, random: Random) -> None:
        if not step.rows or not self.strength:
            return
        rows = sampled(step.rows, self.samples, random)
        sizes = summed(model, [[row] for row in rows], squared_norm, _sizes) if self.sensitivity == "rows" else _batched(model, rows)
        for name, value in sizes.items():
            fresh = value / (value.mean().clamp_min(1e-30) if self.normalise else len(rows))
            self.importance[name] = self.decay * self.importance[name] + fresh if name in self.importance else fresh

    def state(self) -> State:
        return {"importance": dict(self.importance), "anchor": dict(self.anchor)}

    def load(self, state: State) -> None:
        self.importance, self.anchor = tensors_of(state, "importance"), tensors_of(state, "anchor")


def squared_norm(batch: Batch, logits: Tensor) -> Tensor:
    """The squared norm of the logits at each learned position, (N,)."""
    return logits.float().square().sum(1)


def _sizes(total: Tensor, gradients: Tensor, weights: Tensor, group: Tensor) -> None:
    total += gradients.float().abs().sum(0)


def _batched(model: TrainedModel, rows: Sequence[Row]) -> dict[str, Tensor]:
    total = {name: torch.zeros_like(weight, dtype=torch.float32) for name, weight in model.trained().items()}
    for count, gradients in mean_gradients(model, rows, squared_norm):
        for name, gradient in gradients.items():
            total[name].add_(gradient.abs(), alpha=count)
    return {name: total[name].to(weight.dtype) for name, weight in model.trained().items()}
