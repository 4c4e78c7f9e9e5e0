"""Work beside the event loop, so much of it and no more."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from everlearn.serve.asking import Overloaded

T = TypeVar("T")


class Threads:
    """So many threads, and what waits for one of them. most: things that may be under way or wait; Overloaded for one more.   name: of the threads."""

    def __init__(self, threads: int, most: int, name: str) -> None:
        self.most, self.name = most, name
        self._taken, self._lock = 0, threading.Lock()
        self._pool = ThreadPoolExecutor(threads, f"everlearn-{name}")

    async def do(self, work: Callable[[], T]) -> T:
        """What the work comes to; of a caller that is cancelled it is not begun any more."""
        with self._lock:
            if self._taken >= self.most:
                raise Overloaded(f"the server has {self._taken} requests waiting ({self.name}). Try again later.")
            self._taken += 1
        future = self._pool.submit(work)
        future.add_done_callback(self._over)
        return await asyncio.wrap_future(future)

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)

    def _over(self, future: Future[T]) -> None:
        with self._lock:
            self._taken -= 1
