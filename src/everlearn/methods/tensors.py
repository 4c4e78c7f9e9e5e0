"""Tensors of a method beside the model's own: in step with its parameters, in and out of a state."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from everlearn.errors import StateError
from everlearn.methods.base import State
from everlearn.models.language import CausalModel


def learned_pairs(model: CausalModel, beside: Mapping[str, Tensor]) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
    """(weights, gradients, beside) of the parameters that have a gradient, as equal lists for foreach operations."""
    named = [(p.detach(), p.grad, beside[name]) for name, p in model.trained().items() if p.grad is not None]
    return [w for w, _, _ in named], [g for _, g, _ in named if g is not None], [b for _, _, b in named]


def tensors_of(state: State, key: str) -> dict[str, Tensor]:
    """The dict of tensors saved under `key`, as copies."""
    saved = state.get(key)
    if not isinstance(saved, dict) or not all(isinstance(value, Tensor) for value in saved.values()):
        raise StateError(f"the saved state has no tensors under {key!r} (keys={sorted(state)[:5]!r}). Load the state of the same method.")
    return {name: value.clone() for name, value in saved.items()}
