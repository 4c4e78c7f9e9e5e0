"""What a run costs: memory and the size of what a learner keeps."""

from __future__ import annotations

import json
from threading import Event, Thread
from types import TracebackType

import psutil
import torch
from torch import Tensor


class PeakMemory:
    """Within it, watches the memory this process uses: on the accelerator if it has one in use, else resident, every 20 ms.

    Resident memory includes what was left from before.

    >>> with PeakMemory() as memory:
    ...     kept = bytearray(1_000_000)
    >>> memory.bytes > 1_000_000
    True
    """

    def __init__(self) -> None:
        self.bytes = 0
        self._process, self._over = psutil.Process(), Event()

    def __enter__(self) -> PeakMemory:
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()
        self._look()
        self._thread = Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._over.set()
        self._thread.join()
        self._look()

    def _watch(self) -> None:
        while not self._over.wait(0.02):
            self._look()

    def _look(self) -> None:
        on_device = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else 0
        self.bytes = max(self.bytes, on_device or self._process.memory_info().rss)


def state_bytes(state: object) -> int:
    """The size of a learner's state: its tensors, and texts and lists as JSON; single numbers count nothing."""
    if isinstance(state, Tensor):
        return state.numel() * state.element_size()
    if isinstance(state, dict):
        return sum(state_bytes(value) for value in state.values())
    return 0 if state is None or isinstance(state, int | float) else len(json.dumps(state, ensure_ascii=False).encode())
