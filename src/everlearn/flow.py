"""How a stream's rows reach the learner: in which order, and where they are cut when nobody says where one task ends."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from everlearn.config import read_call, split
from everlearn.errors import DataError, SettingError
from everlearn.models.signals import RowLosses, RowVectors, token_counter
from everlearn.models.weights import TrainedModel
from everlearn.streams.drift import DETECTORS, Detector
from everlearn.streams.orders import ORDERS, Order, Place, Sequential
from everlearn.streams.unlabelled import Cut, cuts
from everlearn.types import Example, Experience, Stream

TOLD = "told"
BLOCK = 256  # rows whose signal is computed together


@dataclass(frozen=True, slots=True)
class Every:
    """A boundary every so many tokens, or rows, since the last one: exactly one of the two is above 0."""

    tokens: int = 0
    rows: int = 0

    def __post_init__(self) -> None:
        if min(self.tokens, self.rows) < 0 or bool(self.tokens) == bool(self.rows):
            raise SettingError(f"every needs tokens or rows, one of them, at least 1, got tokens={self.tokens!r}, rows={self.rows!r}.")


@dataclass(frozen=True, slots=True)
class Boundaries:
    """Where rows are cut. detector: name and settings; a fresh one is made for each stream.   Neither: where the order's own boundaries are told."""

    detector: tuple[str, dict[str, Any]] | None = None
    every: Every | None = None

    @property
    def told(self) -> bool:
        return self.detector is None and self.every is None

    def fresh(self) -> Detector | None:
        """A detector that has seen nothing."""
        return None if self.detector is None else DETECTORS[self.detector[0]](**self.detector[1])

    def cuts(self, rows: Sequence[Example], model: Callable[[], TrainedModel]) -> list[Cut]:
        """The rows, cut; the model says what the detector is told and counts tokens, and stays as it was."""
        every = None if self.every is None else self.every.tokens or self.every.rows
        detector = self.fresh()
        if detector is None and (self.every is None or not self.every.tokens):
            return list(cuts(rows, every))
        reads = model()
        length = token_counter(reads) if self.every is not None and self.every.tokens else None
        signal = None if detector is None else RowVectors(reads) if detector.signal == "vector" else RowLosses(reads)
        return list(cuts(rows, every, length, detector, signal, BLOCK))

    def full(self, rows: Sequence[Example], model: Callable[[], TrainedModel]) -> bool:
        """Do these rows reach what `every` asks for?"""
        if self.every is None:
            return False
        return sum(map(token_counter(model()), rows)) >= self.every.tokens if self.every.tokens else len(rows) >= self.every.rows


def parse_order(text: str) -> Order:
    """An order by its name and settings. Raises SettingError with what is allowed.

    >>> parse_order("blurred(overlap=0.3)")
    Blurred(overlap=0.3, shape='linear', seed=0)
    """
    name, given = read_call(text, ORDERS, "order")
    return ORDERS[name](**given)


def parse_boundaries(text: str) -> Boundaries:
    """'told', or a detector, `every(tokens=...)` or `every(rows=...)`, or both joined by "+". Raises SettingError with what is allowed.

    >>> parse_boundaries("embedding(window=64)+every(rows=500)")
    Boundaries(detector=('embedding', {'window': 64}), every=Every(tokens=0, rows=500))
    """
    if text.strip() == TOLD:
        return Boundaries()
    detector, every = None, None
    for piece in split(text, "+"):
        name, given = read_call(piece, {**DETECTORS, "every": Every, TOLD: None}, "boundary")
        if (name == "every" and every is not None) or (name in DETECTORS and detector is not None) or name == TOLD:
            raise SettingError(f"boundaries are 'told', or one detector, every(...), or one of each joined by +, got {text!r}.")
        detector, every = (detector, Every(**given)) if name == "every" else ((name, given), every)
    if detector is None and every is None:
        raise SettingError(f"boundaries are empty, got {text!r}. Give 'told', a detector such as 'embedding', or every(tokens=4000).")
    return Boundaries(detector, every)


def flowing(stream: Stream, order: Order, boundaries: Boundaries, model: Callable[[], TrainedModel], label: str) -> Stream:
    """The stream with its rows in that order, cut there; what every row is of stays with it, and no learner sees it.

    The tests of an experience come with the first rows of it. A row's `until` becomes the first new experience that teaches something of the one it
    named. Sequential with told boundaries is the stream itself. model: gives the starting model, where a detector or tokens need it.
    Raises DataError for an order that puts the past after the future of a stream whose truth has dates.
    """
    if order == Sequential() and boundaries.told:
        return stream
    _timely(stream, order)
    places = order.places([len(e.train) for e in stream])
    rows = [stream.experiences[number].train[at] for number, at in places]
    if not rows:
        raise DataError(f"the stream has no training rows to order (stream={stream.name!r}). Give it some.")
    if boundaries.told:
        ends = [0, *order.ends([len(e.train) for e in stream])]
        found = [Cut(start, tuple(rows[start:end])) for start, end in pairwise(ends)]
    else:
        found = boundaries.cuts(rows, model)
    return replace(stream, name=f"{stream.name}, {label}", experiences=tuple(_experiences(stream, places, found)))


def _timely(stream: Stream, order: Order) -> None:
    dated = [e.id for experience in stream for of in experience.tests.values() for e in of if e.until is not None or e.old_completion is not None]
    if dated and not order.keeps_time:
        fit = ", ".join(name for name, of in ORDERS.items() if of.keeps_time)
        raise DataError(
            f"the stream's order is part of its truth: a test row says what was true before or until when (id={dated[0]!r}, order={order!r})."
            f" Orders that keep it are {fit}."
        )


def _experiences(stream: Stream, places: Sequence[Place], found: Sequence[Cut]) -> list[Experience]:
    """The cuts as experiences, each with the tests of those that begin in it, and a note of what its rows are of."""
    of = [[number for number, _ in places[cut.start : cut.start + len(cut.rows)]] for cut in found]
    first = {number: at for at in reversed(range(len(found))) for number in of[at]}
    begins = [first.get(number, min((first[n] for n in first if n > number), default=len(found) - 1)) for number in range(len(stream))]
    made = []
    for at, cut in enumerate(found):
        here = [experience for number, experience in enumerate(stream) if begins[number] == at]
        time = next((row.time for row in cut.rows if row.time), "") or next((e.time for e in here if e.time), "")
        made.append(Experience(str(at + 1), cut.rows, {}, {}, time, {}, {}, _note(stream, cut, of[at])))
        for experience in here:
            made[-1] = _with_tests(made[-1], experience, [*begins, len(found)])
    return made


def _with_tests(made: Experience, given: Experience, begins: Sequence[int]) -> Experience:
    """With the tests of a given experience; begins: by given experience the place of the new one it begins in, and at the end their number."""

    def joined(into: Any, more: Any) -> dict[str, tuple[Example, ...]]:
        return {**into, **{task: (*into.get(task, ()), *(_dated(e, begins) for e in rows)) for task, rows in more.items()}}

    return replace(
        made,
        tests=joined(made.tests, given.tests),
        valid=joined(made.valid, given.valid),
        scores={**made.scores, **given.scores},
        chance={**made.chance, **given.chance},
    )


def _dated(example: Example, begins: Sequence[int]) -> Example:
    """With `until` in the new numbers; one beyond the stream stays beyond it, and one before it before."""
    return example if not example.until else replace(example, until=begins[min(example.until, len(begins)) - 1] + 1)


def _note(stream: Stream, cut: Cut, of: Sequence[int]) -> dict[str, Any]:
    shares = Counter(stream.experiences[number].name for number in of)
    return {"start": cut.start, "rows_of": dict(shares), "events": [event.to_json() | {"sentence": event.sentence} for event in cut.events]}
