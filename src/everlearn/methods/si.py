"""Synaptic intelligence: weights that lowered the loss while learning are held."""

from __future__ import annotations

from random import Random

import torch
from torch import Tensor

from everlearn.methods.base import Method, State, Step, at_least
from everlearn.methods.tensors import pull, tensors_of
from everlearn.models.weights import TrainedModel


class SI(Method):
    """Hold weights by how much they lowered the loss on their way: strength * sum_i Omega_i (theta_i - theta*_i)^2.

    Along each experience omega_i <- omega_i - g_i * (the step's change of theta_i); at its end Omega_i <- Omega_i + max(0, omega_i) / (D_i^2 + damping),
    D_i the experience's whole change; theta* is where the experience started. Zenke, Poole, Ganguli 2017, arXiv:1703.04200. Differs: g is the
    gradient of a step's rows, remembered ones too, before this penalty joins it (terms and penalties named before it count); the step's change
    is the optimizer's own; one step's rows give a noisy g, so omega is too large by the noise, as in the paper.

    strength: c in the paper, >= 0; 0 is exactly plain training.   damping: xi in the paper, > 0; keeps small changes from counting as infinitely important.

    >>> SI(strength=10, damping=1e-3).damping
    0.001
    """

    neutral = {"strength": 0.0}
    active = {"strength": 10.0}
    wants_before = True
    family = "regularisation"
    paper = "Zenke et al. 2017, arXiv:1703.04200"
    stores = "three copies of the trained weights"
    cost = "under 10 % of a step"

    def __init__(self, strength: float = 1.0, damping: float = 1e-3) -> None:
        at_least("si strength", strength, 0)
        at_least("si damping", damping, 1e-12)
        self.strength, self.damping = strength, damping
        self.importance: dict[str, Tensor] = {}
        self.path: dict[str, Tensor] = {}
        self.anchor: dict[str, Tensor] = {}
        self._gradient: dict[str, Tensor] = {}

    def begin(self, model: TrainedModel, rows: object) -> None:
        self.anchor = model.state()
        self.path = {name: torch.zeros_like(value) for name, value in self.anchor.items()}

    def gradients(self, model: TrainedModel, step: Step) -> None:
        if self.strength:
            self._gradient = {name: weight.grad.clone() for name, weight in model.trained().items() if weight.grad is not None}
            if self.importance:
                pull(model, self.importance, self.anchor, 2 * self.strength)

    def stepped(self, model: TrainedModel, step: Step) -> None:
        if self._gradient and step.before is not None:
            trained = model.trained()
            moved = torch._foreach_sub([trained[name].detach() for name in self._gradient], [step.before[name] for name in self._gradient])
            torch._foreach_addcmul_([self.path[name] for name in self._gradient], list(self._gradient.values()), moved, value=-1)
            self._gradient = {}

    def end(self, model: TrainedModel, step: Step, random: Random) -> None:
        if not self.strength or not step.number:
            return
        for name, weight in model.trained().items():
            fresh = self.path[name].clamp_min(0) / ((weight.detach() - self.anchor[name]).square() + self.damping)
            self.importance[name] = self.importance[name] + fresh if name in self.importance else fresh

    def state(self) -> State:
        return {"importance": dict(self.importance), "path": dict(self.path), "anchor": dict(self.anchor)}

    def load(self, state: State) -> None:
        self.importance, self.path, self.anchor = tensors_of(state, "importance"), tensors_of(state, "path"), tensors_of(state, "anchor")
