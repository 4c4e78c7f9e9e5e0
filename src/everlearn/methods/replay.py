"""Replay: rehearse examples of the past beside the new."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Literal

from everlearn.errors import SettingError, StateError
from everlearn.methods.base import Method, State, Step, at_least
from everlearn.models.encode import Encoder
from everlearn.models.weights import TrainedModel
from everlearn.replay.buffers import Balanced, Reservoir
from everlearn.types import Example, Row, superseded


class Replay(Method):
    """Each experience is learned together with remembered examples, spread evenly over its steps.

    Experience replay (Rolnick et al. 2019, arXiv:1811.11682), the amount counted in tokens. The number of steps stays that of the new rows;
    what is remembered makes them wider. What the new rows answer differently is not rehearsed, and leaves the buffer.

    share: remembered tokens / new tokens, >= 0; 0 is exactly plain training.   rows: most examples kept, None for all.
    kind: "reservoir" (uniform over everything seen) or "balanced" (equal room for each source).
    """

    neutral = {"share": 0.0}
    active = {"share": 1.0, "rows": 64}
    family = "experience replay"
    paper = "Rolnick et al. 2019, arXiv:1811.11682"
    stores = "examples, at most `rows`"
    cost = "`share` more tokens a step"

    def __init__(self, share: float = 0.5, rows: int | None = None, kind: Literal["reservoir", "balanced"] = "reservoir") -> None:
        if share > 10:
            raise SettingError(
                f"replay share must be between 0 and 10, got {share!r}. It is remembered tokens / new tokens; to keep {share!r} examples set rows={share!r}."
            )
        at_least("replay share", share, 0, 10)
        at_least("replay rows", 1 if rows is None else rows, 1)
        if kind not in ("reservoir", "balanced"):
            raise SettingError(f"replay kind must be 'reservoir' or 'balanced', got {kind!r}.")
        self.share, self.kind = share, kind
        self.buffer: Reservoir | Balanced = Reservoir(rows) if kind == "reservoir" else Balanced(rows)

    def mix(self, model: TrainedModel, rows: list[Row], random: Random) -> list[Row]:
        new = [row for row in rows if not row.from_memory]
        old = superseded(self.buffer.examples(), [row.example for row in new])
        if not self.share or not old:
            return rows
        tokens = self.share * sum(len(row.tokens) for row in new)
        return interleaved(rows, drawn(model.encoder, old, tokens, random))

    def end(self, model: TrainedModel, step: Step, random: Random) -> None:
        if self.share:
            self.buffer.offer([row.example for row in step.rows], random)

    def state(self) -> State:
        return {"kind": self.kind, "buffer": self.buffer.to_json()}

    def load(self, state: State) -> None:
        if state.get("kind") != self.kind:
            raise StateError(f"the saved buffer is of kind {state.get('kind')!r}, this one {self.kind!r}. Use the settings it was saved with.")
        saved = state.get("buffer")
        if not isinstance(saved, dict):
            raise StateError(f"the saved state has no buffer (keys={sorted(state)!r}). Load the state of a replay method.")
        self.buffer.load_json(saved)


def drawn(encoder: Encoder, examples: Sequence[Example], tokens: float, random: Random) -> list[Row]:
    """Remembered rows in random order, each once before any comes again, until they hold this many tokens; only these are encoded."""
    chosen: list[Row] = []
    known: dict[str, Row] = {}
    while tokens > 0:
        order = random.sample(examples, len(examples))
        for start in range(0, len(order), 256):
            part = order[start : start + 256]
            fresh = [example for example in part if example.id not in known]
            known |= {row.id: row for row in encoder.rows(fresh, from_memory=True)}
            for example in part:
                if tokens <= 0:
                    return chosen
                chosen.append(known[example.id])
                tokens -= len(chosen[-1].tokens)
    return chosen


def interleaved(first: Sequence[Row], second: Sequence[Row]) -> list[Row]:
    """Both lists in their own order, spread evenly over each other."""
    places = [((i + 0.5) / len(part), turn, row) for turn, part in enumerate((first, second)) for i, row in enumerate(part)]
    return [row for _, _, row in sorted(places, key=lambda place: place[:2])]
