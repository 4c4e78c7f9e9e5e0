"""Plain matrices: CSV, JSON and NumPy files with a row an experience and a column a task."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from everlearn.errors import DataError
from everlearn.evaluate.matrix import Cell
from everlearn.importing.found import Found
from everlearn.importing.text import BLANK, as_cell, read_json, rectangular

# What a first row is called that is the model before training, and a first column that holds the rows' names.
BEFORE = {"before", "before training", "init", "initial", "base", "baseline", "start", "zero-shot", "zeroshot", "zero shot", "pretrained", "random"}
CORNER = {"", "experience", "experiences", "after", "step", "row", "trained", "training", "trained on", "index", "task", "tasks", "unnamed: 0", "after task"}
MATRIX = ("matrix", "rows", "acc_matrix", "accuracy_matrix", "accuracies", "accuracy", "acc_table", "results", "R")


def read_csv(path: Path) -> list[Found]:
    """A matrix with commas, semicolons or tabs, with or without names of tasks above and of rows before it."""
    text = path.read_text(encoding="utf-8-sig")
    mark = max(",;\t", key=(text.splitlines() or [""])[0].count)
    lines = [(number, line) for number, line in enumerate(csv.reader(text.splitlines(), delimiter=mark), 1) if any(cell.strip() for cell in line)]
    if mark == ";":
        lines = [(number, [cell.replace(",", ".") for cell in line]) for number, line in lines]  # decimal commas
    if not lines:
        raise DataError(f"this file is empty (file={str(path)!r}). It needs a row an experience and a column a task.")
    first = lines[0][1]
    head = first if _names_tasks(first) else []
    body = lines[1:] if head else lines
    named = bool(head and head[0].strip().lower() in CORNER) or any(not _numeric(line[0]) for _, line in body) or _counts([line[0] for _, line in body])
    place = f"file={str(path)!r}"
    cells = [[as_cell(cell, f"{place}, line={number}") for cell in line[named:]] for number, line in body]
    if head and any(len(line) > len(head) for _, line in body):
        wide = next((number, line) for number, line in body if len(line) > len(head))
        raise DataError(f"a row has more cells than there are names ({place}, line={wide[0]}): {len(wide[1])} cells, {len(head)} names. Mend that line.")
    rows = rectangular(cells, place, body[0][0] if body else 1)
    labels = tuple(line[0].strip() for _, line in body) if named else ()
    tasks = tuple(cell.strip() for cell in head[named:])
    if tasks and rows and len(tasks) != len(rows[0]):
        raise DataError(f"rows and names do not fit ({place}, names={len(tasks)}, cells={len(rows[0])}). Each task has a name above its column.")
    notes = (f"The first line counts ({','.join(head)}) and is read as the tasks' names.",) if _counts(head) else ()
    return [Found("", rows, tasks, labels, _named_before(labels), notes=notes)]


def _names_tasks(first: Sequence[str]) -> bool:
    """Is a file's first line one of names: words, or numbers that count (as pandas names columns)."""
    corner = first[0].strip().lower()
    return not all(_numeric(cell) for cell in first[1:] or first) or _counts(first) or (corner in CORNER and (bool(corner) or _counts(first[1:], 1)))


def _counts(cells: Sequence[str], least: int = 3) -> bool:
    """Do these count 0, 1, 2 ... or 1, 2, 3 ...; two of them could be scores."""
    names = [cell.strip() for cell in cells]
    return len(names) >= least and any(names == [str(number + start) for number in range(len(names))] for start in (0, 1))


def _numeric(cell: str) -> bool:
    try:
        return cell.strip().lower() in BLANK or float(cell.strip().removesuffix("%")) is not None
    except ValueError:
        return False


def _named_before(labels: Sequence[str]) -> bool | None:
    """True where the first row's name says it is from before training; None where names say nothing."""
    return True if labels and labels[0].lower() in BEFORE else None


def read_json_matrix(path: Path) -> list[Found]:
    """Lists of lists, an object with such a matrix (and if given `tasks`, `experiences`, `learned`, `before`, `kinds`), or {row: {task: score}}."""
    saved, place = read_json(path), f"file={str(path)!r}"
    if isinstance(saved, Mapping) and saved and all(isinstance(row, Mapping) for row in saved.values()):
        tasks = tuple(dict.fromkeys(name for row in saved.values() for name in row))
        rows = [[as_cell(row.get(name), f"{place}, row={label!r}") for name in tasks] for label, row in saved.items()]
        return [Found("", rows, tasks, tuple(saved), _named_before(tuple(saved)))]
    parts = saved if isinstance(saved, Mapping) else {"matrix": saved}
    given = next((parts[name] for name in MATRIX if name in parts), None)
    if not isinstance(given, list) or not all(isinstance(row, list) for row in given):
        raise DataError(
            f"there is no matrix in this file ({place}, looked for={list(MATRIX)!r}). Allowed are a list of rows, an object with one under such a name, or an"
            " object of objects by row and task."
        )
    rows = rectangular([[as_cell(cell, f"{place}, row={i}") for cell in row] for i, row in enumerate(given, 1)], place)
    start, learned, kinds = parts.get("before"), parts.get("learned"), _texts(parts.get("kinds"))
    if isinstance(start, list):
        rows = rectangular([[as_cell(cell, f"{place}, row='before'") for cell in start], *rows], place, 0)
    before = True if isinstance(start, list) or kinds else None  # kinds are given by a Matrix of everlearn, which has row 0
    taught = tuple(int(at) for at in learned if isinstance(at, int)) if isinstance(learned, list) else None
    return [Found("", rows, _texts(parts.get("tasks")), _texts(parts.get("experiences")), before, taught, kinds)]


def _texts(value: object) -> tuple[str, ...]:
    return tuple(map(str, value)) if isinstance(value, list) else ()


def read_npy(path: Path) -> list[Found]:
    """An array (T, J), or (runs, T, J); without pickled objects, which could run code."""
    try:
        array = np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as problem:
        raise DataError(f"this array cannot be read (file={str(path)!r}): {problem}. Save numbers alone: numpy.save(file, matrix.astype(float)).") from problem
    if not isinstance(array, np.ndarray) or array.ndim not in (2, 3) or not np.issubdtype(array.dtype, np.number) or np.iscomplexobj(array):
        shown = f"shape={array.shape!r}, type={array.dtype!s}" if isinstance(array, np.ndarray) else "an archive"
        raise DataError(f"this is no matrix of scores (file={str(path)!r}, {shown}). Allowed are numbers of shape (rows, tasks), or (runs, rows, tasks).")
    runs = array[None] if array.ndim == 2 else array
    return [Found("", [_cells(row) for row in run], seed=seed) for seed, run in enumerate(runs.astype(float))]


def _cells(row: np.ndarray) -> list[Cell]:
    return [None if np.isnan(cell) else float(cell) for cell in row]
