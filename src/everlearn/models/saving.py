"""States written in the background: what learns goes on as soon as a copy is made."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from time import perf_counter

from everlearn.models.state import encoded, write_encoded

SHARE = 0.05  # of the time, at most, goes into keeping what something interrupted needs


class Saving:
    """Writes states to one folder as `save_state` does, one at a time: a kill at any moment leaves the last whole one.

    every: least seconds between two; 0 for no least.   seconds: what the last one that is on disk took, all of it.
    """

    def __init__(self, folder: Path, every: float) -> None:
        self.folder, self.every, self.seconds = folder, every, 0.0
        self._saved = perf_counter()
        self._writer = ThreadPoolExecutor(1, "saving")
        self._under_way: Future[float] | None = None

    @property
    def due(self) -> bool:
        """Is it time for the next."""
        return perf_counter() - self._saved >= (max(self.every, self.seconds / SHARE) if self.every else 0.0)

    def save(self, state: Mapping[str, object]) -> None:
        """Begin to write this state, once the one before is on disk; it may change afterwards. Raises what kept the one before from being written."""
        self.wait()
        began = perf_counter()
        self._under_way = self._writer.submit(self._write, *encoded(state), perf_counter() - began)
        self._saved = perf_counter()

    def wait(self) -> None:
        """Until everything is on disk. Raises what kept it from being written."""
        if self._under_way is not None:
            under_way, self._under_way = self._under_way, None
            self.seconds = under_way.result()

    def _write(self, plain: str, tensors: bytes, copying: float) -> float:
        began = perf_counter()
        write_encoded(plain, tensors, self.folder)
        return copying + perf_counter() - began
