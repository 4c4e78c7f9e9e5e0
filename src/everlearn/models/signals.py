"""What a drift detector is told of a row: a vector that costs no forward pass, or the base model's loss on one row in eight."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from everlearn.errors import SettingError
from everlearn.models.batch import by_length
from everlearn.models.weights import TrainedModel, as_found, chosen
from everlearn.types import Example, Row

MOST_TOKENS = 2048  # padded, in one forward pass


def token_counter(model: TrainedModel) -> Callable[[Example], int]:
    """A function that counts a row's tokens, as this model reads it."""
    return lambda example: len(_rows(model, [example])[0].tokens)


class RowVectors:
    """A row's vector: the mean over its tokens of their input embeddings at length 1, (d,) float32; no layer runs.

    A token's embedding is taken when it is first met, so it stays the same while the model learns.

    >>> from everlearn import Example, load_model
    >>> RowVectors(load_model("tiny"))([Example(text="A row.")])[0].shape
    (128,)
    """

    def __init__(self, model: TrainedModel) -> None:
        self.model = model
        self._known: dict[int, NDArray[np.float32]] = {}

    def __call__(self, examples: Sequence[Example]) -> list[NDArray[np.float32]]:
        rows = _rows(self.model, examples)
        self._learn({token for row in rows for token in row.tokens} - self._known.keys())
        return [np.mean([self._known[token] for token in row.tokens], 0, dtype=np.float32) for row in rows]

    def _learn(self, tokens: set[int]) -> None:
        if not tokens:
            return
        table = cast(nn.Embedding, self.model.module.get_input_embeddings()).weight.detach()
        ids = sorted(tokens)
        vectors = nn.functional.normalize(table[torch.tensor(ids, device=table.device)].float(), dim=1).cpu().numpy()
        self._known |= dict(zip(ids, vectors, strict=True))


class RowLosses:
    """The model's loss on one row in `one_in`, in nats a learned token; None for the others. The model stays as it was."""

    def __init__(self, model: TrainedModel, one_in: int = 8) -> None:
        if one_in < 1:
            raise SettingError(f"one_in must be at least 1, got {one_in!r}. The loss is taken of one row in so many.")
        self.model, self.one_in, self._seen = model, one_in, 0

    def __call__(self, examples: Sequence[Example]) -> list[float | None]:
        asked = [at for at in range(len(examples)) if (self._seen + at) % self.one_in == 0]
        self._seen += len(examples)
        rows = _rows(self.model, [examples[at] for at in asked])
        places = {id(row): at for at, row in zip(asked, rows, strict=True)}
        found: list[float | None] = [None] * len(examples)
        with as_found(self.model.module), torch.inference_mode():
            for part in by_length([row for row in rows if row.learned], MOST_TOKENS, self.model.tokens_a_pass()):
                batch = self.model.batch(part)
                nats = chosen(self.model.logits(batch).logits, batch.targets)
                sums = torch.zeros(len(part), dtype=torch.float64, device=nats.device).index_add(0, batch.row, nats)
                for row, value in zip(part, sums.tolist(), strict=True):
                    found[places[id(row)]] = -value / len(row.learned)
        return found


def _rows(model: TrainedModel, examples: Sequence[Example]) -> list[Row]:
    """Encoded; that a row was cut is counted where it is learned."""
    cut = model.encoder.cut
    rows = model.encoder.rows(examples)
    model.encoder.cut = cut
    return rows
