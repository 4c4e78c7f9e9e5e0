"""Lines of other people's tables, each mistake with its file and line."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from everlearn.errors import DataError
from everlearn.streams.files import listed
from everlearn.streams.lines import decoded, lines_of, parsed

LONGEST = 1_000_000  # bytes of one line
T = TypeVar("T")
# A line's place, as a message names it, and its cells.
Line = tuple[str, list[str]]


def cells(path: Path, mark: str) -> Iterator[Line]:
    """The cells of each line that is not blank, cut at `mark`; of a .csv file as CSV, without its header."""
    if path.suffix.lower() == ".csv":
        reader = csv.reader((text for _, text in _texts(path)), strict=True)
        try:
            for at, row in enumerate(reader):
                if at and row:
                    yield f"{path}:{reader.line_num}", row
        except csv.Error as problem:
            raise DataError(f"{path}:{reader.line_num}: not CSV: {problem}. Put a cell with commas in double quotes.") from problem
        return
    for place, text in _texts(path):
        if line := text.rstrip("\r\n"):
            yield place, line.split(mark)


def objects(path: Path) -> Iterator[tuple[str, dict[str, object]]]:
    """The JSON object of each line that is not blank, with its place."""
    for place, text in _texts(path):
        if text.strip():
            try:
                row = parsed(text.rstrip())
            except DataError as problem:
                raise DataError(f"{place}: {problem}") from problem
            if not isinstance(row, dict):
                raise DataError(f"{place}: JSON, but not an object. A line is one JSON object, in braces. Correct it.")
            yield place, row


def _texts(path: Path) -> Iterator[tuple[str, str]]:
    """Each line with its place. Raises DataError with the place of one that is too long or not UTF-8."""
    for number, line in enumerate(lines_of(path, LONGEST), 1):
        try:
            yield f"{path}:{number}", decoded(line, LONGEST)
        except DataError as problem:
            raise DataError(f"{path}:{number}: {problem}") from problem


def every(lines: Iterable[tuple[str, object]], read: Callable[[str, object], T]) -> list[T]:
    """What `read(place, row)` makes of each line. Raises DataError with all lines that cannot be read, the first ones shown."""
    found, wrong = list[T](), list[str]()
    for place, row in lines:
        try:
            found.append(read(place, row))
        except DataError as problem:
            wrong.append(f"{place}: {problem}")
    if wrong:
        raise DataError(f"{len(wrong)} lines cannot be used.{listed(wrong)}")
    return found


def the(folder: Path, *names: str) -> Path:
    """The first of these files that the folder has. Raises DataError where it has none."""
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise DataError(f"a file is missing (folder={str(folder)!r}, file={' or '.join(map(repr, names))}). Put it there.")
