"""The lines of a file, also a gzipped one, and what JSON stands on them."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

from everlearn.errors import DataError
from everlearn.streams.rows import short

JSON_COLUMNS = ("choices", "count", "messages", "until")
# By place, from 1: what gives the parsed row, or raises DataError.
Unparsed = Iterator[tuple[int, Callable[[], Mapping[str, object]]]]


def lines_of(path: Path, longest: int) -> Iterator[bytes]:
    """The lines without a byte-order mark; of one that is too long only its first longest + 1 bytes."""
    number = 0
    try:
        with gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb") as file:
            while line := file.readline(longest + 1):
                rest = line
                while rest and not rest.endswith(b"\n"):
                    rest = file.readline(65536)
                number += 1
                yield line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path} is no whole gzip file: after line {number}: {error}. Copy it again; name a file that is not packed .jsonl.") from error


def decoded(line: bytes, longest: int) -> str:
    """The line as text; DataError if it is too long or not UTF-8."""
    if len(line) > longest:
        raise DataError(f"longer than {longest} bytes (starts {short(line[:40])}). Cut it into several rows, or raise longest_line.")
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        todo = "The file is gzip: name it .jsonl.gz." if line.startswith(b"\x1f\x8b") else "Save the file as UTF-8."
        raise DataError(f"not UTF-8 (byte {line[error.start]:#04x} at byte {error.start + 1}). {todo}") from error


def json_rows(path: Path, longest: int) -> Unparsed:
    """One row a line that is not blank."""
    return ((number, partial(_json_row, line, longest)) for number, line in enumerate(lines_of(path, longest), 1) if line.strip())


def _json_row(line: bytes, longest: int) -> Mapping[str, object]:
    row = parsed(decoded(line, longest).rstrip())
    if not isinstance(row, dict):
        raise DataError(f"JSON, but not an object ({short(row)}). A line is one JSON object, in braces. Correct it.")
    return row


def parsed(text: str) -> object:
    """What JSON text says; DataError if it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        told = f"not JSON ({str(error).replace('line 1 ', '')}: {short(text)})"
        raise DataError(f"{told}. A line of JSONL is one object; of a CSV file the cells of {', '.join(JSON_COLUMNS)} are JSON.") from error
