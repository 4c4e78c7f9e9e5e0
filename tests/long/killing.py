"""Children that are killed: after a time, or just before their n-th change of a file."""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from everlearn.versions import objects

WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate", "subprocess.Popen"}


class Operations:
    """Counts what changes files below a folder, and dies before one of them. die: its number from 1, 0 for none.

    Python tells of every file that is opened to be written, renamed or removed; what it does not tell is added: flushing to disk, the tensors written by
    a library, and, as operations of their own, files that are left half written.
    """

    def __init__(self, folder: Path, die: int) -> None:
        self.folder, self.die, self.count = str(folder), die, 0

    def begin(self) -> None:
        """In this process, from now on."""
        flush, save = os.fsync, objects.save_file

        def flushed(handle: int) -> None:
            path = Path(os.readlink(f"/proc/self/fd/{handle}"))
            if path.is_file():
                self._half(path)
            self._one()
            flush(handle)

        def saved(tensors: Mapping[str, Tensor], path: Path) -> None:
            self._one()
            save(dict(tensors), path)
            self._half(path)

        os.fsync, objects.save_file = flushed, saved  # type: ignore[assignment]
        sys.addaudithook(self._heard)

    def _heard(self, event: str, given: tuple[Any, ...]) -> None:
        written = event == "open" and isinstance(given[0], str) and given[0].startswith(self.folder) and given[2] & WRITES
        if written or event == "subprocess.Popen" or (event in CHANGES and self._here(given[0])):
            self._one()

    def _here(self, path: object) -> bool:
        """A path below the folder, or one without a folder: the parts of a tree that is removed."""
        text = os.fsdecode(path) if isinstance(path, str | bytes | os.PathLike) else ""
        return text.startswith(self.folder) or not os.path.isabs(text)

    def _one(self) -> None:
        self.count += 1
        if self.count == self.die:
            os.kill(os.getpid(), signal.SIGKILL)

    def _half(self, path: Path) -> None:
        if self.count + 1 == self.die:
            with path.open("rb+") as file:
                file.truncate(path.stat().st_size // 2)
        self._one()


def operations(act: Callable[[], object], folder: Path, note: Path) -> int:
    """How many changes below the folder `act` makes, in a child; it is run to its end."""

    def counted() -> None:
        found = Operations(folder, 0)
        found.begin()
        act()
        note.write_text(str(found.count))

    assert ended(counted)
    return int(note.read_text())


def ended(act: Callable[[], object], seconds: float | None = None) -> bool:
    """Run it in a child that is killed after so many seconds; did it come to its end? Fails if it failed."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            act()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)
    if seconds is not None:
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)  # one that is over stays known until it is waited for
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return False
    assert os.WEXITSTATUS(status) == 0, "the child failed; its traceback is above"
    return True


def killed_before(act: Callable[[], object], folder: Path, number: int) -> bool:
    """Run it in a child that dies before its n-th change below the folder; did it die?"""

    def dying() -> None:
        Operations(folder, number).begin()
        act()

    return not ended(dying)
