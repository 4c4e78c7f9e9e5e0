"""A home's versions as its pages tell of them: their states, the time line, the heat map, what happened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from everlearn.errors import StateError
from everlearn.serve.pool import Standing
from everlearn.versions.home import Home
from everlearn.versions.record import TaskScore, Version

NEWEST = 40  # versions shown at once
EVENTS = 12
WHYS = {
    "start": "happened_start",
    "accepted": "happened_accepted",
    "rollback": "happened_rollback",
    "rebase": "happened_rebase",
    "by hand, against the gate": "happened_by_hand",
}
LEFT, RIGHT, TOP, SCORES, BARS = 4, 36, 12, 120, 36  # of the drawing: its margins, how high the scores and the bars of rows are
BASE = TOP + SCORES + 22 + BARS  # where the bars stand
NARROW, WIDE, FULL = 46, 84, 940  # a column's width, and that of the whole where it is not scrolled


@dataclass(frozen=True, slots=True)
class Went:
    """A mean over rows, before and after a version, None where it was not asked."""

    before: float | None
    after: float | None


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened. key: of its words.   version: that it is about."""

    time: str
    key: str
    version: Version


@dataclass(frozen=True, slots=True)
class Stem:
    """A score drawn: from before to after, None where it has no before. Heights from the top."""

    x: float
    start: float | None
    end: float


@dataclass(frozen=True, slots=True)
class Column:
    """A version drawn on the time line. rows: it learned.   bar: how high they stand.   new, old: its scores."""

    version: Version
    state: str
    rows: int
    x: float
    bar: float
    new: Stem | None
    old: Stem | None

    def went(self, new: bool) -> Went:
        return went(self.version, new)


@dataclass(frozen=True, slots=True)
class Line:
    """The time line as it is drawn."""

    columns: tuple[Column, ...]
    width: float
    height: int = BASE + 40


@dataclass(frozen=True, slots=True)
class Cell:
    """A score on the heat map. level: 0 to 10, its shade.   new: just taught."""

    score: float | None
    level: int
    new: bool


class History:
    """The home as it is at this moment."""

    def __init__(self, home: Home, standing: Standing) -> None:
        self.home, self.standing, self.moves = home, standing, home.moves
        self.versions = home.versions()  # after the moves: whatever was put into service is there
        self.withdrawn, self.served = home.objects.withdrawn(), {move["version"] for move in self.moves}
        self.head = home.head
        self.answers, self.trial = standing.served.version.id, standing.trial.version.id if standing.trial is not None else ""
        self._by_id = {version.id: version for version in self.versions}

    def state(self, version: Version) -> str:
        """The key of its state's words. In service is what answers, whatever the home says: its head may be on trial, or impossible to open."""
        if version.id == self.answers:
            return "in_service"
        if version.id == self.trial:
            return "on_trial"
        if version.id == self.head.id:
            return "not_answering"
        if version.id in self.withdrawn:
            return "withdrawn"
        if version.id in self.served:
            return "earlier"
        return "never_served" if version.accepted else "refused"

    def can_return(self, version: Version) -> bool:
        """May it be put back into service from a page?"""
        try:
            self.home.usable(version)
        except StateError:
            return False
        return version.id in self.served and version.id != self.head.id

    def parent(self, version: Version) -> Version | None:
        return self._by_id.get(version.parent or "")

    @cached_property
    def since(self) -> str:
        """When the version that answers was last put into service."""
        return next((move["time"] for move in reversed(self.moves) if move["version"] == self.answers), "")

    def events(self) -> list[Event]:
        """The latest first: promotions, rollbacks, refusals."""
        moved = [
            Event(move["time"], WHYS.get(move["why"], "happened_forgotten"), self._by_id[move["version"]])
            for move in self.moves
            if move["version"] in self._by_id
        ]
        refused = [Event(version.created, "happened_refused", version) for version in self.versions if not version.accepted]
        return sorted([*moved, *refused], key=lambda event: event.time)[: -EVENTS - 1 : -1]

    def counts(self) -> list[tuple[str, int]]:
        """Words' keys with numbers, for the top of a page."""
        rows = sum(rows_learned(version) for version in self.versions if version.accepted)
        tasks = len({task for version in self.versions for task in version.tasks})
        return [
            ("count_versions", len(self.versions)),
            ("count_accepted", sum(version.accepted for version in self.versions if version.parent)),
            ("count_rows", rows),
            ("count_tasks", tasks),
        ]

    def shown(self, every: bool) -> list[Version]:
        return self.versions if every else self.versions[-NEWEST:]

    def line(self, versions: Sequence[Version]) -> Line:
        """The time line of these versions."""
        step = max(NARROW, min(WIDE, (FULL - LEFT - RIGHT) / max(1, len(versions))))
        most = max([1, *map(rows_learned, versions)])
        columns = []
        for at, version in enumerate(versions):
            x, rows = round(LEFT + step * (at + 0.5), 1), rows_learned(version)
            bar = round(3 + (BARS - 3) * rows / most, 1) if rows else 0.0
            columns.append(Column(version, self.state(version), rows, x, bar, _stem(x - 6, went(version, True)), _stem(x + 6, went(version, False))))
        return Line(tuple(columns), LEFT + step * len(versions) + RIGHT)

    def heat(self, versions: Sequence[Version]) -> list[tuple[str, list[Cell]]]:
        """By task, in the order in which they came: a cell for each of these versions."""
        tasks = dict.fromkeys(task for version in versions for task in version.tasks)
        return [(task, [_cell(version.tasks.get(task)) for version in versions]) for task in tasks]


def rows_learned(version: Version) -> int:
    """How many; a start remembers rows, and learned none of them here."""
    return version.arrived.count if version.arrived is not None and version.parent is not None else 0


def went(version: Version, new: bool) -> Went:
    """The mean over all rows of its new tasks, or of the earlier ones."""
    tasks = [of for of in version.tasks.values() if of.new == new and of.after is not None]
    rows = sum(of.rows for of in tasks)
    if not rows:
        return Went(None, None)
    before = None if any(of.before is None for of in tasks) else sum((of.before or 0.0) * of.rows for of in tasks) / rows
    return Went(before, sum((of.after or 0.0) * of.rows for of in tasks) / rows)


def _stem(x: float, of: Went) -> Stem | None:
    if of.after is None:
        return None
    return Stem(x, None if of.before is None else _height(of.before), _height(of.after))


def _height(score: float) -> float:
    return round(TOP + SCORES * (1 - min(1.0, max(0.0, score))), 1)


def _cell(of: TaskScore | None) -> Cell:
    score = None if of is None else of.after
    return Cell(score, 0 if score is None else round(10 * min(1.0, max(0.0, score))), of is not None and of.new)
