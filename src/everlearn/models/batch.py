"""Rows as tensors, cut into micro-batches by length."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from everlearn.types import Batch, Row

MOST_PADDING = 512  # padding tokens that cost about as much as one more pass of a small model on two cores
# On an accelerator a pass costs about as much as so many tokens times the squared width, in float32 and in bfloat16 (benchmarks/passes.py, an H200, width 768;
# at 256 even 16,384 tokens hardly outlast the launching): that takes as long for any width.
LAUNCHED, LAUNCHED_BF16 = 2**30, 2**32


def make_batch(rows: Sequence[Row], pad: int, device: torch.device | str = "cpu") -> Batch:
    """The rows padded on the right to the longest, and their N learned tokens. Of a row nothing is read after the last token that predicts one.

    >>> from everlearn.types import Example
    >>> batch = make_batch([Row(Example(text="x"), (5, 6, 7), (2,)), Row(Example(text="y"), (8, 9), (1,))], pad=0)
    >>> batch.tokens.tolist(), batch.at.tolist(), batch.targets.tolist()
    ([[5, 6], [8, 0]], [1, 2], [7, 9])
    """
    read = [row.tokens[: max(row.learned, default=len(row.tokens))] for row in rows]
    width = max(map(len, read))
    tokens = torch.tensor([given + (pad,) * (width - len(given)) for given in read])
    mask = torch.tensor([[1] * len(given) + [0] * (width - len(given)) for given in read])
    at = torch.tensor([i * width + p - 1 for i, row in enumerate(rows) for p in row.learned], dtype=torch.long)
    targets = torch.tensor([row.tokens[p] for row in rows for p in row.learned], dtype=torch.long)
    owner = torch.tensor([i for i, row in enumerate(rows) for _ in row.learned], dtype=torch.long)
    weights = torch.tensor([weight for row in rows for weight in row.weights], dtype=torch.float)
    memory = torch.tensor([row.from_memory for row in rows])
    parts = (tokens, mask, at, targets, owner, weights, memory[owner])
    return Batch(tuple(rows), *(_sent(part, torch.device(device)) for part in parts))


def _sent(part: Tensor, device: torch.device) -> Tensor:
    """The tensor on the device; to a GPU from pinned memory, so that the loop does not wait for it."""
    return part.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else part.to(device)


def tokens_a_pass(device: torch.device, width: int, precision: str = "no") -> int:
    """Tokens that cost about as much as one more pass of a model of this width, 512 to 16,384: padding beyond it is not worth it.

    On a CPU arithmetic is all; an accelerator that waits for its next launch has done most narrow models' padding meanwhile.   precision: of `Settings`.

    >>> [tokens_a_pass(torch.device(place), width) for place, width in (("cpu", 256), ("cuda", 256), ("cuda", 768), ("cuda", 4096))]
    [512, 16384, 1820, 512]
    """
    launched = LAUNCHED_BF16 if precision == "bf16" else LAUNCHED
    return MOST_PADDING if device.type == "cpu" else min(16_384, max(MOST_PADDING, launched // width**2))


def by_length(rows: Sequence[Row], most_tokens: int, most_padding: int = MOST_PADDING) -> list[list[Row]]:
    """The rows, shortest first, cut into runs to be padded to their longest.

    A run's padded size (rows times the longest) is at most `most_tokens`, or it is one row; of it at most `most_padding` are padding.

    >>> from everlearn.types import Example
    >>> sized = [Row(Example(text=str(n)), (1,) * n, (1,)) for n in (9, 2, 3, 8, 9)]
    >>> [[len(row.tokens) for row in part] for part in by_length(sized, 18)]
    [[2, 3], [8, 9], [9]]
    >>> [[len(row.tokens) for row in part] for part in by_length(sized, 100, most_padding=4)]
    [[2, 3], [8, 9, 9]]
    """
    ordered = sorted(rows, key=lambda row: len(row.tokens))
    return [[ordered[at] for at in part] for part in cut_by_length(range(len(ordered)), [len(row.tokens) for row in ordered], most_tokens, most_padding)]


def cut_by_length(ordered: Sequence[int], lengths: Sequence[int], most_tokens: int, most_padding: int) -> list[list[int]]:
    """Places in `lengths`, given shortest first, cut into runs as `by_length` cuts rows."""
    parts: list[list[int]] = []
    filled = 0  # tokens of the last run that are not padding
    for place in ordered:
        length = lengths[place]
        padded = (len(parts[-1]) + 1) * length if parts else 0
        if parts and padded <= most_tokens and padded - filled - length <= most_padding:
            parts[-1].append(place)
            filled += length
        else:
            parts.append([place])
            filled = length
    return parts
