"""What methods remember that draw past examples at every step, and what the model makes of them."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import torch

from everlearn.errors import StateError
from everlearn.methods.base import State
from everlearn.models.batch import by_length
from everlearn.models.encode import Encoder
from everlearn.models.weights import TrainedModel, as_found, chosen
from everlearn.replay.buffers import Reservoir
from everlearn.types import Example, Row


class Remembered:
    """A reservoir of past examples, encoded once, that holds nothing the newest rows answer differently.

    rows: most examples kept, None for all.
    """

    def __init__(self, rows: int | None) -> None:
        self.buffer = Reservoir(rows)
        self._encoded: dict[str, Row] = {}

    def begin(self, rows: Sequence[Row]) -> None:
        """Drop what an experience's new rows answer differently."""
        self.supersede([row.example for row in rows if not row.from_memory])

    def supersede(self, newer: Sequence[Example]) -> None:
        """Drop what these answer differently."""
        self.buffer.supersede(newer)

    def end(self, rows: Sequence[Row], random: Random) -> None:
        """Take in an experience's rows."""
        self.buffer.offer([row.example for row in rows], random)
        kept = {e.id for e in self.buffer.examples()}
        self._encoded = {key: row for key, row in self._encoded.items() if key in kept}

    def sample(self, encoder: Encoder, random: Random, count: int | None = None, tokens: float = float("inf")) -> list[Row]:
        """At most `count` different rows at random, and no more than are needed to hold `tokens`."""
        held, rows, taken = self.buffer.examples(), list[Row](), set[int]()
        while tokens > 0 and len(taken) < min(len(held), len(held) if count is None else count):
            place = random.randrange(len(held))
            if place in taken:
                continue
            taken.add(place)
            example = held[place]
            if example.id not in self._encoded:
                self._encoded[example.id] = encoder.rows([example], from_memory=True)[0]
            rows.append(self._encoded[example.id])
            tokens -= len(rows[-1].tokens)
        return [row for row in rows if row.learned]

    def state(self) -> State:
        return {"buffer": self.buffer.to_json()}

    def load(self, state: State) -> None:
        saved = state.get("buffer")
        if not isinstance(saved, dict):
            raise StateError(f"the saved state has no buffer (keys={sorted(state)!r}). Load the state of the same method.")
        self.buffer.load_json(saved)


def row_losses(model: TrainedModel, rows: Sequence[Row]) -> list[float]:
    """Each row's mean nats per learned token, in order; one forward pass without a gradient, dropout off."""
    found: dict[int, float] = {}
    with as_found(model.module), torch.no_grad():
        for part in by_length(rows, 16_384, model.tokens_a_pass()):
            batch = model.batch(part)
            nats = -chosen(model.logits(batch).logits, batch.targets)
            sums = torch.zeros(len(part), dtype=nats.dtype, device=nats.device).index_add(0, batch.row, nats)
            found |= {id(row): value / max(1, len(row.learned)) for row, value in zip(part, sums.tolist(), strict=True)}
    return [found[id(row)] for row in rows]
