"""Elastic weight consolidation: hold important weights where they were."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import torch
from torch import Tensor

from everlearn.methods.base import Method, State, Step, at_least
from everlearn.methods.fisher import Kind, check_kind, fisher
from everlearn.methods.tensors import pull, tensors_of
from everlearn.models.processes import processes
from everlearn.models.weights import TrainedModel
from everlearn.types import Row


class EWC(Method):
    """Pull important weights back to where past experiences left them.

    Adds 1/2 * strength * sum_t sum_i F_t,i (theta_i - theta*_t,i)^2, with F the diagonal Fisher information, by default the mean squared
    gradient per example. Kirkpatrick et al. 2017, arXiv:1612.00796. Differs: the sum over past experiences is kept in closed form as one pair
    (F, a): F <- decay F + F_t, a <- a + F_t / F (theta_t - a), gradient strength F (theta - a), so cost and memory do not grow and the
    penalty is exactly 0 at the anchor (decay < 1: the online form, Schwarz et al. 2018, arXiv:1805.06370).

    strength: lambda in the paper, >= 0; 0 is exactly plain training.   decay: weight of the old F at each new experience, in [0, 1].
    samples: examples a Fisher is measured on, >= 1, drawn from the experience's rows.   normalise: scale each
    tensor's F_t to mean 1, so that a strength means the same for all models.   fisher: "empirical" (the labels' gradients), "sampled" (labels
    drawn from the model), "exact" (expectation over a row's choices), or "batched" (of means of 16 rows; what others call Fisher, to compare).

    >>> EWC(strength=10, fisher="sampled").fisher_kind
    'sampled'
    """

    neutral = {"strength": 0.0}
    active = {"strength": 10.0, "samples": 4}
    shards = True
    family = "regularisation"
    paper = "Kirkpatrick et al. 2017, arXiv:1612.00796"
    stores = "two copies of the trained weights"
    cost = "about 1 % of a step; `samples` gradients after an experience"

    def __init__(self, strength: float = 1.0, decay: float = 1.0, samples: int = 256, normalise: bool = True, fisher: Kind = "empirical") -> None:
        at_least("ewc strength", strength, 0)
        at_least("ewc decay", decay, 0, 1)
        at_least("ewc samples", samples, 1)
        check_kind("ewc fisher", fisher)
        self.strength, self.decay, self.samples, self.normalise, self.fisher_kind = strength, decay, samples, normalise, fisher
        self.fisher: dict[str, Tensor] = {}
        self.anchor: dict[str, Tensor] = {}

    def gradients(self, model: TrainedModel, step: Step) -> None:
        if self.strength and self.fisher:
            pull(model, self.fisher, self.anchor, self.strength)

    def end(self, model: TrainedModel, step: Step, random: Random) -> None:
        if not step.rows or not self.strength:
            return
        fresh = fisher(model, sampled(step.rows, self.samples, random), self.fisher_kind, random)
        if self.normalise:
            mean = processes().mean
            fresh = {name: value / mean(value).clamp_min(1e-30) for name, value in fresh.items()}
        for name, weight in model.trained().items():
            here, old = weight.detach(), self.anchor.get(name, weight.detach())
            self.fisher[name] = self.decay * self.fisher.get(name, torch.zeros_like(here)) + fresh[name]
            self.anchor[name] = old + fresh[name] / self.fisher[name].clamp_min(1e-30) * (here - old)

    def state(self) -> State:
        return {"fisher": dict(self.fisher), "anchor": dict(self.anchor)}

    def load(self, state: State) -> None:
        self.fisher, self.anchor = tensors_of(state, "fisher"), tensors_of(state, "anchor")


def fisher_per_example(model: TrainedModel, rows: Sequence[Row], step: Step | None = None) -> dict[str, Tensor]:
    """The mean over rows of the squared gradient of each row's log-likelihood (summed over its tokens), by parameter."""
    return fisher(model, rows, "empirical", Random(0))


def sampled(rows: Sequence[Row], count: int, random: Random) -> list[Row]:
    """At most `count` of the rows."""
    return list(rows) if len(rows) <= count else random.sample(rows, count)
