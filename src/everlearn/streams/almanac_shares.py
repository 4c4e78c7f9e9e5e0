"""What became of the almanac's facts, as shares: kept, changed, new, unseen phrasings, the old answers' return, skills."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from everlearn.types import Example


@dataclass(frozen=True, slots=True)
class Asked:
    """A test row, its score at the end, whether the outdated answer came, and its score right after its task was learned."""

    example: Example
    value: float
    old: bool
    learned: float


def almanac_shares(asked: Mapping[str, Sequence[Asked]], rehearsed: Iterable[str]) -> dict[str, float | None]:
    """The almanac's own metrics, each a share of questions or None where there are none.

    kept: facts of period 0 that never changed, right at the end; kept_never_rehearsed: those of which no row came from memory during the
    stream (rehearsed: the sources of rows that did). changed, new: right just after they were learned; _at_end: those still true, at the end.
    seen_phrasing, unseen_phrasing: all facts true at the end, in a taught phrasing and in one never trained on. stale: changed facts answered
    with the old answer at the end. skills, skills_before: what the stream never touches, at the end and before it.
    """
    groups = {
        name: [row for task, rows in asked.items() if task.rstrip("0123456789") == name for row in rows]
        for name in ("kept", "changed", "new", "unseen", "skills")
    }
    true = {name: [row for row in rows if row.example.until is None] for name, rows in groups.items()}
    touched = set(rehearsed)
    return {
        "kept": _share(row.value for row in true["kept"]),
        "kept_never_rehearsed": _share(row.value for row in true["kept"] if row.example.source not in touched),
        "changed": _share(row.learned for row in groups["changed"]),
        "changed_at_end": _share(row.value for row in true["changed"]),
        "new": _share(row.learned for row in groups["new"]),
        "new_at_end": _share(row.value for row in true["new"]),
        "seen_phrasing": _share(row.value for name in ("kept", "changed", "new") for row in true[name]),
        "unseen_phrasing": _share(row.value for row in true["unseen"]),
        "stale": _share(float(row.old) for row in true["changed"]),
        "skills": _share(row.value for row in true["skills"]),
        "skills_before": _share(row.learned for row in true["skills"]),
    }


def _share(values: Iterable[float]) -> float | None:
    numbers = list(values)
    return sum(numbers) / len(numbers) if numbers else None
