"""Lost and gained, question by question."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from everlearn import StateError
from everlearn.report.changes import SHOWN, change_lists
from everlearn.report.sections import read_sections

Make = Callable[..., Path]
PLAIN = [[38, 0, 0, 0], [30, 40, 0, 0], [20, 22, 40, 0], [12, 10, 20, 40]]
GOOD = [[38, 0, 0, 0], [38, 39, 0, 0], [37, 38, 40, 0], [39, 40, 38, 38]]


def test_counts_are_those_of_the_answers(make: Make) -> None:
    (section,) = read_sections([make(right={"plain": PLAIN, "replay": GOOD})])
    plain, replay = section.methods
    lists = {changes.title: changes for changes in change_lists(section, replay, plain)}
    assert {title: changes.count for title, changes in lists.items()} == {
        "Lost: answered correctly right after teaching, wrong at the end": 2,  # two of second
        "Gained: wrong right after teaching, right at the end": 2,  # one of old, one of first
        "Better than plain at the end": 27 + 30 + 18,
        "Worse than plain at the end": 2,  # third: 40 against 38
    }
    first = lists["Lost: answered correctly right after teaching, wrong at the end"].changes[0]
    assert (first.task, first.answer, first.first.said, first.second.said, first.second.mark) == ("second", "Exe 38", "Exe 38", "Exe wrong", "wrong")


def test_no_more_than_twenty_are_shown_and_every_task_has_its_part(make: Make) -> None:
    (section,) = read_sections([make(right={"plain": PLAIN})])
    (lost,) = change_lists(section, section.methods[0], None)
    assert lost.count == 26 + 30 + 20
    assert len(lost.changes) == SHOWN
    assert {change.task for change in lost.changes} == {"old", "first", "second"}


def test_an_outdated_answer_is_marked(make: Make) -> None:
    (section,) = read_sections([make(right={"plain": PLAIN})])
    (lost,) = change_lists(section, section.methods[0], None)
    assert {change.second.mark for change in lost.changes if change.task == "first"} == {"wrong", "outdated"}


def test_answers_that_do_not_fit_the_questions_are_refused(make: Make) -> None:
    folder, other = make("a", {"plain": PLAIN}), make("b", {"plain": PLAIN})
    from gzip import compress, decompress

    path = folder / "questions.jsonl.gz"
    path.write_bytes(compress(b"".join(decompress((other / "questions.jsonl.gz").read_bytes()).splitlines(keepends=True)[1:])))
    (section,) = read_sections([folder])
    with pytest.raises(StateError, match=r"do not fit the questions .folder='.*a', run='.*', task='old'.: 40 scores and 40 answers to 39 questions"):
        change_lists(section, section.methods[0], None)
