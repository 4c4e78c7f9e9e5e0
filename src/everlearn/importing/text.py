"""Numbers and JSON as files hold them."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from math import isnan
from pathlib import Path

from everlearn.errors import DataError
from everlearn.evaluate.matrix import Cell

BLANK = {"", "-", "–", "—", "nan", "na", "n/a", "none", "null"}


def read_json(path: Path) -> object:
    """What a JSON file holds."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as problem:
        raise DataError(f"this file is no JSON (file={str(path)!r}): {problem}. Give the file as the framework wrote it.") from problem


def as_cell(value: object, place: str) -> Cell:
    """A number, or None where nothing was measured."""
    if isinstance(value, str):
        text = value.strip().removesuffix("%").strip()
        if text.lower() in BLANK:
            return None
        with contextlib.suppress(ValueError):
            value = float(text)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise DataError(f"a score is no number ({place}, score={value!r}). Allowed are numbers, per cent signs, and blanks, nan or null for not measured.")
    return None if isnan(value) else float(value)


def rectangular(rows: Sequence[Sequence[Cell]], place: str, first: int = 1) -> list[list[Cell]]:
    """Rows of one length; a triangle (1, 2, 3 ... cells) is filled up with blanks. Raises DataError that names the first other row.

    first: what the file calls its first row, such as its line.
    """
    width = max((len(row) for row in rows), default=0)
    if [len(row) for row in rows] == list(range(1, width + 1)):
        return [[*row, *[None] * (width - len(row))] for row in rows]
    usual = len(rows[0]) if rows else 0
    for number, row in enumerate(rows):
        if len(row) != usual:
            raise DataError(
                f"the matrix is ragged ({place}, row={number + first}): {len(row)} cells, where the first has {usual}."
                " Rows are equally long, or grow by one cell each, 1, 2, 3 ... . Fill what was not measured with blanks."
            )
    return [list(row) for row in rows]
