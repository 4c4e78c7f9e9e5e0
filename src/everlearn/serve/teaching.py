"""What a page starts: a process of its own that learns what lies in the inbox, and ends when nothing is left."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from threading import Lock
from typing import IO

from everlearn.versions.home import Home
from everlearn.versions.watching import watched

FINE = (0, 3)  # the exit codes of `everlearn watch`: everything learned, or something refused
QUARANTINE = "Waiting in quarantine"  # a line about a file whose own page says so
TOLD = 1000  # characters of what it said last


class Teaching:
    """`everlearn watch HOME --once`, at most one at a time. The server has no code that trains; stopped, it leaves the process to its end.

    problem: what the last one ended with, "" where it went well.   said: its last line where it went well, such as what the files that are left wait for.
    """

    def __init__(self, home: Home) -> None:
        self.home, self.problem, self.said = home, "", ""
        self._process: subprocess.Popen[bytes] | None = None
        self._said: IO[bytes] | None = None
        self._lock = Lock()

    @property
    def running(self) -> bool:
        """Is one at work? What it said is read once it has ended."""
        with self._lock:
            return self._runs()

    def start(self) -> bool:
        """Start one, unless somebody watches; whether one was started."""
        with self._lock:
            if self._runs() or watched(self.home) is not None:
                return False
            self.problem, self.said, self._said = "", "", tempfile.TemporaryFile()  # noqa: SIM115
            command = [sys.executable, "-m", "everlearn", "watch", str(self.home.folder.resolve()), "--once"]
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=self._said, start_new_session=True)
            return True

    def _runs(self) -> bool:
        if self._process is None:
            return False
        code = self._process.poll()
        if code is None:
            return True
        assert self._said is not None
        self._said.seek(0)
        text = self._said.read().decode(errors="replace").strip()
        if code in FINE:
            self.said = next((line[-TOLD:] for line in reversed(text.splitlines()) if not line.startswith(QUARANTINE)), "")
        else:
            self.problem = text[-TOLD:] or f"It ended with code {code}."
        self._said.close()
        self._process = self._said = None
        return False
