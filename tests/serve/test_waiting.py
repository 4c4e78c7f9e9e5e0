"""However much is asked at once, only so much of it waits; the rest is told to come later."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from everlearn import Home
from everlearn.serve.asking import Overloaded
from everlearn.serve.opening import Served, open_served
from everlearn.serve.pool import Pool
from everlearn.serve.serving import Serving
from everlearn.versions.record import Version
from everlearn.versions.settings import ServeTable


@pytest.fixture
def serving(home: Home) -> Iterator[Serving]:
    made = Serving(Pool(home), ServeTable(waiting=2))
    yield made
    made.close()


def test_so_many_wait_for_a_version_to_be_opened_and_a_warm_one_answers_meanwhile(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    free, opened = threading.Event(), list[int]()

    def slow(home: Home, version: Version, device: str | None) -> Served:
        opened.append(version.number)
        free.wait()
        return open_served(home, version, device)

    monkeypatch.setattr("everlearn.serve.pool.open_served", slow)

    async def ask() -> None:
        cold = [asyncio.create_task(serving.version(name, "")) for name in ("v0", "v0")]
        while not opened or serving.opening._taken < 2:
            await asyncio.sleep(0.01)
        try:
            with pytest.raises(Overloaded, match="has 2 requests waiting .opening a version."):
                await serving.version("v1", "")
            assert (await serving.version("v2", "")).name == "v2"
            assert (await serving.version("latest", "")).name == "v2"
        finally:
            free.set()
        first, second = await asyncio.gather(*cold)
        assert first is second
        assert (await serving.version("v1", "")).name == "v1"

    asyncio.run(ask())
    assert opened == [0, 1]  # together, once


def test_so_many_embeddings_wait(serving: Serving) -> None:
    free, busy = threading.Event(), threading.Event()

    def hold() -> None:
        busy.set()
        free.wait()

    serving.engine.call(hold)
    busy.wait()
    waiting = [serving.engine.call(lambda: 3) for _ in range(2)]
    try:
        with pytest.raises(Overloaded, match="has 2 such requests waiting"):
            serving.engine.call(lambda: 3)
    finally:
        free.set()
    assert [one.result(60) for one in waiting] == [3, 3]
    serving.engine.close()
    with pytest.raises(Overloaded, match="is stopping"):
        serving.engine.call(lambda: 3)
