"""L2-SP: stay near the weights the experience started from."""

from __future__ import annotations

import torch
from torch import Tensor

from everlearn.methods.base import Method, State, Step, at_least
from everlearn.methods.tensors import learned_lists, tensors_of
from everlearn.models.weights import TrainedModel


class L2SP(Method):
    """Pull every weight toward the last version: strength * (theta - theta*) joins the gradient.

    The penalty is 1/2 * strength * ||theta - theta*||^2, theta* the weights at the start of each experience. Li et al. 2018,
    arXiv:1802.01483 (alpha is `strength`; theirs anchors at the pre-trained weights, ours at the newest version).

    strength: >= 0; 0 is exactly plain training.   decoupled: pull after the optimizer's step by rate * strength, as weight decay does in
    AdamW (arXiv:1711.05101), so the pull is not rescaled by its moments.
    """

    neutral = {"strength": 0.0}
    active = {"strength": 1.0}
    shards = True
    family = "regularisation"
    paper = "Li et al. 2018, arXiv:1802.01483"
    stores = "one copy of the trained weights"
    cost = "about 2 % of a step"

    def __init__(self, strength: float = 0.01, decoupled: bool = False) -> None:
        at_least("l2_sp strength", strength, 0)
        self.strength, self.decoupled = strength, decoupled
        self.anchor: dict[str, Tensor] = {}

    def begin(self, model: TrainedModel, rows: object) -> None:
        self.anchor = model.state()

    def gradients(self, model: TrainedModel, step: Step) -> None:
        if self.strength and not self.decoupled:
            weights, gradients, anchors = learned_lists(model, self.anchor)
            torch._foreach_add_(gradients, torch._foreach_sub(weights, anchors), alpha=self.strength)

    def stepped(self, model: TrainedModel, step: Step) -> None:
        if self.strength and self.decoupled:
            weights, _, anchors = learned_lists(model, self.anchor)
            torch._foreach_lerp_(weights, anchors, min(1.0, step.rate * self.strength))

    def state(self) -> State:
        return {"anchor": dict(self.anchor)}

    def load(self, state: State) -> None:
        self.anchor = tensors_of(state, "anchor")
