"""What counts for and against a version."""

from __future__ import annotations

import asyncio

import pytest

from everlearn import Example, Home
from everlearn.errors import Unsuited
from everlearn.serve.asking import TooLong
from everlearn.serve.bodies import Answering
from everlearn.serve.pool import Pool
from everlearn.serve.serving import Serving
from everlearn.versions.settings import ServeTable


def test_what_the_client_got_wrong_does_not_count_against_the_version(home: Home) -> None:
    serving = Serving(Pool(home), ServeTable())
    talk = Example(messages=({"role": "user", "content": "Who?"}, {"role": "assistant", "content": ""}))

    async def ask(question: Example) -> str:
        served = await serving.version("latest", "")
        return (await serving.answer(served, await serving.ask(Answering(), question, 4))).finish

    try:
        serving.pool.standing.served.model.tokenizer.chat_template = None
        with pytest.raises(Unsuited, match="no chat template"):
            asyncio.run(ask(talk))
        with pytest.raises(TooLong):
            asyncio.run(ask(Example(prompt="owl " * 600, completion="")))
        assert all((tally.answers, tally.bad) == (0, 0) for tally in serving.pool.tallies.values())
        assert asyncio.run(ask(Example(prompt="owl", completion=""))) in ("stop", "length")
        assert [(tally.answers, tally.bad) for tally in serving.pool.tallies.values()] == [(1, 0)]
        assert serving.engine.counted.failed == 0
    finally:
        serving.close()
