"""The Matrix R[i, j] and what continual learning reads from it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from everlearn.errors import DataError

METRICS = ("average_accuracy", "forgetting", "forgetting_from_learned", "backward_transfer", "forward_transfer", "learning_accuracy")
Cell = float | None


@dataclass(frozen=True, slots=True)
class Matrix:
    """R[i, j], the score on task j after experience i, 0 to 1; row 0 is the model before the stream.

    tasks: J names.   experiences: T names.   rows: T + 1 rows of J cells; None where nothing was measured.   learned: for each task the
    first experience (1-based) with training rows of it, 0 if there is none.   kinds: each task's kind of score.   lasting: `rows` over
    those test rows alone that still count at the end, where some do not (`until`); empty where all do.

    Row 0, then two experiences that teach one task each; the second cost the first 0.6:

    >>> matrix = Matrix(("a", "b"), ("1", "2"), ((0.0, 0.1), (0.9, 0.2), (0.3, 0.8)), (1, 2), ("exact", "exact"))
    >>> {name: round(value, 2) for name, value in matrix.metrics().items() if value is not None}  # doctest: +NORMALIZE_WHITESPACE
    {'average_accuracy': 0.55, 'forgetting': 0.6, 'forgetting_from_learned': 0.6, 'backward_transfer': -0.3,
     'forward_transfer': 0.1, 'learning_accuracy': 0.85}
    """

    tasks: tuple[str, ...]
    experiences: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    learned: tuple[int, ...]
    kinds: tuple[str, ...]
    lasting: tuple[tuple[Cell, ...], ...] = ()

    def __post_init__(self) -> None:
        if len(self.rows) != len(self.experiences) + 1:
            raise DataError(f"a matrix needs {len(self.experiences) + 1} rows, one before the stream and one after each experience, got {len(self.rows)}.")
        if self.lasting and len(self.lasting) != len(self.rows):
            raise DataError(f"`lasting` needs as many rows as the matrix, {len(self.rows)}, or none, got {len(self.lasting)}.")
        if any(len(part) != len(self.tasks) for part in (*self.rows, *self.lasting, self.learned, self.kinds)):
            raise DataError(f"every row, `learned` and `kinds` need one entry for each of the {len(self.tasks)} tasks.")
        if any(not 0 <= at <= len(self.experiences) for at in self.learned):
            raise DataError(f"learned must be between 0 and the number of experiences, {len(self.experiences)} (learned={self.learned!r}).")

    @property
    def main_kind(self) -> str:
        """The kind of score that most tasks have; of equally many, the first."""
        return max(dict.fromkeys(self.kinds), key=self.kinds.count)

    def metrics(self, kind: str | None = None) -> dict[str, Cell]:
        """The metrics over the tasks of one kind of score (by default the main one); None where no task has the numbers.

        With T the last experience and l = learned(j), each a mean over the tasks that have the numbers: average_accuracy R[T,j];
        forgetting (max over l <= i < T of R[i,j]) - R[T,j] and forgetting_from_learned R[l,j] - R[T,j], both where l < T;
        backward_transfer R[T,j] - R[l,j]; forward_transfer R[l-1,j] - R[0,j] where l >= 2; learning_accuracy R[l,j].
        A task that the stream never teaches has l = 0: what the model scored on it before the stream counts as learned. What compares with
        the end does so over the test rows that still count there: an answer that expired is not forgotten.
        """
        kind = kind or self.main_kind
        columns = [j for j, of in enumerate(self.kinds) if of == kind]
        rows, lasting = (
            np.array([[np.nan if row[j] is None else row[j] for j in columns] for row in part], dtype=float) for part in (self.rows, self.lasting or self.rows)
        )
        found = metrics_of(rows, [self.learned[j] for j in columns], lasting=lasting)
        return {name: None if np.isnan(value) else float(value) for name, value in found.items()}

    def to_json(self) -> dict[str, object]:
        return {
            "tasks": list(self.tasks),
            "experiences": list(self.experiences),
            "rows": [list(row) for row in self.rows],
            "learned": list(self.learned),
            "kinds": list(self.kinds),
        } | ({"lasting": [list(row) for row in self.lasting]} if self.lasting else {})

    @classmethod
    def from_json(cls, saved: Mapping[str, Sequence[object]]) -> Matrix:
        """The matrix that `to_json` wrote."""
        parts = {name: tuple(saved[name]) for name in ("tasks", "experiences", "learned", "kinds")}
        return cls(**parts, rows=tuple(map(tuple, saved["rows"])), lasting=tuple(map(tuple, saved.get("lasting", ()))))  # type: ignore[arg-type]


def metrics_of(
    rows: NDArray[np.float64], learned: Sequence[int], peaks: Sequence[int] | None = None, lasting: NDArray[np.float64] | None = None
) -> dict[str, NDArray[np.float64]]:
    """The metrics, as `Matrix.metrics` defines them, of matrices (..., T + 1, J) at once: each (...), NaN where no task has the numbers.

    peaks: by task, the row that forgetting takes as its best; by default each matrix's own.   lasting: the same matrices over the test rows
    that still count at the end, by default all.
    """
    last, stays = rows.shape[-2] - 1, rows if lasting is None else lasting
    columns, lasts = ([(at, part[..., j]) for j, at in enumerate(learned)] for part in (rows, stays))
    early = [(at, column) for at, column in lasts if at < last]
    best = [_best(stays[..., at:last, j]) if peaks is None else stays[..., peaks[j], j] for j, at in enumerate(learned) if at < last]
    none = np.full(rows.shape[:-2], np.nan)
    return {
        "average_accuracy": _mean([column[..., last] for _, column in columns], none),
        "forgetting": _mean([most - column[..., last] for most, (_, column) in zip(best, early, strict=True)], none),
        "forgetting_from_learned": _mean([column[..., at] - column[..., last] for at, column in early], none),
        "backward_transfer": _mean([column[..., last] - column[..., at] for at, column in lasts], none),
        "forward_transfer": _mean([column[..., at - 1] - column[..., 0] for at, column in columns if at >= 2], none),
        "learning_accuracy": _mean([column[..., at] for at, column in columns], none),
    }


def _mean(cells: Sequence[NDArray[np.float64]], none: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean of those cells that are numbers, `none` of none."""
    if not cells:
        return none
    stacked = np.stack(cells)
    many = (~np.isnan(stacked)).sum(0)
    return np.asarray(np.divide(np.nansum(stacked, 0), many, out=none.copy(), where=many > 0))


def _best(cells: NDArray[np.float64]) -> NDArray[np.float64]:
    """The largest number along the last axis, NaN of none."""
    best = np.where(np.isnan(cells), -np.inf, cells).max(-1)
    return np.asarray(np.where(np.isneginf(best), np.nan, best))


def peaks_of(rows: NDArray[np.float64], learned: Sequence[int]) -> list[int]:
    """By task the row, from where it was learned to the last but one, in which a matrix (T + 1, J) is at its best; the first of equals."""
    last = rows.shape[0] - 1
    filled = np.where(np.isnan(rows), -np.inf, rows)
    return [at + int(filled[at:last, j].argmax()) if at < last else at for j, at in enumerate(learned)]


def mean(values: Iterable[Cell]) -> Cell:
    """The mean of those that are numbers, None of none."""
    numbers = [value for value in values if value is not None]
    return sum(numbers) / len(numbers) if numbers else None
