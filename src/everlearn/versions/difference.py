"""What differs between two versions: which answers flipped, task by task, with both answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

from everlearn.evaluate.paired import sign_test
from everlearn.evaluate.scores import Answer, right
from everlearn.types import Example


@dataclass(frozen=True, slots=True)
class Flip:
    """One test row that both versions answered, and not equally well. before, after: the scores.   said: what each said."""

    id: str
    asked: str
    right: str
    before: float
    after: float
    said_before: str
    said_after: str


@dataclass(frozen=True, slots=True)
class TaskDifference:
    """A task's rows that both versions answered: their mean before and after, those that got worse and those that got better, the worst first.

    p: how likely so uneven a split of the two is by chance (exact sign test, two-sided).
    """

    task: str
    rows: int
    before: float
    after: float
    lost: tuple[Flip, ...]
    gained: tuple[Flip, ...]
    p: float


@dataclass(frozen=True, slots=True)
class VersionDifference:
    """Two versions of a home, by number and id; only tasks both answered. unasked: tasks of either that the other was never asked."""

    before: tuple[int, str]
    after: tuple[int, str]
    tasks: tuple[TaskDifference, ...]
    unasked: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def lines(self, most: int = 10) -> Iterator[str]:
        """The difference as text. most: flips shown of a task in each direction."""
        yield f"Version {self.before[0]} ({self.before[1][:8]}) to version {self.after[0]} ({self.after[1][:8]})"
        for task in self.tasks:
            yield ""
            change = f"{100 * task.before:.1f} % to {100 * task.after:.1f} % of {task.rows} rows"
            yield f"{task.task}: {change}, {len(task.lost)} worse, {len(task.gained)} better (p = {task.p:.2g})"
            yield from _shown("-", task.lost, most)
            yield from _shown("+", task.gained, most)
        if self.unasked:
            yield ""
            yield f"Not compared, as only one of the two was asked: {', '.join(self.unasked)}."


def compare_answers(task: str, rows: Sequence[Example], before: Mapping[str, Answer], after: Mapping[str, Answer]) -> TaskDifference | None:
    """The task's difference over the rows that both answered; None where there are none."""
    both = [row for row in rows if row.id in before and row.id in after]
    if not both:
        return None
    flips = sorted((_flip(row, before[row.id], after[row.id]) for row in both), key=lambda flip: flip.after - flip.before)
    lost, gained = tuple(f for f in flips if f.after < f.before), tuple(f for f in reversed(flips) if f.after > f.before)
    means = fmean(before[row.id].value for row in both), fmean(after[row.id].value for row in both)
    return TaskDifference(task, len(both), *means, lost, gained, sign_test(len(gained), len(lost)))


def _flip(row: Example, before: Answer, after: Answer) -> Flip:
    return Flip(row.id, row.question or row.text or "", (right(row) or "").strip(), before.value, after.value, before.said.strip(), after.said.strip())


def _shown(sign: str, flips: Sequence[Flip], most: int) -> Iterator[str]:
    for flip in flips[:most]:
        said = f"{flip.said_before!r} ({flip.before:.2g}) -> {flip.said_after!r} ({flip.after:.2g})"
        yield f"  {sign} {' '.join(flip.asked.split())[-100:]}  right: {flip.right!r}   {said}"
    if len(flips) > most:
        yield f"  {sign} and {len(flips) - most} more; --json and --page show all"
