"""What the pages call a version: by what answers, not by what the home says is to answer."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from everlearn import Home
from everlearn.serve.canary import Trial
from everlearn.serve.pages.history import History
from everlearn.serve.pool import Pool, Standing
from tests.serve.test_pool import until


@pytest.fixture
def pool(home: Home) -> Iterator[Pool]:
    """Back to version 1."""
    home.rollback(1)
    made = Pool(home, trial=Trial(0.5, answers=40))
    yield made
    made.close()


def states(history: History) -> list[str]:
    return [history.state(version) for version in history.versions]


def came(home: Home, number: int) -> list[str]:
    return [move["time"] for move in home.moves if move["version"] == home.version(number).id]


def test_while_one_is_on_trial_the_one_before_is_in_service(home: Home, pool: Pool) -> None:
    assert states(History(home, pool.standing)) == ["earlier", "in_service", "earlier", "refused"]
    home.promote(2)
    until(lambda: pool.standing.trial is not None)
    moves = home._head()
    moves["moves"][-1]["time"] = "2030-01-01T00:00:00+00:00"
    history = History(home, pool.standing)
    history.moves = moves["moves"]
    assert states(history) == ["earlier", "in_service", "on_trial", "refused"]
    assert history.since == came(home, 1)[-1]
    assert [history.can_return(version) for version in history.versions] == [True, True, False, False]


def test_a_head_that_does_not_answer_is_not_in_service(home: Home, pool: Pool) -> None:
    served = Standing(pool.named("v1"))
    home.promote(2)
    assert states(History(home, served)) == ["earlier", "in_service", "not_answering", "refused"]
