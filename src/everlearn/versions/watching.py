"""Who watches a folder for a home, and how far the file is that is being learned: a note in the home, and a lock that dies with that process."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from typing import Any

from everlearn.disk import lock_held, one_writer
from everlearn.errors import Busy, EverlearnError
from everlearn.versions.home import Home

NOTE, LOCK = "watching.json", ".watching.lock"  # in the home
TRIES = 20  # at the lock, which who looks at it has for a moment
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
    """The note of one process that watches; whatever happens to it never stands in the way of learning. Of several the note is the first one's, who has the
    lock, and then the next one's.
    """

    def __init__(self, home: Home, folder: str) -> None:
        self.path, self.folder = home.folder / NOTE, folder
        self._said: Watched | None = None
        self._held, self._mine, self._locked = ExitStack(), False, False
        for _ in range(TRIES):
            if self._take():
                break
            time.sleep(0.001)

    def say(self, inbox: int = 0, what: str = "", share: float = 0.0) -> None:
        """Write what it does now, where that is something new; else only that it is still there."""
        if not self._take():
            return
        told = Watched(self.folder, inbox, what, int(share * PARTS) / PARTS)
        with suppress(OSError):
            if told == self._said and self.path.exists():
                os.utime(self.path)
                return
            self._said = told
            aside = self.path.with_name(f".{NOTE}.writing")
            about = {**asdict(told), "process": os.getpid(), "machine": socket.gethostname(), "locked": self._locked}
            aside.write_text(json.dumps(about), encoding="utf-8", errors="replace")
            aside.replace(self.path)

    def about(self, inbox: int, then: Callable[[str, float], None]) -> Callable[[str, float], None]:
        """A progress that is noted for this file, then told to another."""

        def told(what: str, share: float) -> None:
            self.say(inbox, what, share)
            then(what, share)

        return told

    def close(self) -> None:
        if self._mine:
            with suppress(OSError):
                self.path.unlink(missing_ok=True)
        self._mine = False
        self._held.close()

    def _take(self) -> bool:
        """Is the note this one's? Also where there are no locks."""
        if not self._mine:
            try:
                self._held.enter_context(one_writer(self.path.parent, name=LOCK))
                self._locked = lock_held(self.path.parent, LOCK) is True
            except Busy:
                return False
            except EverlearnError:
                pass  # a file system without locks
            self._mine = True
        return True


def watched(home: Home) -> Watched | None:
    """What watches this home now; None where nothing does, or the process is gone without a word."""
    path = home.folder / NOTE
    try:
        saved: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        held = lock_held(home.folder, LOCK) if saved.get("locked") is True else None
        if not held and not _lives(int(saved["process"]), str(saved["machine"]), time.time() - path.stat().st_mtime, held is None):
            return None
        return Watched(str(saved["folder"]), int(saved["inbox"]), str(saved["what"]), min(1.0, max(0.0, float(saved["share"]))))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _lives(process: int, machine: str, silent: float, unlocked: bool) -> bool:
    """Is a process there that has no lock here: on another machine by when it last wrote, on this one only where it could have none (unlocked)."""
    if machine != socket.gethostname() or os.name != "posix":
        return silent < SILENT
    if not unlocked:
        return False  # whatever has its number now
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True  # another user's
    return True
