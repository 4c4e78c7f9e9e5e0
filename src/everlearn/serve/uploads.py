"""Files that people drop on a page: kept in the home at once, and handed to its inbox as soon as nobody else writes to it."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from everlearn.disk import flush_folder, writable
from everlearn.errors import DataError, EverlearnError
from everlearn.serve.asking import Overloaded
from everlearn.serve.handing import WHY, Handing, named
from everlearn.versions.home import Home
from everlearn.versions.inbox import PLACES, QUARANTINE, TESTS, Claim, Inbox
from everlearn.versions.settings import ServeTable

FOLDER = "uploads"  # in the home: files that are not in the inbox yet
SUFFIXES = (".jsonl", ".jsonl.gz", ".csv", ".parquet")  # as they are read when they are learned
EVERY = 0.5  # seconds between looks at whether the home is free
LONGEST = 120  # bytes of a file's name, without its suffix
MOST = 100  # files that wait for the inbox
ID = re.compile(r"\d{8}T\d{6}(\d{9})?-[0-9a-f]{8}-(trusted|others)")  # when it came, to the nanosecond


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that waits for the inbox. test: the name of its test file, "" for none."""

    id: str
    name: str
    test: str

    @property
    def time(self) -> str:
        """When it came, as home records write it."""
        day, clock = self.id[:8], self.id[9:15]
        return f"{day[:4]}-{day[4:6]}-{day[6:]}T{clock[:2]}:{clock[2:4]}:{clock[4:]}+00:00"


class Uploads:
    """Dropped files on their way to the inbox.

    A file is on disk when `add` returns. It becomes a claim of the inbox as soon as no other process writes to the home; one whose sender
    [serve] trusted does not name goes to quarantine, and waits for `everlearn approve`. `everlearn watch` learns the inbox.
    """

    def __init__(self, home: Home, table: ServeTable) -> None:
        self.home, self.table, self.folder = home, table, home.folder / FOLDER
        self._last, self._lock = 0, threading.Lock()
        self._tidy()
        self.handing = Handing(self.hand_over, EVERY, "uploads")

    @property
    def problem(self) -> str:
        """What keeps files from the inbox, "" for nothing."""
        return self.handing.problem

    def trusts(self, caller: str, own: bool = False) -> bool:
        """Is a file of this sender learned without approval? caller: the name of the key, "" without keys.   own: it is the owner of the machine."""
        source = f"upload:{caller}" if caller else "upload"
        return own or named(source, self.table.trusted)

    def add(self, caller: str, name: str, data: bytes, test_name: str = "", test: bytes = b"", own: bool = False) -> str:
        """Keep a file; what it is called until it is in the inbox. Raises DataError for a file that is none of ours, Overloaded where too many wait,
        StateError for a full disk, or while something is being forgotten.
        """
        files = [(plain_name(name), data), *([(plain_name(test_name), test)] if test_name else [])]
        for called, content in files:
            if not content:
                raise DataError(f"the file is empty (file={called!r}). Give one with at least one row.")
        with self.home.arriving():
            if (count := len(self._folders())) >= MOST:
                raise Overloaded(f"too many files wait for the inbox (waiting={count}). Try again when the home is free.")
            id = f"{self._now()}-{secrets.token_hex(4)}-{'trusted' if self.trusts(caller, own) else 'others'}"
            aside = self.folder / f".{id}"
            try:
                with writable(aside):
                    aside.mkdir(parents=True)
                    _written(aside / files[0][0], data)
                    if test_name:
                        (aside / TESTS).mkdir()
                        _written(aside / TESTS / files[1][0], test)
                        flush_folder(aside / TESTS)
                    flush_folder(aside)
                    aside.rename(self.folder / id)
                    flush_folder(self.folder)
            except BaseException:
                shutil.rmtree(aside, ignore_errors=True)
                raise
        return id

    def waiting(self) -> list[Upload]:
        """What is not in the inbox yet, in the order it came."""
        return [Upload(place.name, data.name, test.name if test else "") for place, data, test in self._places()]

    def claim(self, id: str) -> Claim | None:
        """What became of an upload, wherever it lies by now; None where it is not in the inbox yet, or was never here."""
        return next((claim for claim in self._claims() if id in called(claim)), None) if ID.fullmatch(id) else None

    def hand_over(self) -> None:
        """Put everything that waits into the inbox. Raises Busy while another process writes to the home."""
        if not self.folder.is_dir() or not any(self._places()):
            return
        with self.home.writing(), self._lock:
            inbox, known = Inbox(self.home), {id for claim in self._claims() for id in called(claim)}
            for place, data, test in self._places():
                if place.name not in known:  # else it was stopped just before the end
                    number, others = inbox.next(), place.name.endswith("-others")
                    inbox.claim(data, test, *((QUARANTINE, WHY.format(number)) if others else ()))
                with writable(place):
                    shutil.rmtree(place, ignore_errors=True)

    def close(self) -> None:
        """Hand over what is there, where the home is free; the rest goes over when a server starts again."""
        self.handing.close(self.hand_over)

    def _places(self) -> list[tuple[Path, Path, Path | None]]:
        """By time: the folder, the file in it, its test file."""
        found = list[tuple[Path, Path, Path | None]]()
        for place in self._folders():
            try:
                files = [path for path in _shown(place) if path.is_file()]
                tests = _shown(place / TESTS) if (place / TESTS).is_dir() else []
            except FileNotFoundError:
                continue  # it was handed over meanwhile
            if len(files) == 1:
                found.append((place, files[0], tests[0] if tests else None))
        return found

    def _folders(self) -> list[Path]:
        return sorted(place for place in self.folder.iterdir() if ID.fullmatch(place.name)) if self.folder.is_dir() else []

    def _claims(self) -> Iterator[Claim]:
        inbox = Inbox(self.home)
        return (claim for place in PLACES for claim in inbox.at(place))

    def _now(self) -> str:
        """The time, later than any that was given before: files are handed over in its order."""
        self._last = max(time.time_ns(), self._last + 1)
        seconds, rest = divmod(self._last, 10**9)
        return f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime(seconds))}{rest:09}"

    def _tidy(self) -> None:
        """Remove what a server that was stopped had not written to its end."""
        if any(_unfinished(place) for place in (self.folder.iterdir() if self.folder.is_dir() else [])):
            with suppress(EverlearnError), self.home.arriving():  # what is being written now holds that lock
                for place in filter(_unfinished, self.folder.iterdir()):
                    shutil.rmtree(place, ignore_errors=True)


def plain_name(name: str) -> str:
    """The file's own name, without folders. Raises DataError for one that does not end as files that are learned do.

    >>> plain_name("C:\\\\news\\\\monday.jsonl"), plain_name("../../x.csv")
    ('monday.jsonl', 'x.csv')
    """
    found = re.split(r"[/\\]", name)[-1].strip().lstrip(".")
    found = "".join("_" if letter in ':*?"<>|' or not letter.isprintable() else letter for letter in found)
    suffix = max((end for end in SUFFIXES if found.lower().endswith(end)), key=len, default="")
    stem = found[: len(found) - len(suffix)]
    if not suffix or not stem:
        raise DataError(f"this file cannot be learned (file={found[:80]!r}). Its name must end in {', '.join(SUFFIXES)}.")
    return stem.encode()[:LONGEST].decode("utf-8", "ignore") + found[len(stem) :]


def _written(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def called(claim: Claim) -> set[str]:
    """What a claim's file was called before it had a number; nothing for one that did not come over HTTP."""
    return {part for original in claim.originals for part in Path(original.path).parts if ID.fullmatch(part)}


def _shown(folder: Path) -> list[Path]:
    """What lies in it, but for what is being written."""
    return [path for path in folder.iterdir() if not path.name.startswith(".")]


def _unfinished(place: Path) -> bool:
    return place.name.startswith(".") and ID.fullmatch(place.name[1:]) is not None
