"""What a client no longer waits for, or can no longer get whole, is not said to its end."""

from __future__ import annotations

import asyncio
import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import pytest

from everlearn import Home, HomeSettings
from everlearn.serve.asking import Answer
from everlearn.serve.engine import Engine, Group
from everlearn.serve.leaving import Gone, together, while_there
from everlearn.serve.running import served
from everlearn.serve.serving import Serving
from tests.serve.calling import call
from tests.serve.conftest import SMALL, asked

LONG = {"prompt": "Once upon", "max_tokens": 400, "temperature": 2, "seed": 1}


def until(true: Callable[[], bool]) -> None:
    for _ in range(3000):
        if true():
            return
        time.sleep(0.02)
    raise AssertionError("it did not come to be so")


@pytest.fixture
def free() -> threading.Event:
    """Until it is set no answer gets a token further."""
    return threading.Event()


@pytest.fixture
def answers() -> list[Answer]:
    """Every answer that the engine took."""
    return []


@pytest.fixture
def engines() -> list[Engine]:
    return []


@pytest.fixture
def url(home: Home, free: threading.Event, answers: list[Answer], engines: list[Engine], monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    submit, step, made = Engine.submit, Engine._step, Serving.__init__

    def noted(engine: Engine, *given: object, **more: object) -> Answer:
        answers.append(submit(engine, *given, **more))  # type: ignore[arg-type]
        return answers[-1]

    def held(engine: Engine, group: Group) -> None:
        free.wait()
        step(engine, group)

    def kept(serving: Serving, *given: object) -> None:
        made(serving, *given)  # type: ignore[arg-type]
        engines.append(serving.engine)

    monkeypatch.setattr(Engine, "submit", noted)
    monkeypatch.setattr(Engine, "_step", held)
    monkeypatch.setattr(Serving, "__init__", kept)
    HomeSettings.of({**SMALL, "serve": {"most_answers": 3}}, "a test").save(home.folder / "everlearn.toml")
    with served(home) as found:
        try:
            yield found
        finally:
            free.set()


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_whose_client_has_gone_is_not_said(url: str, free: threading.Event, answers: list[Answer], engines: list[Engine], stream: bool) -> None:
    place = urlsplit(url)
    client = http.client.HTTPConnection(place.hostname or "", place.port or 80)
    client.request("POST", "/v1/completions", json.dumps({**LONG, "n": 2, "stream": stream}), {"Content-Type": "application/json"})
    until(lambda: len(answers) == 2)
    assert not any(answer.gone for answer in answers)
    client.close()
    until(lambda: all(answer.gone for answer in answers))
    free.set()
    until(lambda: engines[0].under_way == (0, 0))
    assert engines[0].counted.answered == 0
    if not stream:
        until(lambda: 'everlearn_requests_total{route="/v1/completions",status="499"} 1' in call(url, "GET", "/metrics").text)


def test_one_prompt_that_cannot_be_answered_ends_its_siblings(url: str, free: threading.Event, answers: list[Answer], engines: list[Engine]) -> None:
    told = call(url, "POST", "/v1/completions", {**LONG, "prompt": ["owl " * 600, "Once upon"]})
    assert told.status == 400
    assert "this model reads 512" in told.error
    until(lambda: all(answer.gone for answer in answers))
    free.set()
    until(lambda: engines[0].under_way == (0, 0))
    assert (len(answers), engines[0].counted.answered) == (2, 0)


def test_one_request_may_ask_for_so_many_answers(url: str, free: threading.Event) -> None:
    free.set()
    told = call(url, "POST", "/v1/completions", {"prompt": [asked(1), asked(2)], "n": 2})
    assert told.status == 400
    assert "at most 3 answers here, got 4 (prompts=2, n=2). [serve] most_answers" in told.error
    assert len(call(url, "POST", "/v1/completions", {"prompt": asked(1), "n": 3, "max_tokens": 2}).json["choices"]) == 3


def test_work_ends_with_the_client_and_with_the_first_that_fails() -> None:
    ended: list[str] = []

    async def forever(name: str) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(name)

    async def fails() -> None:
        raise ValueError("no")

    async def leaves() -> dict[str, str]:
        return {"type": "http.disconnect"}

    async def stays() -> dict[str, str]:
        await asyncio.Event().wait()
        return {}

    async def three() -> int:
        return 3

    with pytest.raises(ValueError, match="^no$"):
        asyncio.run(together([forever("a"), fails(), forever("b")]))
    with pytest.raises(Gone, match="closed the connection"):
        asyncio.run(while_there(leaves, forever("c")))
    assert sorted(ended) == ["a", "b", "c"]
    assert asyncio.run(while_there(stays, together([three(), three()]))) == [3, 3]
