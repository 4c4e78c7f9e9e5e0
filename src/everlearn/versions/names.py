"""How the files of a home's objects are named and unpacked."""

from __future__ import annotations

import gzip
import hashlib
import zlib
from pathlib import Path

from everlearn.errors import StateError

DIGITS = 32  # hexadecimal, of a SHA-256


def digest(data: bytes) -> str:
    """The name of a file that holds this."""
    return hashlib.sha256(data).hexdigest()[:DIGITS]


def plain_name(name: str) -> str:
    """The name, if it can be one of ours; no path that leads elsewhere. Raises StateError."""
    if len(name) != DIGITS or not set(name) <= set("0123456789abcdef"):
        raise StateError(f"this is no object's name (name={name!r}). Names are {DIGITS} hexadecimal digits. Restore the record from a copy of the home.")
    return name


def unpacked(path: Path) -> bytes:
    """What a gzipped file holds. Raises StateError for one that is missing or cut off."""
    try:
        return gzip.decompress(path.read_bytes())
    except (OSError, EOFError, zlib.error) as problem:
        raise StateError(f"a file of the home cannot be read (file={str(path)!r}): {problem}. Restore it from a copy of the home.") from problem


def changed(path: Path) -> StateError:
    """A file does not hold what its name says."""
    return StateError(f"a file of the home was changed (file={str(path)!r}): its content is not what its name says. Restore it from a copy of the home.")
