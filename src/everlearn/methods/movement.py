"""Movement: the weights that earlier experiences moved most are pulled back by a constant force."""

from __future__ import annotations

from random import Random

import torch
from torch import Tensor

from everlearn.methods.base import Method, State, Step, at_least
from everlearn.methods.tensors import learned_lists, tensors_of
from everlearn.models.weights import TrainedModel


class Movement(Method):
    """strength * sum over P of |theta_i - theta*_i|: P the share of weights that earlier experiences moved most.

    theta* are the weights at the start of the experience; the subgradient strength * sign(theta_i - theta*_i) joins the gradient of the weights
    in P, 0 where nothing has moved. After continual policy optimisation (CPO), arXiv:2607.04364, there within reinforcement learning. Differs:
    movement is the sum of |change| over all experiences so far, P its largest share over all trained weights together, found by sorting;
    only a summary of the paper was at hand, so its choice of P may be another.

    strength: lambda in the paper, >= 0; 0 is exactly plain training. A constant force: compare it with single entries of the gradient, not with
    its norm (the paper's 100 is for its own objective).   share: of the weights that are held, in [0, 1]; 0.1 in the paper.

    >>> Movement(strength=1e-3, share=0.1).share
    0.1
    """

    neutral = {"strength": 0.0}
    active = {"strength": 0.01}
    family = "regularisation"
    paper = "CPO 2026, arXiv:2607.04364"
    stores = "two copies of the trained weights and a mask"
    cost = "about 1 % of a step"

    def __init__(self, strength: float = 1e-3, share: float = 0.1) -> None:
        at_least("movement strength", strength, 0)
        at_least("movement share", share, 0, 1)
        self.strength, self.share = strength, share
        self.moved: dict[str, Tensor] = {}
        self.anchor: dict[str, Tensor] = {}
        self._held: dict[str, Tensor] = {}

    def begin(self, model: TrainedModel, rows: object) -> None:
        self.anchor = model.state()

    def gradients(self, model: TrainedModel, step: Step) -> None:
        if self.strength and self._held:
            weights, gradients, anchors, held = learned_lists(model, self.anchor, self._held)
            signs = torch._foreach_sign(torch._foreach_sub(weights, anchors))
            torch._foreach_addcmul_(gradients, signs, held, value=self.strength)

    def end(self, model: TrainedModel, step: Step, random: Random) -> None:
        if not self.strength or not step.number:
            return
        for name, weight in model.trained().items():
            fresh = (weight.detach() - self.anchor[name]).abs()
            self.moved[name] = self.moved[name] + fresh if name in self.moved else fresh
        self._held = largest(self.moved, self.share)

    def state(self) -> State:
        return {"moved": dict(self.moved), "anchor": dict(self.anchor)}

    def load(self, state: State) -> None:
        self.moved, self.anchor = tensors_of(state, "moved"), tensors_of(state, "anchor")
        self._held = largest(self.moved, self.share)


def largest(values: dict[str, Tensor], share: float) -> dict[str, Tensor]:
    """1 for the share of all entries that are largest and above 0, 0 for the others, in the values' types.

    >>> largest({"a": torch.tensor([1.0, 3.0]), "b": torch.tensor([2.0, 0.0])}, 0.5)
    {'a': tensor([0., 1.]), 'b': tensor([1., 0.])}
    """
    flat = torch.cat([value.flatten() for value in values.values()]) if values else torch.zeros(0)
    count = round(share * flat.numel())
    if not count:
        return {name: torch.zeros_like(value) for name, value in values.items()}
    least = flat.kthvalue(flat.numel() - count + 1).values
    return {name: ((value >= least) & (value > 0)).to(value) for name, value in values.items()}
