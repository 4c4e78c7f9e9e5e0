"""Which version answers, and how that changes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest

from everlearn import Home, SettingError
from everlearn.serve.canary import Trial
from everlearn.serve.pool import Pool


@pytest.fixture
def pool(home: Home) -> Iterator[Pool]:
    made = Pool(home, most=2)
    yield made
    made.close()


def until(true: Callable[[], bool]) -> None:
    for _ in range(3000):
        if true():
            return
        time.sleep(0.02)
    raise AssertionError("it did not come to be so")


def test_a_rollback_and_a_promotion_are_followed(home: Home, pool: Pool) -> None:
    assert pool.chosen("").name == "v2"
    home.rollback()
    until(lambda: pool.chosen("").name == "v1")
    home.promote(2)
    until(lambda: pool.chosen("").name == "v2")
    assert pool.swaps == 2
    assert pool.problem == ""


def test_versions_are_opened_once_and_the_last_used_stay(pool: Pool) -> None:
    one = pool.named("v1")
    assert pool.named("1") is one
    assert pool.named(one.version.id[:6]) is one
    pool.named("v0")
    assert {served.name for served in pool.held()} == {"v0", "v2"}  # what is in service stays
    with pytest.raises(SettingError, match="no such version"):
        pool.named("v7")


def test_what_cannot_be_opened_leaves_the_version_before_in_service(home: Home, pool: Pool) -> None:
    one = home.version(1)
    for pack in one.kept.weights:
        home.objects.pack_path(pack).unlink()
    home.rollback()
    until(lambda: bool(pool.problem))
    assert "cannot be read" in pool.problem
    assert pool.chosen("").name == "v2"
    home.promote(2)
    until(lambda: not pool.problem)


def on_trial(home: Home, share: float = 0.5) -> Pool:
    home.rollback()
    made = Pool(home, trial=Trial(share, answers=40))
    home.promote(2)
    until(lambda: made.standing.trial is not None)
    return made


def test_a_new_version_answers_a_share_until_it_has_shown_itself(home: Home) -> None:
    pool = on_trial(home)
    try:
        names = {key: pool.chosen(key).name for key in map(str, range(200))}
        assert 60 < sum(name == "v2" for name in names.values()) < 140
        assert all(pool.chosen(key).name == name for key, name in names.items())
        trial = pool.standing.trial
        assert trial is not None
        pool.judge(trial.version.id, answers=40)
        until(lambda: pool.standing.trial is None)
        assert pool.chosen("0").name == pool.chosen("1").name == "v2"
        assert home.head.number == 2
    finally:
        pool.close()


def test_a_new_version_that_fails_is_rolled_back_in_the_home_too(home: Home) -> None:
    pool = on_trial(home)
    try:
        trial = pool.standing.trial
        assert trial is not None
        pool.judge(pool.standing.served.version.id, answers=100, bad=1)
        pool.judge(trial.version.id, answers=25, bad=12)
        until(lambda: home.head.number == 1)
        assert pool.standing.trial is None
        assert pool.chosen("0").name == "v1"
        until(lambda: "canary" in (home.folder / "log.jsonl").read_text())
        until(lambda: not pool._refused)  # the rollback is over, and with it the lock
        home.promote(2)  # by hand: tried again
        until(lambda: pool.standing.trial is not None)
    finally:
        pool.close()


def test_what_is_promoted_while_a_failed_version_is_rolled_back_stays(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    pool, writing, promoted = on_trial(home), Home.writing, list[int]()

    def just_before(self: Home, forgetting: bool = False) -> AbstractContextManager[None]:
        if self is pool.home and not promoted:
            promoted.append(0)
            Home(home.folder).promote(0)  # as another process does, between the look and the lock
        return writing(self, forgetting)

    try:
        trial = pool.standing.trial
        assert trial is not None
        monkeypatch.setattr(Home, "writing", just_before)
        pool.judge(pool.standing.served.version.id, answers=100, bad=1)
        pool.judge(trial.version.id, answers=25, bad=12)
        until(lambda: bool(promoted) and pool.standing.trial is not None and pool.standing.trial.name == "v0")
        assert home.head.number == 0
        assert [move["why"] for move in home.moves][-1] != "rollback"
    finally:
        pool.close()


def test_a_rollback_is_no_trial(home: Home) -> None:
    pool = Pool(home, trial=Trial(0.5))
    try:
        home.rollback()
        until(lambda: pool.chosen("0").name == "v1")
        assert pool.standing.trial is None
    finally:
        pool.close()
