"""L2: limit how far the parameters are from zero."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from everlearn.methods.base import Method, Step, at_least
from everlearn.models.weights import TrainedModel


class L2(Method):
    """L(theta) = L0(theta) + strength * ||theta||^2, so 2 * strength * theta joins the gradient.

    The founding article's formula (its lambda is `strength`); no graph is built. Hanson and Pratt 1988. Differs from AdamW's weight
    decay: the term passes through the optimizer's moments, as the formula says.

    strength: >= 0; 0 is exactly plain training.
    """

    neutral = {"strength": 0.0}
    active = {"strength": 0.01}
    shards = True
    family = "regularisation"
    paper = "Hanson and Pratt 1988"
    cost = "under 1 % of a step"

    def __init__(self, strength: float = 1e-4) -> None:
        at_least("l2 strength", strength, 0)
        self.strength = strength

    def gradients(self, model: TrainedModel, step: Step) -> None:
        self.add_to(model.trained().values())

    def add_to(self, parameters: Iterable[nn.Parameter]) -> None:
        """Add the penalty's gradient to each parameter's; works on any PyTorch module's parameters."""
        pairs = [(p.grad, p.detach()) for p in parameters if p.grad is not None]
        if self.strength and pairs:
            torch._foreach_add_([gradient for gradient, _ in pairs], [weight for _, weight in pairs], alpha=2 * self.strength)
