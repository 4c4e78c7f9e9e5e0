"""What a server is made of, and one question's way through it."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from everlearn.errors import DataError, MissingExtra, SettingError, StateError
from everlearn.memory.passages import Passage
from everlearn.models.sampling import Sampling
from everlearn.serve.asking import Ask, Piece
from everlearn.serve.bodies import Answering
from everlearn.serve.documents import Documents
from everlearn.serve.engine import ASKERS, Engine
from everlearn.serve.feedback import Feedback
from everlearn.serve.meters import Meters
from everlearn.serve.opening import Served
from everlearn.serve.pool import LATEST, Pool
from everlearn.serve.refusals import Unknown
from everlearn.serve.remembered import Given, Remembered
from everlearn.serve.teaching import Teaching
from everlearn.serve.threads import Threads
from everlearn.serve.uploads import Uploads
from everlearn.types import Example
from everlearn.versions.record import Version
from everlearn.versions.settings import ServeTable

READERS = 4  # threads that look things up on disk
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Said:
    """A whole answer. asked, said: tokens."""

    text: str
    finish: str
    asked: int
    said: int


class Serving:
    """The parts of a server: versions, the engine, documents, feedback, meters."""

    def __init__(self, pool: Pool, table: ServeTable) -> None:
        self.pool, self.table, self.home = pool, table, pool.home
        self.engine = Engine(table.batch, table.waiting)
        self.reading, self.writing = Threads(READERS, table.waiting, "reading"), Threads(1, table.waiting, "writing")
        self.opening = Threads(1, table.waiting, "opening a version")
        self.documents, self.feedback, self.meters = Documents(self.home), Feedback(self.home, table), Meters()
        self._given = Remembered()
        self.uploads, self.teaching = Uploads(self.home, table), Teaching(self.home)

    async def version(self, name: str, key: str) -> Served:
        """Which version answers a request. Raises Unknown for one that is not there, Overloaded where too many wait for others to be opened."""
        if name == LATEST:
            return self.pool.chosen(key)
        try:
            version = await self.reading.do(partial(self.pool.found, name))
            warm = self.pool.warm(version)
            return warm if warm is not None else await self.opening.do(partial(self.pool.opened, version))
        except SettingError as problem:
            raise Unknown(f"there is no such model (model={name!r}). Name 'latest', or a version that /v1/models lists.") from problem
        except StateError as problem:
            raise Unknown(str(problem)) from problem

    async def ask(self, body: Answering, question: Example, limit: int | None) -> Ask:
        """The question as the engine takes it, with what the documents say about it."""
        most = self.table.most_tokens
        if limit is not None and limit > most:
            raise DataError(f"an answer may have at most {most} tokens here, got max_tokens={limit}. [serve] most_tokens of everlearn.toml is the limit.")
        sampling = None
        if body.drawn:
            sampling = Sampling(body.temperature or 1.0, body.top_k or 0, 1.0 if body.top_p is None else body.top_p)
        seed = secrets.randbits(63) if body.seed is None else body.seed
        told, passages = question, list[Passage]()
        if self.documents or body.as_of:
            told, passages = await self.reading.do(partial(self.documents.read, question, body.as_of))
        return Ask(question, limit or most, limit is None, told if passages else None, tuple(passages), body.stops, sampling, seed)

    async def answer(self, served: Served, ask: Ask) -> Said:
        """The whole answer."""
        found: list[Piece] = []
        async for piece in self.pieces(served, ask, stream=False):
            found.append(piece)
        return Said("".join(piece.text for piece in found), found[-1].finish, found[-1].asked, found[-1].said)

    async def pieces(self, served: Served, ask: Ask, stream: bool = True) -> AsyncIterator[Piece]:
        """An answer piece by piece; it stops being said when nobody takes them any more."""
        loop, heard = asyncio.get_running_loop(), asyncio.Queue[Piece | Exception]()

        def deliver(piece: Piece | Exception) -> None:
            with suppress(RuntimeError):  # the loop is gone, and so is who asked
                loop.call_soon_threadsafe(heard.put_nowait, piece)

        under_way = self.engine.submit(served, ask, deliver, stream)
        try:
            while True:
                piece = await heard.get()
                if isinstance(piece, Exception):
                    failed = not isinstance(piece, ASKERS)
                    self.pool.judge(served.version.id, answers=failed, bad=failed)
                    raise piece
                if piece.finish:
                    self.pool.judge(served.version.id, answers=1)
                yield piece
                if piece.finish:
                    return
        finally:
            under_way.gone = True

    async def call(self, work: Callable[[], T]) -> T:
        """Something else that uses a model. Raises Overloaded where too much of it waits."""
        return await asyncio.wrap_future(self.engine.call(work))

    def remember(self, id: str, served: Served, question: Example) -> None:
        """Let feedback name this answer."""
        self._given.add(id, Given(served.version.id, question))

    def given(self, id: str) -> Given:
        """The answer of that id. Raises Unknown for one that was not given here, or too long ago."""
        if id not in self._given:
            raise Unknown(f"no answer of this server has this id (id={id!r}). Send the prompt with the correction, or an id that is newer.")
        return self._given[id]

    def usable(self) -> list[Version]:
        """Every version that can be asked."""
        found = []
        for version in self.home.versions():
            with suppress(StateError):
                self.home.usable(version)
                found.append(version)
        return found

    def close(self) -> None:
        """Answer what was taken, hand the feedback over, stop."""
        for threads in (self.reading, self.writing, self.opening):
            threads.close()
        self.engine.close()
        self.feedback.close()
        self.uploads.close()
        self.pool.close()


def needs_lancedb() -> None:
    """Raise MissingExtra where documents cannot be kept."""
    from importlib.util import find_spec

    if find_spec("lancedb") is None:
        raise MissingExtra("documents need lancedb, which is not installed. Run pip install 'everlearn[memory]'.")
