"""Lines of JSON that clients bring: each is whole on disk, or not there."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from everlearn.disk import writable
from everlearn.versions.home import Home

CHUNK = 1 << 16


def add_lines(path: Path, rows: Iterable[Mapping[str, object]]) -> None:
    """Write the rows at the end of the file, flushed to disk: all of them, or none where that fails. Raises StateError for a full disk."""
    with writable(path):
        path.parent.mkdir(exist_ok=True)
        with path.open("ab", buffering=0) as file:
            before, left = file.tell(), memoryview("".join(json.dumps(row) + "\n" for row in rows).encode("ascii"))
            try:
                while left:
                    left = left[file.write(left) :]
                os.fsync(file.fileno())
            except BaseException:
                with suppress(OSError):
                    file.truncate(before)
                raise


def mend(home: Home, path: Path) -> None:
    """Take away an unfinished last line, which a kill in the middle of a write leaves: nobody was told that it was taken.

    It goes to .NAME.torn beside the file, and log.jsonl says so; a line that only lacks its end gets it.
    """
    if not _unfinished(path):
        return
    with home.arriving(forgetting=True), writable(path), path.open("r+b") as file:
        left, end, aside = _unfinished(path), file.seek(0, os.SEEK_END), path.with_name(f".{path.name}.torn")
        if _whole(left):
            file.write(b"\n")
        elif left:
            with aside.open("ab") as kept:
                kept.write(left + b"\n")
            file.truncate(end - len(left))
            os.fsync(file.fileno())
            home.log("torn", file=path.name, bytes=len(left), kept=aside.name)


def rows_in(path: Path) -> list[dict[str, object]]:
    """The rows of a file; an unfinished last line is not there yet. Raises OSError, or ValueError for a line that is no row."""
    *lines, last = path.read_bytes().split(b"\n")
    rows = [json.loads(line) for line in (*lines, *([last] if _whole(last) else [])) if line.strip()]
    if not all(isinstance(row, dict) for row in rows):
        raise ValueError("a line is no object of JSON")
    return rows


def _whole(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


def _unfinished(path: Path) -> bytes:
    """What stands behind the last end of a line; empty for no file."""
    if not path.exists():
        return b""
    found = b""
    with path.open("rb") as file:
        at = file.seek(0, os.SEEK_END)
        while at and b"\n" not in found:
            size = min(CHUNK, at)
            at -= size
            file.seek(at)
            found = file.read(size) + found
    return found.rpartition(b"\n")[2]
