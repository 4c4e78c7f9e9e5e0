"""What the files of a home say, each decoded by its format."""

from __future__ import annotations

import csv
import gzip
import json
import tomllib
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import IO

from safetensors import SafetensorError, safe_open

from everlearn.streams.lines import JSON_COLUMNS
from everlearn.streams.tables import needed, plain

# What a file says, piece by piece: JSON values, or text.
Said = Iterator[object]
BROKEN = (OSError, EOFError, ValueError, zlib.error, SafetensorError, csv.Error, RecursionError)  # a file that is cut off, or not what its name says
CELL = 64_000_000  # characters in a table's cell


def decoded(path: Path) -> Said | None:
    """Everything the file says, by the format that its name tells; None where no format is known. Raises one of BROKEN on the way."""
    name = called(path)
    packed = name.endswith(".gz")
    for suffix, read in READERS.items():
        if name.removesuffix(".gz").endswith(suffix):
            return read(path, packed)
    return None


def called(path: Path) -> str:
    """The name a file has or, left beside by a crash, was to have."""
    name = path.name.lower()
    return name.removeprefix(".").removesuffix(".writing") if name.endswith(".writing") else name


def text_of(data: bytes) -> Said:
    """What bytes say that may be JSON, JSON lines, or plain text."""
    text = data.decode("utf-8", "replace")
    try:
        yield json.loads(text)
    except (ValueError, RecursionError):
        for line in text.splitlines():
            yield _value(line)


@contextmanager
def _opened(path: Path, packed: bool) -> Iterator[IO[bytes]]:
    with gzip.open(path) if packed else path.open("rb") as file:
        yield file  # type: ignore[misc]


def _json(path: Path, packed: bool) -> Said:
    with _opened(path, packed) as file:
        yield json.loads(file.read().decode("utf-8", "surrogatepass"))


def _lines(path: Path, packed: bool) -> Said:
    with _opened(path, packed) as file:
        for line in file:
            yield _value(line.decode("utf-8", "replace"))


def _value(line: str) -> object:
    """The line's JSON; a line that is none as text."""
    try:
        return json.loads(line.lstrip("\ufeff"))
    except (ValueError, RecursionError):
        return line


def _toml(path: Path, packed: bool) -> Said:
    with _opened(path, packed) as file:
        text = file.read().decode("utf-8-sig")
    yield tomllib.loads(text)
    yield from text.splitlines()  # comments too


def _table(path: Path, packed: bool) -> Said:
    limit = csv.field_size_limit(CELL)
    try:
        with _opened(path, packed) as file:
            header = list[str]()
            for cells in csv.reader(line.decode("utf-8-sig", "replace") for line in file):
                yield {name.strip(): _cell(name.strip(), cell) for name, cell in zip(header, cells, strict=False) if cell}
                yield from cells
                header = header or cells
    finally:
        csv.field_size_limit(limit)


def _cell(column: str, text: str) -> object:
    return _value(text) if column in JSON_COLUMNS else text


def _parquet(path: Path, packed: bool) -> Said:
    parquet = needed("pyarrow.parquet", "a parquet file")
    with parquet.ParquetFile(path) as file:
        yield {str(key, "utf-8", "replace"): str(value, "utf-8", "replace") for key, value in (file.metadata.metadata or {}).items()}
        for batch in file.iter_batches():
            for row in batch.to_pylist():
                yield {name: plain(cell) for name, cell in row.items() if cell is not None}


def tensor_texts(path: Path) -> Iterator[tuple[str, object]]:
    """By its name, what each tensor of bytes in a safetensors file says."""
    with safe_open(path, "pt") as file:
        for name in file.keys():  # noqa: SIM118  # a safetensors file is no mapping
            if file.get_slice(name).get_dtype() == "U8":
                data = bytes(file.get_tensor(name).contiguous().reshape(-1).numpy().data)
                yield from ((name, value) for value in text_of(data))


def _tensors(path: Path, packed: bool) -> Said:
    with safe_open(path, "pt") as file:
        yield dict(file.metadata() or {})
        yield from file.keys()
    yield from (value for _, value in tensor_texts(path))


READERS: Mapping[str, Callable[[Path, bool], Said]] = {
    ".json": _json,
    ".jsonl": _lines,
    ".txt": _lines,
    ".log": _lines,
    ".md": _lines,
    ".toml": _toml,
    ".csv": _table,
    ".safetensors": _tensors,
    ".lock": _lines,
} | ({".parquet": _parquet} if find_spec("pyarrow") else {})
