"""What is stable: chains of one question, kinds of questions, and how often each kind changes."""

from __future__ import annotations

import pytest

from everlearn import Almanac, Example, almanac_stream
from everlearn.memory.passages import Passage
from everlearn.memory.reading import passage_of
from everlearn.memory.stability import PRIOR, Fact, Rates, facts_of
from everlearn.streams.words import BY_NAME
from everlearn.types import Stream


def mayor(town: str, name: str, time: str = "") -> Example:
    return Example(prompt=f"Question: Who is the mayor of {town}?\nAnswer:", completion=f" {name}", time=time)


def test_rows_of_one_question_end_each_other_by_date_in_whatever_order_they_arrived() -> None:
    rows = [mayor("Ashford", "Cy", "2023"), mayor("Ashford", "Bo", "2021"), mayor("Penwick", "Di", "2022")]
    store = [passage_of(row) for row in rows]
    facts = facts_of(store, {store[0].id: 2, store[1].id: 5, store[2].id: 3}, {})
    assert [(f.row, f.passage, f.began, f.ended, f.changes) for f in facts] == [
        (rows[1], store[1].id, 5, 2, 0), (rows[0], store[0].id, 2, None, 1), (rows[2], store[2].id, 3, None, 0)]  # fmt: skip
    assert [f.held(7) for f in facts] == [0, 5, 4]


def test_what_was_known_is_the_first_of_its_question_and_stays_known_when_told_again() -> None:
    known, again, other = mayor("Ashford", "Ann"), mayor("Ashford", "Ann", "2021"), mayor("Ashford", "Bo", "2022")
    store, past = [passage_of(again), passage_of(other)], {known.question or "": known, "x": mayor("Penwick", "Di")}
    facts = facts_of(store, {store[0].id: 1, store[1].id: 2}, past)
    assert [(f.row.completion, f.passage, f.began, f.ended, f.changes) for f in facts] == [
        (" Di", "", 0, None, 0), (" Ann", "", 0, 2, 0), (" Bo", store[1].id, 2, None, 1)]  # fmt: skip


def test_a_passage_without_a_row_and_one_whose_end_is_told_are_no_facts() -> None:
    row = passage_of(mayor("Ashford", "Ann", "2021"))
    ending = Passage(row.text, row.subject, row.valid_from, "2022", origin=row.origin)
    assert facts_of([Passage("The moon is far."), ending], {ending.id: 1}, {}) == []


def test_the_rate_of_a_kind_is_drawn_to_that_of_all() -> None:
    towns = ("Ashford", "Penwick", "Hartbury", "Coldhaven")
    mayors = [Fact(mayor(town, "Ann"), "", 0, 1 if town == "Ashford" else None) for town in towns]
    rivers = [Fact(Example(prompt=f"Question: What is the river of {town}?\nAnswer:", completion=" Brue"), "", 0) for town in towns]
    rates = Rates([*mayors, *rivers], now=5)
    assert rates.all == 1 / 36  # eight facts, one held through 1 experience and seven through 5
    assert rates.of(mayors[3].row) == pytest.approx((1 + PRIOR / 36) / (16 + PRIOR))
    assert rates.of(rivers[0].row) == pytest.approx((PRIOR / 36) / (20 + PRIOR))
    assert rates.kind(mayors[0].row) == rates.kind(mayors[1].row) == frozenset(("who", "is", "the", "mayor", "of"))
    assert rates.kind(Example(text="Owls fly.")) == frozenset()
    assert Rates([], 3).of(mayors[0].row) == 0


def kept_out(stream: Stream, change: float) -> tuple[float, float]:
    """Precision and recall of "its relation never changes" for rows that arrived two experiences before the last."""
    store = [(passage_of(row), now) for now, e in enumerate(stream, 1) for row in e.train]
    facts = facts_of([passage for passage, _ in store], {passage.id: now for passage, now in store}, {e.question or "": e for e in stream.base})
    rates = Rates(facts, len(stream))
    due = [f for f in facts if f.passage and f.ended is None and f.held(len(stream)) == 2]
    taken = [f for f in due if rates.of(f.row) <= change]
    steady = [f for f in due if not BY_NAME[f.row.source.split("/")[1]].volatile]
    right = [f for f in taken if f in steady]
    return len(right) / len(taken), len(right) / len(steady)


def test_on_the_almanac_rates_tell_relations_that_change_from_those_that_never_do() -> None:
    stream = almanac_stream(Almanac(changed=40, appeared=60, future=7), 4, skills=3)
    precision, recall = kept_out(stream, 0.015)
    assert precision >= 0.95
    assert recall >= 0.6
    assert kept_out(stream, 1.0)[0] < 0.5


def test_what_the_weights_know_of_a_store_that_was_there_before_is_the_last_time_it_was_told() -> None:
    ann, bo = mayor("Ashford", "Ann", "2020"), mayor("Ashford", "Bo", "2021")
    store, past = [passage_of(ann), passage_of(bo)], {bo.question or "": bo}
    found = facts_of(store, {passage.id: 1 for passage in store if passage}, past)
    assert [(fact.row.completion, fact.ended, fact.changes) for fact in found] == [(" Ann", 1, 0), (" Bo", None, 1)]
    assert found[-1].passage == "", "known, so not to be taught again"
