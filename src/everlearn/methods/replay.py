"""Replay: rehearse examples of the past beside the new."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Literal, get_args

from everlearn.errors import SettingError, StateError
from everlearn.methods.base import Method, State, Step, at_least
from everlearn.methods.remembered import row_losses
from everlearn.models.encode import Encoder
from everlearn.models.weights import TrainedModel
from everlearn.replay.buffers import Balanced, Reservoir
from everlearn.replay.surprise import Surprising
from everlearn.types import Example, Row, superseded

Kind = Literal["reservoir", "balanced", "per_class", "surprise"]


class Replay(Method):
    """Each experience is learned together with remembered examples, spread evenly over its steps.

    Experience replay (Rolnick et al. 2019, arXiv:1811.11682), the amount counted in tokens. The number of steps stays that of the new rows;
    what is remembered makes them wider. What the new rows answer differently is not rehearsed, and leaves the buffer.

    share: remembered tokens / new tokens, >= 0; 0 is exactly plain training.   rows: most examples kept, None for all.
    kind: "reservoir" (uniform over everything seen), "balanced" (equal room for each source), "per_class" (equal room for each completion, for
    classification), or "surprise" (what the model found least likely when it came: SuRe, Hazard et al. 2025, arXiv:2511.22367).
    most: for "surprise" the largest share of the room that one source may fill where others want it, in (0, 1]; by default 0.5.
    """

    neutral = {"share": 0.0}
    active = {"share": 1.0, "rows": 64}
    shards = True
    family = "experience replay"
    paper = "Rolnick et al. 2019, arXiv:1811.11682"
    stores = "examples, at most `rows`"
    cost = "`share` more tokens a step"

    def __init__(self, share: float = 0.5, rows: int | None = None, kind: Kind = "reservoir", most: float | None = None) -> None:
        if share > 10:
            raise SettingError(
                f"replay share must be between 0 and 10, got {share!r}. It is remembered tokens / new tokens; to keep {share!r} examples set rows={share!r}."
            )
        at_least("replay share", share, 0, 10)
        at_least("replay rows", 1 if rows is None else rows, 1)
        if kind not in get_args(Kind):
            raise SettingError(f"replay kind must be one of {', '.join(get_args(Kind))}, got {kind!r}.")
        if most is not None and kind != "surprise":
            raise SettingError(f"replay most is for kind='surprise' alone, got most={most!r} with kind={kind!r}. Leave it out, or set kind='surprise'.")
        at_least("replay most", 0.5 if most is None else most, 1e-9, 1)
        self.share, self.kind = share, kind
        self.buffer = _buffer(kind, rows, 0.5 if most is None else most)
        self.surprise: dict[str, float] = {}  # of the present experience's rows, nats a token before they are learned

    def mix(self, model: TrainedModel, rows: list[Row], random: Random) -> list[Row]:
        new = [row for row in rows if not row.from_memory]
        old = superseded(self.buffer.examples(), [row.example for row in new])
        if not self.share or not old:
            return rows
        tokens = self.share * sum(len(row.tokens) for row in new)
        return interleaved(rows, drawn(model.encoder, old, tokens, random))

    def begin(self, model: TrainedModel, rows: Sequence[Row]) -> None:
        if self.share and self.kind == "surprise":
            self._surprised(model, [row for row in rows if not row.from_memory])

    def end(self, model: TrainedModel, step: Step, random: Random) -> None:
        if not self.share:
            return
        examples = [row.example for row in step.rows]
        if isinstance(self.buffer, Surprising):
            self._surprised(model, step.rows)
            self.buffer.offer(examples, self.surprise)
            self.surprise = {}
        else:
            self.buffer.offer(examples, random)

    def supersede(self, newer: Sequence[Example]) -> None:
        self.buffer.supersede(newer)

    def state(self) -> State:
        return {"kind": self.kind, "buffer": self.buffer.to_json(), "surprise": dict(self.surprise)}

    def load(self, state: State) -> None:
        if state.get("kind") != self.kind:
            raise StateError(f"the saved buffer is of kind {state.get('kind')!r}, this one {self.kind!r}. Use the settings it was saved with.")
        saved = state.get("buffer")
        if not isinstance(saved, dict):
            raise StateError(f"the saved state has no buffer (keys={sorted(state)!r}). Load the state of a replay method.")
        self.buffer.load_json(saved)
        surprise = state.get("surprise", {})
        self.surprise = dict(surprise) if isinstance(surprise, dict) else {}

    def _surprised(self, model: TrainedModel, rows: Sequence[Row]) -> None:
        """How little the model expects the rows whose surprise is not known yet."""
        fresh = list({row.id: row for row in rows if row.id not in self.surprise}.values())
        self.surprise |= {row.id: nats for row, nats in zip(fresh, row_losses(model, fresh), strict=True)}


def _buffer(kind: Kind, rows: int | None, most: float) -> Reservoir | Balanced | Surprising:
    if kind == "surprise":
        return Surprising(rows, most)
    if kind == "per_class":
        return Balanced(rows, answer, "completions")
    return Reservoir(rows) if kind == "reservoir" else Balanced(rows)


def answer(example: Example) -> str:
    """The class an example is of: its completion, or its conversation's last turn; one class for all plain text."""
    return example.messages[-1]["content"] if example.messages else example.completion or ""


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
