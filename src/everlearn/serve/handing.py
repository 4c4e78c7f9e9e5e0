"""From the server to the home's inbox: again and again, until the home is free."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from fnmatch import fnmatchcase

from everlearn.errors import Busy, EverlearnError

# Beside a file that waits in quarantine; the number is its own in the inbox.
WHY = "It came over HTTP from a source that [serve] trusted does not name. Let it in with `everlearn approve HOME {}`."


class Handing:
    """A thread that hands over what waits, every so many seconds.

    hand_over: raises Busy while another process writes to the home; then, and after anything else that went wrong, it is tried again.   problem: what
    went wrong the last time, "" for nothing.
    """

    def __init__(self, hand_over: Callable[[], object], every: float, name: str) -> None:
        self.hand_over, self.every, self.problem = hand_over, every, ""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"everlearn-{name}", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Hand over nothing any more by itself."""
        self._stop.set()
        self._thread.join()

    def close(self, last: Callable[[], object]) -> None:
        """Stop, and hand over what is there where the home is free; the rest goes over when a server starts again."""
        self.stop()
        with suppress(EverlearnError):
            last()

    def _run(self) -> None:
        while not self._stop.wait(self.every):
            try:
                self.hand_over()
                self.problem = ""
            except Busy:
                continue
            except Exception as problem:  # a full disk, a broken claim, a folder that was changed by hand: said, and tried again
                self.problem = str(problem) if isinstance(problem, EverlearnError) else f"{type(problem).__name__}: {problem}"


def named(source: str, patterns: Sequence[str]) -> bool:
    """Does one of the patterns name this source?"""
    return any(fnmatchcase(source, pattern) for pattern in patterns)
