"""Rows from anywhere, cut into chunks by number, tokens or time: what a learner is given where nobody says where one task ends."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from datetime import date
from pathlib import Path
from typing import Literal, get_args

from everlearn.errors import DataError, SettingError
from everlearn.streams.files import LONGEST_LINE, SUFFIXES, read_examples
from everlearn.streams.lines import decoded, parsed
from everlearn.streams.rows import short, to_example
from everlearn.types import Example

Span = Literal["day", "week", "month", "year"]


def by_rows(rows: Iterable[Example], size: int) -> Iterator[tuple[Example, ...]]:
    """Chunks of `size` rows, the last as it comes.

    >>> [len(chunk) for chunk in by_rows([Example(text="a"), Example(text="b"), Example(text="c")], 2)]
    [2, 1]
    """
    return by_tokens(rows, _at_least("size", size), lambda row: 1)


def by_tokens(rows: Iterable[Example], size: int, length: Callable[[Example], int]) -> Iterator[tuple[Example, ...]]:
    """Chunks of `size` tokens: each ends with the row that reaches them, so a row is never split.

    length: a row's tokens, such as `models.signals.token_counter` gives with a model's tokenizer. A chunk comes as soon as it is full.
    """
    _at_least("size", size)
    held, told = list[Example](), 0
    for row in rows:
        held.append(row)
        told += length(row)
        if told >= size:
            yield tuple(held)
            held, told = [], 0
    if held:
        yield tuple(held)


def by_time(rows: Iterable[Example], span: Span) -> Iterator[tuple[Example, ...]]:
    """Chunks of rows whose `time` is in the same day, week (from Monday), month or year; rows come in the order of time.

    Raises DataError for a row without a time, with too coarse a one, or one before the last.
    """
    if span not in get_args(Span):
        raise SettingError(f"span must be one of {', '.join(get_args(Span))}, got {span!r}.")
    held, now, latest = list[Example](), "", ""
    for row in rows:
        here = _within(row, span)
        if here < now:
            raise DataError(f"a row is older than the one before (id={row.id!r}, time={row.time!r}, before={latest!r}). Sort the rows by time.")
        if held and here != now:
            yield tuple(held)
            held = []
        held.append(row)
        now, latest = here, row.time
    if held:
        yield tuple(held)


def folder_rows(folder: str | Path) -> Iterator[Example]:
    """The rows of every file of a folder that holds rows (.jsonl, .jsonl.gz, .csv, .parquet), in the order of the files' names.

    Raises DataError where there is no such folder or no such file in it, and as `read_examples`.
    """
    place = Path(folder)
    if not place.is_dir():
        raise DataError(f"there is no such folder (folder={str(place)!r}). Name one with files of rows.")
    files = sorted(path for path in place.iterdir() if path.is_file() and path.name.lower().endswith(SUFFIXES) and not path.name.startswith("."))
    if not files:
        raise DataError(f"a folder holds no rows (folder={str(place)!r}). Files of rows end in {', '.join(SUFFIXES)}.")
    for path in files:
        yield from read_examples(path)


def tail_rows(path: str | Path, every: float = 1.0, idle: float | None = None) -> Iterator[Example]:
    """The rows of a .jsonl file, and those appended to it later, as soon as their line is whole.

    every: seconds between looks.   idle: seconds without a new line after which it ends; None waits for ever. A line that is no row raises DataError with
    its number, as does a file that became shorter: what was read of it no longer is what it says.
    """
    place = Path(path)
    if not place.is_file() or not place.name.lower().endswith(".jsonl"):
        raise DataError(f"there is no such file to follow (file={str(place)!r}). Name a .jsonl file, one JSON object a line.")
    number, rest, quiet = 0, b"", 0.0
    with place.open("rb") as file:
        while True:
            new = file.readline()
            if not new:
                if place.stat().st_size < file.tell():
                    raise DataError(f"a followed file became shorter (file={str(place)!r}, line={number}). Append to it only, or follow the new file.")
                if idle is not None and quiet >= idle:
                    return
                time.sleep(every)
                quiet += every
                continue
            rest, quiet = rest + new, 0.0
            if rest.endswith(b"\n"):
                number, line, rest = number + 1, rest, b""
                if line.strip():
                    yield _row(place, number, line)


def _row(place: Path, number: int, line: bytes) -> Example:
    try:
        row = parsed(decoded(line, LONGEST_LINE).rstrip())
        if not isinstance(row, dict):
            raise DataError(f"JSON, but not an object ({short(row)}). A line is one JSON object, in braces. Correct it.")
        return to_example(row)
    except DataError as problem:
        raise DataError(f"{place}:{number}: {problem}") from problem


def _within(row: Example, span: Span) -> str:
    """The span a row lies in, as text that sorts as time does."""
    digits = {"year": 4, "month": 7, "week": 10, "day": 10}[span]
    if len(row.time) < digits:
        raise DataError(f"a row has no time to cut by (id={row.id!r}, time={row.time!r}, span={span!r}). Give it an ISO date, at least to the {span}.")
    if span != "week":
        return row.time[:digits]
    try:
        year, week, _ = date.fromisoformat(row.time[:10]).isocalendar()
    except ValueError as problem:
        raise DataError(f"a row's time is no date (id={row.id!r}, time={row.time!r}). Give an ISO date such as 2024-05-31.") from problem
    return f"{year:04}-{week:02}"


def _at_least(name: str, value: int) -> int:
    if value < 1:
        raise SettingError(f"{name} must be at least 1, got {value!r}. It is how much one chunk holds.")
    return value
