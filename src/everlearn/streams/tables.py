"""Rows from tables: CSV and parquet."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from datetime import date, datetime
from functools import partial
from importlib import import_module
from pathlib import Path
from types import ModuleType

from everlearn.errors import DataError, MissingExtra
from everlearn.streams.lines import JSON_COLUMNS, Unparsed, decoded, lines_of, parsed
from everlearn.streams.rows import CONTENT, FORMS, KNOWN, misspelt, short

ROWS_AT_ONCE = 1000  # of a parquet file: a few megabytes of text


def csv_rows(path: Path, longest: int) -> Unparsed:
    """The records under the header, each with the line it starts on; DataError at a broken record."""
    reader = csv.reader((decoded(line, longest) for line in lines_of(path, longest)), strict=True)
    start, header = 1, list[str]()
    limit = csv.field_size_limit(longest)  # the csv module's own, 131,072 characters, is below what a row may hold
    try:
        for cells in reader:
            if header and cells:
                yield start, partial(_csv_row, header, cells)
            elif cells:
                header = _header([cell.strip() for cell in cells])
            start = reader.line_num + 1
    except (csv.Error, DataError) as error:
        raise DataError(f"{path}:{start}: not CSV: {error}. Commas, quotes and line breaks stand in double quotes. Correct what starts here.") from error
    finally:
        csv.field_size_limit(limit)


def _header(names: list[str]) -> list[str]:
    if not set(names) & set(CONTENT) or len(set(names)) < len(names):
        raise DataError(f"the first line is no header (columns={short(names)}). It names each column once, with commas between: {', '.join(KNOWN)}")
    return names


def _csv_row(header: list[str], cells: list[str]) -> Mapping[str, object]:
    if len(cells) != len(header):
        raise DataError(f"{len(cells)} cells under {len(header)} columns ({short(cells)}). Put a cell with commas in double quotes.")
    given = {name: cell for name, cell in zip(header, cells, strict=True) if cell}
    return {name: parsed(cell) if name in JSON_COLUMNS else cell for name, cell in given.items()}


def parquet_rows(path: Path, longest: int) -> Unparsed:
    """The rows of a parquet file, counted from 1; of the columns only those that a row may hold are read.

    Dates and times become ISO text.   Raises MissingExtra without pyarrow, DataError for a file that is no parquet or has no such columns.
    """
    arrow, parquet = needed("pyarrow", "a parquet file"), needed("pyarrow.parquet", "a parquet file")
    number = 0
    try:
        with parquet.ParquetFile(path) as file:
            names = list(file.schema_arrow.names)
            if not set(names) & set(CONTENT):
                raise DataError(f"{path} has no column to learn from (columns={short(names)}). A row holds one of: {FORMS}. Rename the columns.")
            wanted = [name for name in names if name in KNOWN or misspelt(name)]
            for batch in file.iter_batches(batch_size=ROWS_AT_ONCE, columns=wanted):
                for row in batch.to_pylist():
                    number += 1
                    yield number, partial(_plain_row, row, longest)
    except (arrow.ArrowException, OSError) as error:
        raise DataError(f"{path} is no whole parquet file: after row {number}: {str(error).splitlines()[0]}. Copy or write it again.") from error


def _plain_row(row: Mapping[str, object], longest: int) -> Mapping[str, object]:
    for name, cell in row.items():
        if isinstance(cell, str) and len(cell) > longest // 4 and len(cell.encode(errors="replace")) > longest:
            raise DataError(f"longer than {longest} bytes ({name} starts {short(cell[:40])}). Cut it into several rows, or raise longest_line.")
    return {name: plain(cell) for name, cell in row.items()}


def plain(cell: object) -> object:
    """A cell as JSON would hold it: dates and times as ISO text, tuples as lists.

    >>> plain(datetime(2024, 5, 31, 12)), plain((1, None))
    ('2024-05-31T12:00:00', [1, None])
    """
    if isinstance(cell, datetime | date):
        return cell.isoformat()
    if isinstance(cell, list | tuple):
        return [plain(part) for part in cell]
    return {name: plain(part) for name, part in cell.items()} if isinstance(cell, dict) else cell


def needed(module: str, what: str) -> ModuleType:
    """A module of the extra `data`; MissingExtra says how to install it."""
    try:
        return import_module(module)
    except ImportError as error:
        name = module.partition(".")[0]
        raise MissingExtra(f'{what} needs {name}, which is not installed (module={module!r}). Install it: pip install "everlearn[data]".') from error
