"""How many rows are read, and gradients of single rows held, at once."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from everlearn.models import late
from everlearn.models.weights import TrainedModel
from everlearn.types import Row

Groups = Sequence[Sequence[Row]]
MOST_TOKENS = 1024  # padded tokens of one forward pass: on two cores, more were no faster
MOST_VALUES = 2**18  # values of the gradients held at once, 1 MiB in float32: on two cores, more were no faster
ON_ACCELERATOR = 64  # times as many there, 64 MiB: a launch costs as much for few as for many


def most_values(device: torch.device) -> int:
    """Values of single rows' gradients to hold at once."""
    return MOST_VALUES if device.type == "cpu" else ON_ACCELERATOR * MOST_VALUES


def most_tokens(model: TrainedModel) -> int:
    """MOST_TOKENS, or on an accelerator as many as a pass costs, if their logits, which lie there whole, are not many."""
    if model.device.type == "cpu":
        return MOST_TOKENS
    words = int(model.module.config.get_text_config(decoder=True).vocab_size)
    return max(MOST_TOKENS, min(model.tokens_a_pass(), late.MOST_LOGITS // words))


def batches(groups: Groups, most: int = MOST_TOKENS) -> list[list[Sequence[Row]]]:
    """The groups, shortest rows first, cut into batches of at most `most` padded tokens, or of one group."""
    parts: list[list[Sequence[Row]]] = []
    count = 0  # rows in the last part
    for group in sorted(groups, key=lambda group: max(len(row.tokens) for row in group)):
        width = max(len(row.tokens) for row in group)
        if parts and (count + len(group)) * width <= most:
            parts[-1].append(group)
            count += len(group)
        else:
            parts.append([group])
            count = len(group)
    return parts
