"""A stream of rows that nobody has cut, as Experiences: cut where a detector finds a change, and at the latest every so many tokens."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from everlearn.errors import SettingError
from everlearn.streams.drift import Detector, Value
from everlearn.streams.events import Event, event_of
from everlearn.types import Example, Experience

# What a detector is told of rows that come one after the other, a value a row.
Signal = Callable[[Sequence[Example]], Sequence[Value]]
KNOWN = 256  # latest rows kept, to say in words what has changed
LATE = 48  # rows within which nearly every sudden change is noticed: the embedding test's window (benchmarks/drift.py)


@dataclass(frozen=True, slots=True)
class Cut:
    """Rows that are learned together: those from `start` on, counted from 0.   events: found since the cut before, the one that ended these rows too."""

    start: int
    rows: tuple[Example, ...]
    events: tuple[Event, ...] = ()


def cuts(
    rows: Iterable[Example],
    every: int | None = None,
    length: Callable[[Example], int] | None = None,
    detector: Detector | None = None,
    signal: Signal | None = None,
    block: int = 1,
    late: int = LATE,
) -> Iterator[Cut]:
    """The rows in the order they come, cut at every change and where `every` tokens have come since the last cut.

    every: in tokens as `length` counts them, by default in rows; None for no such cut.   signal: what the detector is told of a row, in the order of
    the rows (`models.signals`).   block: rows it is asked of at once, where they are at hand: faster, and no cut moves.   late: with a detector, rows for
    which a cut by tokens is held back, at most until half as many tokens more have come: a change that is noticed meanwhile is cut where it began instead,
    and at the end the last few rows are no part of their own. A part of a few rows would cost what was learned before it.

    A change is found some rows after it began: what came since is the beginning of what follows, so that no row is learned on the wrong side, unless the
    tokens were full in between and the change was noticed later than that. Raises SettingError where neither detector nor every says where to cut.
    """
    if every is None and detector is None:
        raise SettingError("nothing says where to cut the rows (every=None, detector=None). Give a number of tokens, a detector, or both.")
    if late < 0:
        raise SettingError(f"late must be at least 0, got {late!r}. It is the rows for which a cut by tokens is held back.")
    if every is not None and every < 1:
        raise SettingError(f"every must be at least 1, got {every!r}. It is the tokens, or the rows, after which rows are cut.")
    if (detector is None) != (signal is None):
        raise SettingError("a detector needs a signal, and a signal a detector. Give both or neither.")
    held, known, found = _Held(every, late if detector is not None else 0), deque[Example](maxlen=KNOWN), list[Event]()
    for seen, (row, value) in enumerate(_valued(rows, signal, block), 1):
        held.add(row, 1 if length is None else length(row))
        known.append(row)
        change = detector.update(value) if detector is not None else None
        if change is not None:
            new = min(len(known), seen - change.began)
            latest = list(known)
            found.append(event_of(change, latest[: len(latest) - new], latest[len(latest) - new :]))
            done = max(0, change.began - held.start)  # 0: what came before is given out already
            if done:
                yield held.cut(done, found)
                found = []
        while held.due:
            yield held.cut(held.full, found)
            found = []
    if held.rows:
        yield held.cut(len(held.rows), found)


class _Held:
    """The rows since the last cut. start: rows before them.   full: of them as many as reach `every`, 0 as long as all do not."""

    def __init__(self, every: int | None, late: int) -> None:
        self.rows, self.start, self.full = list[Example](), 0, 0
        self._sizes, self._told, self._every, self._late = list[int](), 0, every, late

    @property
    def due(self) -> bool:
        """Is it time for a cut by tokens?"""
        return self._every is not None and bool(self.full) and (len(self.rows) >= self.full + self._late or 2 * self._told >= 3 * self._every)

    def add(self, row: Example, size: int) -> None:
        self.rows.append(row)
        self._sizes.append(size)
        self._told += size
        if not self.full and self._every is not None and self._told >= self._every:
            self.full = len(self.rows)

    def cut(self, count: int, events: Sequence[Event]) -> Cut:
        """The first `count` rows, which are held no longer."""
        done = Cut(self.start, tuple(self.rows[:count]), tuple(events))
        rest = list(zip(self.rows[count:], self._sizes[count:], strict=True))
        self.start += count
        self.rows, self._sizes, self._told, self.full = [], [], 0, 0
        for row, size in rest:
            self.add(row, size)
        return done


def _valued(rows: Iterable[Example], signal: Signal | None, block: int) -> Iterator[tuple[Example, Value]]:
    """Every row and what the detector is told of it."""
    coming = iter(rows)
    while part := list(islice(coming, block)):
        yield from zip(part, signal(part) if signal is not None else [None] * len(part), strict=True)


def unlabelled(
    rows: Iterable[Example],
    every: int | None = None,
    length: Callable[[Example], int] | None = None,
    detector: Detector | None = None,
    signal: Signal | None = None,
    late: int = LATE,
) -> Iterator[Experience]:
    """As `cuts`, an Experience each, numbered: any learner takes them as it takes a stream whose boundaries are told.

    What an event does is what the learner does between experiences: methods consolidate in `end` (Fisher, merge), renew teachers and replay in `begin`,
    `routed_adapters` opens a domain where the rows are new to it.

    >>> rows = [Example(text=f"row {number}") for number in range(5)]
    >>> [(experience.name, len(experience.train)) for experience in unlabelled(rows, every=2)]
    [('1', 2), ('2', 2), ('3', 1)]
    """
    for number, cut in enumerate(cuts(rows, every, length, detector, signal, late=late), 1):
        yield Experience(str(number), cut.rows, time=next((row.time for row in cut.rows if row.time), ""))
