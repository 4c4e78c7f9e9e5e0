"""Tensors of a method beside the model's own: in step with its parameters, in and out of a state."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from everlearn.errors import StateError
from everlearn.methods.base import State
from everlearn.models.weights import TrainedModel


def learned_lists(model: TrainedModel, *beside: Mapping[str, Tensor]) -> tuple[list[Tensor], ...]:
    """Weights, gradients, and each mapping's tensors beside them, of the parameters that have a gradient: equal lists for foreach operations."""
    learned = [(name, weight.detach(), weight.grad) for name, weight in model.trained().items() if weight.grad is not None]
    others = ([kept[name] for name, _, _ in learned] for kept in beside)
    return [weight for _, weight, _ in learned], [gradient for _, _, gradient in learned], *others


def pull(model: TrainedModel, importance: Mapping[str, Tensor], anchor: Mapping[str, Tensor], strength: float) -> None:
    """Add strength * importance * (theta - anchor) to the gradients: the penalty 1/2 * strength * sum_i importance_i (theta_i - anchor_i)^2."""
    weights, gradients, factors, anchors = learned_lists(model, importance, anchor)
    torch._foreach_addcmul_(gradients, factors, torch._foreach_sub(weights, anchors), value=strength)


def tensors_of(state: State, key: str) -> dict[str, Tensor]:
    """The dict of tensors saved under `key`, as copies."""
    saved = state.get(key)
    if not isinstance(saved, dict) or not all(isinstance(value, Tensor) for value in saved.values()):
        raise StateError(f"the saved state has no tensors under {key!r} (keys={sorted(state)[:5]!r}). Load the state of the same method.")
    return {name: value.clone() for name, value in saved.items()}
