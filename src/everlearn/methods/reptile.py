"""Reptile: every few steps go only part of the way."""

from __future__ import annotations

import torch
from torch import Tensor

from everlearn.methods.base import Method, State, Step, at_least
from everlearn.methods.tensors import tensors_of
from everlearn.models.weights import TrainedModel


class Reptile(Method):
    """Every `every` steps, and at the last: theta <- theta_0 + fraction * (theta_k - theta_0), theta_0 the weights of the last such moment.

    To first order this rewards gradients that agree between the steps it spans (Nichol et al. 2018, arXiv:1803.02999); with replayed rows
    among them those of old and new (MER, Riemer et al. 2019, arXiv:1810.11910; for language models Abbes et al. 2025, arXiv:2508.01908).
    Differs: MER's inner updates are of single examples, ours are the loop's steps, as in Abbes et al.; AdamW's moments go on.

    fraction: of the way that is kept (the papers' epsilon, gamma), in (0, 1]; 1 is exactly plain training.   every: steps, >= 1.

    >>> from everlearn import Gradient, Replay, Reptile
    >>> learner = Gradient([Replay(share=0.5), Reptile(fraction=0.3, every=10)])
    """

    neutral = {"fraction": 1.0}
    active = {"fraction": 0.3, "every": 3}
    stage = "projection"
    family = "meta-learning"
    paper = "Riemer et al. 2019, arXiv:1810.11910"
    stores = "one copy of the trained weights"
    cost = "under 1 % of a step"

    def __init__(self, fraction: float = 0.3, every: int = 10) -> None:
        at_least("reptile fraction", fraction, 1e-9, 1)
        at_least("reptile every", every, 1)
        self.fraction, self.every = fraction, every
        self.start: dict[str, Tensor] = {}

    def begin(self, model: TrainedModel, rows: object) -> None:
        self.start = model.state() if self.fraction < 1 else {}

    def stepped(self, model: TrainedModel, step: Step) -> None:
        if self.fraction < 1 and (step.number % self.every == 0 or step.number == step.total):
            weights = [weight.detach() for weight in model.trained().values()]
            torch._foreach_lerp_(weights, [self.start[name] for name in model.trained()], 1 - self.fraction)
            self.start = model.state()

    def state(self) -> State:
        return {"start": dict(self.start)}

    def load(self, state: State) -> None:
        self.start = tensors_of(state, "start")
