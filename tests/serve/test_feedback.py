"""What clients correct is kept at once, and comes to the inbox as files: trusted ones to be learned, others to be approved."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator

import pytest

from everlearn import Example, Home, StateError, approve, read_examples, watch
from everlearn.serve.feedback import Feedback
from everlearn.serve.lines import add_lines
from everlearn.versions.inbox import INBOX, QUARANTINE, Inbox
from everlearn.versions.settings import ServeTable


@pytest.fixture
def made(home: Home) -> Iterator[Callable[..., Feedback]]:
    every: list[Feedback] = []

    def make(**given: object) -> Feedback:
        every.append(Feedback(home, ServeTable.model_validate(given)))
        return every[-1]

    yield make
    for one in every:
        one.close()


def row(n: int, source: str = "feedback") -> Example:
    return Example(prompt=f"Who keeps lamp {n}?", completion=f" Nora{n}", source=source)


def test_a_trusted_source_goes_to_the_inbox_and_others_to_quarantine(home: Home, made: Callable[..., Feedback]) -> None:
    feedback = made(trusted=["feedback:desk*"], feedback_rows=1000)
    assert feedback.add(row(1, "feedback:desk1"))
    assert not feedback.add(row(2))
    assert feedback.hand_over() == []  # not enough for a file
    assert len(feedback.hand_over(all_of_it=True)) == 2
    inbox = Inbox(home)
    (taken,), (waits,) = inbox.at(INBOX), inbox.at(QUARANTINE)
    assert json.loads(taken.data.read_text())["completion"] == " Nora1"
    assert "does not name" in (waits.place / "reason.txt").read_text()
    assert list(feedback.folder.iterdir()) == []


def test_enough_rows_or_enough_time_make_a_file(home: Home, made: Callable[..., Feedback]) -> None:
    feedback = made(feedback_rows=2)
    feedback.add(row(1))
    assert feedback.hand_over() == []
    feedback.add(row(2))
    assert len(feedback.hand_over()) == 1
    assert made(feedback_minutes=0.0).hand_over() == []
    feedback.add(row(3))
    assert len(Feedback.hand_over(made(feedback_minutes=0.0))) <= 1  # its own thread may have been faster


def test_the_time_counts_from_the_first_row_that_waits(home: Home, made: Callable[..., Feedback], monkeypatch: pytest.MonkeyPatch) -> None:
    feedback, now = made(feedback_rows=1000, feedback_minutes=60), [0.0]
    feedback.handing.stop()  # by hand from here on
    monkeypatch.setattr("everlearn.serve.feedback.time.monotonic", lambda: now[0])
    for minutes, files in ((0, 0), (50, 0), (61, 1), (62, 0), (110, 0), (123, 1)):
        now[0] = 60.0 * minutes
        if minutes not in (61, 123):
            feedback.add(row(minutes))
        assert len(feedback.hand_over()) == files, minutes


def test_what_a_server_that_was_killed_left_is_handed_over_at_once(home: Home, made: Callable[..., Feedback]) -> None:
    add_lines(home.folder / "feedback" / "others.jsonl", [row(1).to_json()])
    feedback = made(feedback_rows=1000)
    feedback.hand_over()
    assert len(Inbox(home).at(QUARANTINE)) == 1


def test_what_is_approved_is_learned_by_watch(home: Home, made: Callable[..., Feedback], tmp_path_factory: pytest.TempPathFactory) -> None:
    feedback = made()
    for n in range(3):
        feedback.add(row(n))
    feedback.close()
    (claim,) = Inbox(home).at(QUARANTINE)
    folder = tmp_path_factory.mktemp("drops")
    assert list(watch(home, folder, once=True)) == []
    approve(home, str(claim.number))
    (taken,) = watch(home, folder, once=True)
    assert taken.became == "promoted"
    assert home.head.arrived is not None
    assert home.head.arrived.count == 3


def test_a_home_that_is_written_to_is_waited_for_and_nothing_is_lost(home: Home, made: Callable[..., Feedback]) -> None:
    feedback = made(feedback_rows=1)
    with home.writing():
        feedback.add(row(1))
        with pytest.raises(StateError, match="another process"):
            feedback.hand_over()
    feedback.close()
    assert len(Inbox(home).at(QUARANTINE)) == 1
    (home.folder / "forgetting.json").write_text("{}")
    with pytest.raises(StateError, match="being forgotten"):
        feedback.add(row(2))


class Killed(BaseException):
    """As a crash: nothing catches it."""


@pytest.mark.parametrize("number", range(1, 9))
def test_killed_at_any_step_what_is_not_trusted_is_never_in_the_inbox(
    home: Home, made: Callable[..., Feedback], monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    feedback = made(feedback_rows=1000)
    feedback.add(row(1))
    feedback.handing.stop()  # by hand from here on
    count = [0]

    def counted(real: Callable[..., object]) -> Callable[..., object]:
        def call(*given: object, **more: object) -> object:
            count[0] += 1
            if count[0] == number:
                raise Killed
            return real(*given, **more)

        return call

    with monkeypatch.context() as patch:
        for name in ("rename", "replace", "unlink"):
            patch.setattr(os, name, counted(getattr(os, name)))
        with contextlib.suppress(Killed):
            feedback.hand_over(all_of_it=True)
    assert count[0] >= min(number, 7)
    assert Inbox(home).at(INBOX) == []
    feedback.hand_over(all_of_it=True)
    assert Inbox(home).at(INBOX) == []
    (waits,) = Inbox(home).at(QUARANTINE)
    assert waits.taken
    assert f"approve HOME {waits.number}" in (waits.place / "reason.txt").read_text()
    assert list(feedback.folder.iterdir()) == []


def test_two_clicks_on_one_answer_among_different_others_are_learned_together(
    home: Home, made: Callable[..., Feedback], tmp_path_factory: pytest.TempPathFactory
) -> None:
    feedback = made(trusted=["*"], feedback_rows=1000)
    for others in ((" a", " c"), (" d",)):
        feedback.add(Example(prompt="Which is read next?", completion=" b", choices=(" b", *others), source="feedback"))
    feedback.add(row(1))
    feedback.close()
    (claim,) = Inbox(home).at(INBOX)
    assert len(claim.data.read_text().splitlines()) == 3
    found = {one.completion: one for one in read_examples(claim.data)}
    assert (found[" b"].choices, found[" b"].count) == ((" b", " a", " c", " d"), 2)
    (taken,) = watch(home, tmp_path_factory.mktemp("drops"), once=True)
    assert taken.became == "promoted", taken.why
