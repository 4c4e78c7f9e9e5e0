"""Rows read by a model that stays as it was: logits piece by piece, so that neither long rows nor a large vocabulary fill the memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import torch
from torch import Tensor
from transformers import PreTrainedModel

from everlearn.models.batch import by_length
from everlearn.models.language import MOST_TOKENS, LanguageModel
from everlearn.models.weights import as_found
from everlearn.types import Batch, Row

MOST_LOGITS = 2**26  # logits of one forward pass: 256 MiB in float32
MOST_PROBABILITIES = 2**22  # of them turned into probabilities at a time: 16 MiB


class Readable(LanguageModel, Protocol):
    """A LanguageModel whose rows can be batched, and whose weights say which device and mode they are in."""

    @property
    def module(self) -> PreTrainedModel: ...

    def batch(self, rows: Sequence[Row]) -> Batch: ...


def most_learned(model: LanguageModel) -> int:
    """How many learned tokens one row may have so that its logits alone stay within MOST_LOGITS; at least 1."""
    return max(1, MOST_LOGITS // len(model.encoder.tokenizer))


def read(model: Readable, rows: Sequence[Row], use: Callable[[Sequence[Row], Batch, Tensor], None]) -> None:
    """Call `use` with each micro-batch's rows, batch and logits (N, V), shortest rows first, equal ones in order.

    Weights, modes and the random state stay as found; no graph is built.
    """
    most_tokens = min(MOST_TOKENS, most_learned(model))
    with as_found(model.module), torch.inference_mode():
        for part in by_length(rows, most_tokens):
            batch = model.batch(part)
            use(part, batch, model.logits(batch).logits)


def log_probabilities(logits: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Runs of positions and their log p in float32, (n, V), a bounded number at a time; sums over them belong in float64."""
    size = max(1, MOST_PROBABILITIES // logits.shape[1])
    for start in range(0, len(logits), size):
        part = slice(start, min(start + size, len(logits)))
        yield part, logits[part].float().log_softmax(1)


def likelihoods(model: Readable, rows: Sequence[Row]) -> list[tuple[float, bool]]:
    """For each row the log-likelihood of its learned tokens in nats, and whether each of them was the likeliest (greedy would say them).

    Rows that differ in their last token alone are read once. A row without learned tokens is (0, True).

    >>> from everlearn import Example, load_model
    >>> model = load_model("tiny")
    >>> rows = model.encoder.rows([Example(prompt="Question: What is 7 plus 5?\\nAnswer:", completion=answer) for answer in (" 12", " 13")])
    >>> [greedy for _, greedy in likelihoods(model, rows)]
    [True, False]
    """
    groups: dict[tuple[tuple[int, ...], tuple[int, ...]], list[int]] = {}
    for number, row in enumerate(rows):
        groups.setdefault((row.tokens[:-1], row.learned), []).append(number)
    every = {id(rows[numbers[0]]): numbers for numbers in groups.values()}
    found = [(0.0, True)] * len(rows)

    def use(part: Sequence[Row], batch: Batch, logits: Tensor) -> None:
        ends = torch.tensor([len(row.learned) for row in part]).cumsum(0) - 1
        sums, missed = torch.zeros(2, len(part), dtype=torch.float64, device=logits.device)
        last: list[list[tuple[float, bool]]] = []
        for at, logs in log_probabilities(logits):
            body = torch.ones(len(logs), dtype=torch.bool, device=logits.device)
            for end in ends[(ends >= at.start) & (ends < at.stop)].tolist():
                body[end - at.start] = False
                last.append(_ends(logs[end - at.start], [rows[number] for number in every[id(part[len(last)])]]))
            owner, targets, kept = batch.row[at][body], batch.targets[at][body], logs[body]
            sums.index_add_(0, owner, kept.gather(1, targets[:, None])[:, 0].double())
            missed.index_add_(0, owner, (kept.argmax(1) != targets).double())
        for row, nats, wrong, given in zip(part, sums.tolist(), missed.tolist(), last, strict=True):
            for number, (value, best) in zip(every[id(row)], given, strict=True):
                found[number] = (nats + value, wrong == 0 and best)

    read(model, [rows[numbers[0]] for numbers in groups.values() if rows[numbers[0]].learned], use)
    return found


def _ends(logs: Tensor, rows: Sequence[Row]) -> list[tuple[float, bool]]:
    """The last learned token of each row under the same distribution (V,): ln p, and whether it is the likeliest."""
    tokens, best = [row.tokens[row.learned[-1]] for row in rows], int(logs.argmax())
    return [(value, token == best) for token, value in zip(tokens, logs[tokens].tolist(), strict=True)]
