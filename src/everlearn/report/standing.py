"""How methods stand to each other: differences that are clear, the Pareto front, ranks over streams, and what fell."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from everlearn.evaluate.intervals import interval, over_runs
from everlearn.evaluate.matrix import Cell, Matrix, mean
from everlearn.report.saved import RunRecord
from everlearn.report.sections import QUALITY, Method, Section


@dataclass(frozen=True, slots=True)
class Gap:
    """How far `one` is ahead of `other` in a metric.

    ends: of the paired 95 % interval, None where only the two intervals are known.   apart: whether the interval leaves 0 out; None is unknown.
    """

    one: Method
    other: Method
    mean: float
    ends: tuple[float, float] | None
    apart: bool | None


def gap(section: Section, one: Method, other: Method, metric: str = QUALITY) -> Gap | None:
    """The paired difference, recorded or from the answers; else whether the two intervals overlap; None without the numbers."""
    a, b = one.metric(metric), other.metric(metric)
    if a is None or b is None:
        return None
    for told in section.differences:
        sign = {(one.label, other.label): 1.0, (other.label, one.label): -1.0}.get((told.method, told.against))
        if told.metric == metric and sign is not None:
            if told.low is None or told.high is None:
                return Gap(one, other, sign * told.mean, None, None)
            low, high = sorted((sign * told.low, sign * told.high))
            return Gap(one, other, sign * told.mean, (low, high), low > 0 or high < 0)
    shared = [one.draws[key] - other.draws[key] for key in one.draws if key in other.draws] if metric == QUALITY else []
    ends = interval(over_runs(shared)) if shared else None
    if ends is not None:
        return Gap(one, other, a - b, ends, ends[0] > 0 or ends[1] < 0)
    mine, theirs = one.interval(metric), other.interval(metric)
    apart = None if mine is None or theirs is None else mine[0] > theirs[1] or mine[1] < theirs[0]
    return Gap(one, other, a - b, None, apart)


def tied(section: Section) -> list[Method]:
    """The best at the end and those that its interval does not tell apart from it, best first; the best alone where intervals are not known."""
    ranked = [method for method in section.ranked if method.metric(QUALITY) is not None]
    return [other for other in ranked if other is ranked[0] or ((found := gap(section, ranked[0], other)) is not None and found.apart is False)]


def front(methods: Sequence[Method], cost: Callable[[Method], Cell], quality: Callable[[Method], Cell]) -> list[Method]:
    """Those that no other beats in cost and quality at once, the cheapest first; bounds are not asked."""
    known = [
        (price, -worth, method) for method in methods if not method.bound and (price := cost(method)) is not None and (worth := quality(method)) is not None
    ]
    found: list[tuple[float, float, Method]] = []
    for price, worth, method in sorted(known, key=lambda entry: entry[:2]):
        if not found or worth < found[-1][1]:
            found.append((price, worth, method))
    return [method for _, _, method in found]


def ranks(sections: Sequence[Section]) -> dict[str, float]:
    """The mean rank over all sections of each method that ran in every one, if two or more did; 1 is the best, equals share their ranks."""
    everywhere = set.intersection(*({m.label for m in section.ranked if m.metric(QUALITY) is not None} for section in sections)) if sections else set()
    if len(everywhere) < 2:
        return {}
    found: dict[str, list[float]] = {}
    for section in sections:
        scores = {m.label: m.metric(QUALITY) or 0.0 for m in section.ranked if m.label in everywhere}
        for label, score in scores.items():
            above = sum(other > score for other in scores.values())
            level = sum(other == score for other in scores.values())
            found.setdefault(label, []).append(above + (level + 1) / 2)
    return {label: sum(places) / len(places) for label, places in found.items()}


def averaged(runs: Sequence[RunRecord]) -> Matrix:
    """The cell-by-cell mean of runs in one order, tasks as in the first."""
    first = runs[0].scores
    columns = [[run.matrix.tasks.index(task) for task in first.tasks] for run in runs]

    def cells(matrices: Sequence[Sequence[Sequence[Cell]]]) -> tuple[tuple[Cell, ...], ...]:
        places = range(len(first.tasks))
        return tuple(tuple(mean(m[i][at[j]] for m, at in zip(matrices, columns, strict=True)) for j in places) for i in range(len(matrices[0])))

    rows, lasting = (cells(part) for part in ([run.matrix.rows for run in runs], [run.matrix.lasting for run in runs]))
    return Matrix(first.tasks, first.experiences, rows, first.learned, first.kinds, lasting)


def just_learned(method: Method, kind: str) -> Cell:
    """The mean, over the tasks of one kind of score that are taught, of the score right after."""
    matrices = [run.scores for run in method.runs]
    return mean(m.rows[at][j] for m in matrices for j, at in enumerate(m.learned) if at and m.kinds[j] == kind)


@dataclass(frozen=True, slots=True)
class Fall:
    """A task's best score since it was learned, and the one at the end."""

    task: str
    best: float
    end: float

    @property
    def lost(self) -> float:
        return self.best - self.end


def falls(method: Method, kind: str) -> list[Fall]:
    """What fell by at least 0.05 points, the deepest first: tasks of one kind of score, in the given order of the stream where there is a run in it."""
    matrix = averaged(next(iter(method.orders.values())))
    found = []
    for j, at in enumerate(matrix.learned):
        since = [row[j] for row in (matrix.lasting or matrix.rows)[at:] if row[j] is not None]
        end = matrix.rows[-1][j]
        if matrix.kinds[j] == kind and end is not None and len(since) > 1:
            found.append(Fall(matrix.tasks[j], max(value for value in since if value is not None), end))
    return sorted((fall for fall in found if fall.lost >= 0.0005), key=lambda fall: -round(fall.lost, 6))
