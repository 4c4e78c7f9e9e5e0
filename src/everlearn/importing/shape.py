"""From a file's own numbers to a Matrix: its scale, the row before training, who was taught when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from everlearn.errors import DataError, SettingError
from everlearn.evaluate.matrix import Cell, Matrix
from everlearn.importing.found import Found, Imported, Scale, numbered

EXACT = 1e-6  # a share of 1 may come out of float32 that much larger
FEW = 3  # as many zeros above the diagonal say that nothing was measured there


@dataclass(frozen=True, slots=True)
class Given:
    """What the user says of a file, where it does not say so itself.

    scale: of every number in it.   before: is the first row the model before training.   learned: for each task its experience, 0 for none.
    """

    scale: Literal["auto", "percent", "share"] = "auto"
    before: Literal["auto", "yes", "no"] = "auto"
    learned: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.scale not in ("auto", "percent", "share"):
            raise SettingError(f"scale must be 'auto', 'percent' or 'share', got {self.scale!r}.")
        if self.before not in ("auto", "yes", "no"):
            raise SettingError(f"before must be 'auto', 'yes' or 'no', got {self.before!r}. It says whether the first row is the model before training.")


def finished(found: Found, layout: str, file: str, given: Given) -> Imported:
    """The run with its matrix in shares. Raises DataError where the numbers are no scores or do not say what they belong to."""
    width = len(found.rows[0]) if found.rows else 0
    tasks, kinds = found.tasks or numbered(width), found.kinds or ("accuracy",) * width
    place = f"file={file!r}, run={found.name!r}" if found.name else f"file={file!r}"
    if not width:
        raise DataError(f"there is no number in this matrix ({place}). It needs a row an experience and a column a task.")
    if not len(tasks) == len(kinds) == width:
        raise DataError(f"names and columns do not fit ({place}, tasks={len(tasks)}, kinds={len(kinds)}, columns={width}). Each task has one of each.")
    before = _before(found, given, width, place)
    many = len(found.rows) - before
    rows, notes = _scaled(found, kinds, tasks, given, place)
    if not many:
        raise DataError(f"there is only the row before training ({place}). A matrix needs a row after at least one experience.")
    learned = _learned(found, given, rows[before:], before, place)
    if not before or all(cell is None for cell in rows[0]):
        notes.append("There is no row before training: forward transfer cannot be computed and stays empty.")
        rows = [[None] * width, *_without_padding(rows[before:], learned, notes)]
    experiences = (found.experiences[-many:] if found.experiences else ()) or tuple(str(number) for number in range(1, many + 1))
    matrix = Matrix(tasks, experiences, tuple(map(tuple, rows)), learned, kinds)
    if matrix.metrics()["average_accuracy"] is None:
        raise DataError(f"the last row has no number ({place}, row={len(rows) - 1}). The row after the last experience is what all metrics are of.")
    return Imported(found.name, found.seed or 0, layout, file, matrix, found.stated, found.stream, (*found.notes, *notes))


def _before(found: Found, given: Given, width: int, place: str) -> int:
    """1 if the first row is from before training, else 0."""
    if given.before != "auto":
        return int(given.before == "yes")
    if found.before is not None:
        return int(found.before)
    if given.learned:
        return int(len(found.rows) > max(given.learned))
    blanks = [_first(found.rows, j) for j in range(width)]
    if len(found.rows) in (width, width + 1):
        return len(found.rows) - width
    if any(blanks):
        return 0
    raise DataError(
        f"a matrix of {len(found.rows)} rows and {width} tasks does not say which row taught which task ({place}). Rows and tasks are equally many, or there"
        " is one row more, from before training, or tasks not yet taught are blank. Give `learned`, each task's experience: --learned 1,1,2."
    )


def _learned(found: Found, given: Given, rows: Sequence[Sequence[Cell]], before: int, place: str) -> tuple[int, ...]:
    """For each task the experience that teaches it."""
    width, many = len(rows[0]), len(rows)
    learned = given.learned or found.learned
    if learned is None:
        learned = tuple(range(1, many + 1)) if width == many else ()
    if not learned and not before and any(_first(rows, j) for j in range(width)):
        learned = tuple(_first(rows, j) + 1 for j in range(width))  # first tested once it was taught
    if len(learned) != width or not all(0 <= at <= many for at in learned):
        raise DataError(
            f"`learned` must give each of the {width} tasks an experience from 1 to {many}, or 0 ({place}, learned={learned!r}). Give --learned 1,2,... ."
        )
    return learned


def _first(rows: Sequence[Sequence[Cell]], j: int) -> int:
    """The first row with a number for task j; 0 where there is none."""
    return next((i for i, row in enumerate(rows) if row[j] is not None), 0)


def _scaled(found: Found, kinds: Sequence[str], tasks: Sequence[str], given: Given, place: str) -> tuple[list[list[Cell]], list[str]]:
    """The rows in shares, and a note on every kind whose scale was told from its numbers."""
    factors, notes = dict[str, float](), []
    for kind in dict.fromkeys(kinds):
        numbers = [cell for row in found.rows for cell, own in zip(row, kinds, strict=True) if own == kind and cell is not None]
        top = max(numbers, default=0.0)
        known: Scale | None = given.scale if given.scale != "auto" else found.scales.get(kind)
        factors[kind] = 100.0 if (known or ("percent" if top > 1 + EXACT else "share")) == "percent" else 1.0
        if known is None:
            of = f" of {kind}" if len(set(kinds)) > 1 else ""
            notes.append(f"Numbers{of} up to {top:g} are read as {'per cent' if factors[kind] == 100 else 'shares'}.")
    scaled = [[None if cell is None else cell / factors[kind] for cell, kind in zip(row, kinds, strict=True)] for row in found.rows]
    for i, row in enumerate(scaled):
        for j, cell in enumerate(row):
            if cell is not None and not 0 <= cell <= 1 + EXACT:
                raise DataError(
                    f"a score is outside 0 to {factors[kinds[j]]:g} ({place}, row={i + 1}, task={tasks[j]!r}, score={found.rows[i][j]!r})."
                    " Scores are shares or per cent, higher is better. Give another scale, or a file of scores."
                )
    return [[None if cell is None else min(cell, 1.0) for cell in row] for row in scaled], notes


def _without_padding(rows: list[list[Cell]], learned: Sequence[int], notes: list[str]) -> list[list[Cell]]:
    """Zeros that only fill the square up are no scores."""
    early = [(i, j) for j, at in enumerate(learned) for i in range(at - 1) if rows[i][j] is not None]
    if len(early) < FEW or any(rows[i][j] for i, j in early):
        return rows
    notes.append("All scores of tasks not yet taught are exactly 0; they are read as not measured.")
    return [[None if (i, j) in set(early) else cell for j, cell in enumerate(row)] for i, row in enumerate(rows)]
