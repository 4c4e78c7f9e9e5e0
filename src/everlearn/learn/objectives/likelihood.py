"""What the objectives share: log-probabilities of what was said, token by token and row by row."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from everlearn.models.batch import by_length
from everlearn.models.weights import TrainedModel, as_found
from everlearn.types import Batch, Out, Row

MOST_TOKENS = 16_384  # padded tokens in one forward pass without a gradient


def token_logs(batch: Batch, out: Out) -> Tensor:
    """log p of each learned token, (N,); differentiable."""
    return out.each(_logs, batch.targets)


def _logs(logits: Tensor, targets: Tensor) -> Tensor:
    logits = logits.float()
    return logits.gather(1, targets[:, None])[:, 0] - logits.logsumexp(1)


def row_sums(batch: Batch, values: Tensor) -> Tensor:
    """Sums of a value a token (N,) over each row of the batch, (B,)."""
    return values.new_zeros(len(batch.rows)).index_add(0, batch.row, values)


def logs_of(model: TrainedModel, rows: Sequence[Row]) -> list[Tensor]:
    """log p of each row's learned tokens, in order; no gradient, dropout off."""
    found: dict[int, Tensor] = {}
    with as_found(model.module), torch.no_grad():
        for part in by_length(rows, MOST_TOKENS, model.tokens_a_pass()):
            batch = model.batch(part)
            logs = torch.split(token_logs(batch, model.logits(batch)), [len(row.learned) for row in part])
            found |= {id(row): value for row, value in zip(part, logs, strict=True)}
    return [found[id(row)] for row in rows]
