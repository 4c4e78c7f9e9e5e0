"""Activation checkpointing: what a block computes is thrown away, and computed again when the backward pass needs it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from torch import nn
from torch.utils.checkpoint import checkpoint
from transformers.modeling_layers import GradientCheckpointingLayer

from everlearn.errors import ModelError


def blocks_of(module: nn.Module) -> list[GradientCheckpointingLayer]:
    """The module's blocks. Raises ModelError for an architecture that names none."""
    found = [part for part in module.modules() if isinstance(part, GradientCheckpointingLayer)]
    if not found:
        raise ModelError(
            f"this model's blocks are not known, so nothing of them can be computed again (architecture={type(module).__name__!r})."
            " Set activation_checkpointing to false."
        )
    return found


@contextmanager
def recomputed(blocks: Sequence[GradientCheckpointingLayer]) -> Iterator[None]:
    """In a forward pass inside, these blocks in training mode keep their inputs alone; values and random draws of the second time are the first's.

    Frozen weights beneath adapters need nothing more: torch's checkpoint without re-entry sees what inside a block learns.
    """
    for block in blocks:
        block.gradient_checkpointing = True
        block._gradient_checkpointing_func = partial(checkpoint, use_reentrant=False)  # type: ignore[assignment]
    try:
        yield
    finally:
        for block in blocks:
            block.gradient_checkpointing = False
