"""Who watches a folder for a home, and how far the file is that is being learned: a note in the home while that process lives."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

from everlearn.versions.home import Home

NOTE = "watching.json"  # in the home
PARTS = 10  # of learning that are told apart: what is written depends on what is done alone, not on how long it takes
SILENT = 600.0  # seconds after which a process of another machine counts as gone


@dataclass(frozen=True, slots=True)
class Watched:
    """folder: that is watched.   inbox: the number of the file that is being learned, 0 for none.   what: is done with it.   share: of that done, 0 to 1."""

    folder: str
    inbox: int = 0
    what: str = ""
    share: float = 0.0


class Watcher:
    """The note of one process that watches; whatever happens to it never stands in the way of learning."""

    def __init__(self, home: Home, folder: str) -> None:
        self.path, self.folder = home.folder / NOTE, folder
        self._said = Watched("")

    def say(self, inbox: int = 0, what: str = "", share: float = 0.0) -> None:
        """Write what it does now, where that is something new; else only that it is still there."""
        told = Watched(self.folder, inbox, what, int(share * PARTS) / PARTS)
        with suppress(OSError):
            if told == self._said and self.path.exists():
                os.utime(self.path)
                return
            self._said = told
            aside = self.path.with_name(f".{NOTE}.writing")
            aside.write_text(json.dumps({**asdict(told), "process": os.getpid(), "machine": socket.gethostname()}), encoding="utf-8", errors="replace")
            aside.replace(self.path)

    def about(self, inbox: int, then: Callable[[str, float], None]) -> Callable[[str, float], None]:
        """A progress that is noted for this file, then told to another."""

        def told(what: str, share: float) -> None:
            self.say(inbox, what, share)
            then(what, share)

        return told

    def close(self) -> None:
        with suppress(OSError):
            self.path.unlink(missing_ok=True)


def watched(home: Home) -> Watched | None:
    """What watches this home now; None where nothing does, or the process is gone without a word."""
    path = home.folder / NOTE
    try:
        saved: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if not _lives(int(saved["process"]), str(saved["machine"]), time.time() - path.stat().st_mtime):
            return None
        return Watched(str(saved["folder"]), int(saved["inbox"]), str(saved["what"]), min(1.0, max(0.0, float(saved["share"]))))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _lives(process: int, machine: str, silent: float) -> bool:
    """Is it there: for certain on this machine, elsewhere by when it last wrote."""
    if machine != socket.gethostname() or os.name != "posix":
        return silent < SILENT
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True  # another user's
    return True
