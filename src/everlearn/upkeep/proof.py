"""The proof that something was forgotten: every file of the home decoded, and searched."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from everlearn.errors import SettingError
from everlearn.evaluate.scores import right
from everlearn.types import Example
from everlearn.upkeep.decoding import BROKEN, decoded, text_of
from everlearn.upkeep.wanted import Wanted
from everlearn.versions.bases import FILES, base_path
from everlearn.versions.home import FORGETTING, Home

CHUNK = 1 << 24  # bytes of a file of no known format that are searched at once
OVERLAP = 1 << 16


@dataclass(frozen=True, slots=True)
class Searched:
    """Where something is still found, and what could not be decoded: that was searched byte by byte, which does not see into packed data."""

    places: tuple[str, ...]
    undecoded: tuple[str, ...]
    files: int


def traces(home: Home | str | Path, wanted: str | Sequence[Example] | Wanted) -> list[str]:
    """The files of the home, by their path in it, that still hold any of the examples, or any row of the source.

    A row is found by its id and by its texts together: as a row, in plain text, in bytes that hold text. Its prompt alone may stand in another row, and
    the name of the file it came in may stay. Bases are what others made: their files are compared with the hashes they came with. Raises SettingError
    for nothing to look for, StateError for a base that was changed.

    >>> import tempfile
    >>> from everlearn.upkeep.beginning import create_home
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     traces(create_home(folder), "no such source")
    []
    """
    return list(searched(home if isinstance(home, Home) else Home(home), _wanted(wanted)).places)


def searched(home: Home, wanted: Wanted) -> Searched:
    """As `traces`, with what could not be decoded."""
    places, undecoded, count = [], [], 0
    for path in files_of(home):
        place, count = path.relative_to(home.folder).as_posix(), count + 1
        found, known = holds(path, wanted)
        places += [place] if found else []
        undecoded += [] if known else [place]
    return Searched(tuple(places), tuple(undecoded), count)


def files_of(home: Home) -> Iterator[Path]:
    """Every file of the home but those of its bases, which are as they came, and the note of what is being forgotten, which goes last."""
    theirs = {home.bases / name / file for name in sorted({version.base for version in home.versions()}) for file in _base_files(home, name)}
    for path in sorted(home.folder.rglob("*")):
        if path.is_file() and not path.is_symlink() and path not in theirs and path != home.folder / FORGETTING:
            yield path


def _base_files(home: Home, name: str) -> list[str]:
    """The files of a base, each as it came; none where `gc` let it go."""
    if not (home.bases / name).exists():
        return []
    return sorted(json.loads((base_path(home.bases, name) / FILES).read_text(encoding="utf-8"))["files"])


def holds(path: Path, wanted: Wanted) -> tuple[bool, bool]:
    """(does the file hold any of it, could it be decoded); one that is gone meanwhile, as a lock is, holds nothing"""
    said = decoded(path)
    try:
        if said is not None:
            return any(wanted.found_in(value) for value in said), True
    except BROKEN:
        pass
    try:
        return _in_bytes(path, wanted), False
    except FileNotFoundError:
        return False, True


def _in_bytes(path: Path, wanted: Wanted) -> bool:
    before = b""
    with path.open("rb") as file:
        while data := file.read(CHUNK):
            text = before + data
            if any(wanted.found_in(value) for value in text_of(text)):
                return True
            before = text[-OVERLAP:]
    return False


def _wanted(given: str | Sequence[Example] | Wanted) -> Wanted:
    if isinstance(given, Wanted):
        return given
    if isinstance(given, str):
        return Wanted(source=given)
    if not given:
        raise SettingError(f"there is nothing to look for (examples={list(given)!r}). Give examples, or a source's name.")
    answers = {(e.question, answer) for e in given if e.question is not None and (answer := right(e)) is not None}
    return Wanted(None, given[0].id, frozenset(e.id for e in given), frozenset(e.content for e in given), frozenset(answers))
