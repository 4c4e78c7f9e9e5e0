"""The order rows reach a learner in, and where they are cut: what follows for tasks, tests and truth."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from everlearn import Almanac, DataError, Example, Experience, SettingError, Stream, almanac_stream, load_model
from everlearn.evaluate.tasks import tasks_of
from everlearn.flow import flowing, parse_boundaries, parse_order
from everlearn.models.weights import TrainedModel

WORDS = {"bread": "bake the dough in a hot oven", "loans": "the bank will approve my loan", "trains": "the train leaves platform nine"}


def experience(name: str, size: int) -> Experience:
    rows = tuple(Example(prompt=f"{WORDS[name]} {number}?", completion=" yes", task=name) for number in range(size))
    tests = {name: (Example(prompt=f"{WORDS[name]} test?", completion=" yes"),)}
    return Experience(name, rows, tests, {name: "exact"}, valid={name: tests[name]}, chance={name: 0.5})


STREAM = Stream("topics", (experience("bread", 100), experience("loans", 120), experience("trains", 140)))


def no_model() -> TrainedModel:
    raise AssertionError("no model is needed")


def shaped(order: str, boundaries: str = "told", stream: Stream = STREAM) -> Stream:
    return flowing(stream, parse_order(order), parse_boundaries(boundaries), no_model, f"{order}, {boundaries}")


def test_the_given_order_with_told_boundaries_is_the_stream_itself() -> None:
    assert shaped("sequential") is STREAM


@pytest.mark.parametrize("order", ["blurred(overlap=0.6)", "recurring(times=3)", "shuffled", "bursts(length=7)", "sequential(seed=2)"])
@pytest.mark.parametrize("boundaries", ["told", "every(rows=50)"])
def test_every_row_comes_once_and_every_task_is_learned_where_its_first_row_is(order: str, boundaries: str) -> None:
    found = shaped(order, boundaries)
    assert Counter(row for e in found for row in e.train) == Counter(row for e in STREAM for row in e.train)
    for task in tasks_of(found.experiences):
        assert task.learned == 1 + next(at for at, e in enumerate(found) if any(row.task == task.name for row in e.train))
        assert task.chance == 0.5
    assert sorted(test for e in found for test in e.tests) == sorted(WORDS) == sorted(valid for e in found for valid in e.valid)


def test_what_rows_are_of_is_noted_and_no_name_tells_it() -> None:
    found = shaped("shuffled", "every(rows=90)")
    assert [e.name for e in found] == ["1", "2", "3", "4"]
    assert sum((Counter(e.note["rows_of"]) for e in found), Counter()) == {"bread": 100, "loans": 120, "trains": 140}
    assert [e.note["start"] for e in found] == [0, 90, 180, 270]


def test_an_experience_that_has_no_rows_is_still_tested() -> None:
    only = replace(STREAM, experiences=(*STREAM.experiences, Experience("extra", (), {"extra": STREAM.experiences[0].tests["bread"]}, {"extra": "exact"})))
    found = shaped("shuffled", stream=only)
    assert [task.name for task in tasks_of(found.experiences) if task.learned == 0] == ["extra"]


def test_a_detector_finds_the_experiences_that_nobody_told() -> None:
    model = load_model("tiny")
    found = flowing(STREAM, parse_order("sequential"), parse_boundaries("embedding(window=32)+every(rows=300)"), lambda: model, "found")
    assert len(found) == 3
    assert all(max(e.note["rows_of"].values()) > 0.95 * len(e.train) for e in found)
    events = [event for e in found for event in e.note["events"]]
    assert ["loan" in events[0]["more"], "oven" in events[0]["fewer"]] == [True, True]


def test_tokens_are_the_models() -> None:
    model = load_model("tiny")
    found = flowing(STREAM, parse_order("sequential"), parse_boundaries("every(tokens=500)"), lambda: model, "found")
    sizes = [sum(len(row.tokens) for row in model.encoder.rows(e.train)) for e in found]
    assert all(500 <= size < 560 for size in sizes[:-1])


def test_truth_with_dates_moves_with_the_rows_that_change_it() -> None:
    given = almanac_stream(Almanac(facts=60), periods=3, skills=1)
    found = shaped("blurred(overlap=0.5)", "every(rows=10)", given)
    old = {e.id: e.until for of in given for rows in of.tests.values() for e in rows if e.until}
    new = {e.id: e.until for of in found for rows in of.tests.values() for e in rows if e.until}
    assert old
    assert old.keys() == new.keys()
    for key, period in old.items():
        rows = set(given.experiences[period - 1].train)
        first = next(at for at, e in enumerate(found, 1) if rows & set(e.train))
        assert new[key] == first


def test_no_order_puts_the_past_after_the_future_where_truth_has_dates() -> None:
    given = almanac_stream(Almanac(facts=60), periods=2, skills=1)
    with pytest.raises(DataError, match=r"part of its truth.*Orders that keep it are sequential, blurred, imbalanced"):
        shaped("shuffled", stream=given)


@pytest.mark.parametrize(
    ("order", "told"),
    [("blured", "no order 'blured'. Did you mean 'blurred'"), ("blurred(overlap=2)", "between 0 and 1, got 2"), ("blurred(over=1)", "no setting 'over'")],
)
def test_an_order_that_is_none_is_told(order: str, told: str) -> None:
    with pytest.raises(SettingError, match=told):
        parse_order(order)


@pytest.mark.parametrize(
    ("boundaries", "told"),
    [
        ("embeding", "no boundary 'embeding'. Did you mean 'embedding'"),
        ("every", "every needs tokens or rows, one of them"),
        ("every(tokens=5,rows=5)", "got tokens=5, rows=5"),
        ("adwin+kswin", "one detector, every"),
        ("told+embedding", "boundaries are 'told', or one detector"),
        ("", "boundaries are empty"),
    ],
)
def test_boundaries_that_are_none_are_told(boundaries: str, told: str) -> None:
    with pytest.raises(SettingError, match=told):
        parse_boundaries(boundaries)


def test_a_stream_without_rows_has_no_order() -> None:
    with pytest.raises(DataError, match="no training rows to order"):
        shaped("shuffled", stream=Stream("empty", (Experience("none", ()),)))
