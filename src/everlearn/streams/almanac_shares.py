"""What became of the almanac's facts, as shares: kept, changed, new, unseen phrasings, the old answers' return, skills."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from everlearn.types import Example

# By task, a number for each of its questions, in order; None where the question is no part of the metric.
ByTask = dict[str, list[float | None]]


@dataclass(frozen=True, slots=True)
class Asked:
    """A test row, its score at the end, whether the outdated answer came, and its score right after its task was learned."""

    example: Example
    value: float
    old: bool
    learned: float


def almanac_shares(asked: Mapping[str, Sequence[Asked]], rehearsed: Iterable[str]) -> dict[str, ByTask]:
    """The almanac's own metrics: by metric and task one number a question, None where it is no part of it; their mean (`share`) is the metric.

    kept: facts of period 0 that never changed, right at the end; kept_never_rehearsed: those of which no row came from memory during the
    stream (rehearsed: the sources of rows that did). changed, new: right just after they were learned; _at_end: those still true, at the end.
    seen_phrasing, unseen_phrasing: all facts true at the end, in a taught phrasing and in one never trained on. stale: changed facts answered
    with the old answer at the end. skills, skills_before: what the stream never touches, at the end and before it.
    """
    touched = set(rehearsed)

    def of(groups: Sequence[str], number: Callable[[Asked], float], counts: Callable[[Asked], bool] = lambda row: row.example.until is None) -> ByTask:
        tasks = {task: rows for task, rows in asked.items() if task.rstrip("0123456789") in groups}
        return {task: [number(row) if counts(row) else None for row in rows] for task, rows in tasks.items()}

    return {
        "kept": of(["kept"], lambda row: row.value),
        "kept_never_rehearsed": of(["kept"], lambda row: row.value, lambda row: row.example.until is None and row.example.source not in touched),
        "changed": of(["changed"], lambda row: row.learned, lambda row: True),
        "changed_at_end": of(["changed"], lambda row: row.value),
        "new": of(["new"], lambda row: row.learned, lambda row: True),
        "new_at_end": of(["new"], lambda row: row.value),
        "seen_phrasing": of(["kept", "changed", "new"], lambda row: row.value),
        "unseen_phrasing": of(["unseen"], lambda row: row.value),
        "stale": of(["changed"], lambda row: float(row.old)),
        "skills": of(["skills"], lambda row: row.value),
        "skills_before": of(["skills"], lambda row: row.learned),
    }


def share(numbers: ByTask) -> float | None:
    """The mean over all tasks' numbers, None of none.

    >>> share({"kept": [1.0, None, 0.0], "kept2": [1.0, 1.0]})
    0.75
    """
    counted = [number for of in numbers.values() for number in of if number is not None]
    return sum(counted) / len(counted) if counted else None
