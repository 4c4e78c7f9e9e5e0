"""Consolidate: what held goes into the weights, what is new or volatile stays in the store; order, skipping, resume, state."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from everlearn import Consolidate, Example, Experience, Gradient, Replay, Retrieval, SettingError, Settings, StateError, load_model
from everlearn.checks.methods import small_stream
from everlearn.config import parse_methods
from everlearn.learn.base import Learner
from everlearn.learn.bounds import Frozen
from everlearn.methods.base import State, Step
from everlearn.models.state import load_state, save_state
from everlearn.models.weights import TrainedModel
from everlearn.upkeep.wanted import Wanted

FAST = Settings(rate=1e-3, passes=2, batch=4)
TOWNS = ("Ashford", "Penwick", "Hartbury", "Coldhaven")


def river(town: str, name: str, year: str, source: str = "atlas") -> Example:
    return Example(prompt=f"Question: What is the river of {town}?\nAnswer:", completion=f" {name}", time=year, source=source)


def mayor(town: str, name: str, year: str) -> Example:
    return Example(prompt=f"Question: Who is the mayor of {town}?\nAnswer:", completion=f" {name}", time=year, source="council")


LATER = Experience("later", ())  # with nothing new, time goes on


class Noting(Frozen):
    """Trains nothing, and notes what it was given to learn."""

    def __init__(self) -> None:
        self.given: list[list[Example]] = []

    def learn(self, model: TrainedModel, experience: Experience, checkpoint: object = None):  # type: ignore[no-untyped-def, override]
        self.given.append(list(experience.train))
        return super().learn(model, experience)


def noted(learner: Consolidate, *experiences: Experience, past: tuple[Example, ...] = ()) -> list[list[Example]]:
    """What the learner inside was given, over these experiences."""
    inside, model = Noting(), load_model("tiny")
    learner.around(inside).prepare(model)
    learner.remember(model, past)
    for experience in experiences:
        learner.learn(model, experience)
    return inside.given


def test_what_held_is_taught_once_the_oldest_first_and_where_nothing_is_due_nothing_learns() -> None:
    first, second = (tuple(river(town, "Brue", year) for town in towns) for year, towns in (("2021", TOWNS[:2]), ("2020", TOWNS[2:])))
    learner = Consolidate(after=2, change=1)
    assert noted(learner, Experience("1", first), Experience("2", second), LATER) == [list(first)]
    assert [row for row, _ in learner.taught.values()] == [row.id for row in first]
    more = Consolidate(after=1, change=1, most=3)
    assert noted(more, Experience("1", first[::-1] + second), LATER, LATER) == [[*second, first[1]], [first[0]]]
    assert noted(Consolidate(after=0, change=1, most=0), Experience("1", first)) == []


def test_what_is_superseded_is_never_taught_and_what_took_its_place_waits_the_longer() -> None:
    experiences = Experience("1", (river("Penwick", "Brue", "2021"),)), Experience("2", (river("Penwick", "Tamar", "2022"),)), LATER, LATER
    given = noted(Consolidate(after=1, change=1), *experiences)
    assert given == [[river("Penwick", "Tamar", "2022")]]
    assert noted(Consolidate(after=1, change=1), *experiences, past=(river("Penwick", "Exe", "2020"),)) == []
    assert noted(Consolidate(after=1, change=1), *experiences, LATER, past=(river("Penwick", "Exe", "2020"),)) == given


def test_a_fact_that_was_taught_is_taught_anew_when_another_took_its_place_and_held() -> None:
    old, new = river("Penwick", "Brue", "2021"), river("Penwick", "Tamar", "2023")
    back = river("Penwick", "Brue", "2024")
    given = noted(Consolidate(after=0, change=1), Experience("1", (old,)), Experience("2", (new,)), Experience("3", (back,)), Experience("4", (back,)))
    assert given == [[old], [new], [back]]


def test_a_fact_told_again_with_an_earlier_date_is_taught_once_and_has_held_as_long() -> None:
    told, earlier = river("Penwick", "Brue", "2022"), river("Penwick", "Brue", "2020", "gazette")
    learner = Consolidate(after=0, change=1)
    assert noted(learner, Experience("1", (told,)), Experience("2", (earlier,)), LATER) == [[told]]
    assert [source for _, source in learner.taught.values()] == ["atlas", "atlas"]  # by the passage that went and the one that took it in
    waits = noted(Consolidate(after=2, change=1), Experience("1", (told,)), Experience("2", (earlier,)), LATER)
    assert [[row.completion for row in rows] for rows in waits] == [[" Brue"]]


def test_what_was_known_and_is_told_again_is_not_taught() -> None:
    known = river("Penwick", "Brue", "2020")
    assert noted(Consolidate(after=0, change=1), Experience("1", (river("Penwick", "Brue", "2021"),)), past=(known,)) == []


def test_a_kind_that_changes_stays_in_the_store() -> None:
    wide = [f"{name}{n}" for name in ("Wick", "Moor") for n in range(20)]
    past = tuple(of for town in wide for of in (mayor(town, "Ann", "2020"), river(town, "Brue", "2020")))
    changed = tuple(mayor(town, "Bo", "2021") for town in wide[:8])
    new = (mayor("Longhaven", "Cy", "2021"), river("Longhaven", "Lune", "2021"))
    steps = Experience("1", (*changed, *new)), LATER
    assert noted(Consolidate(after=1, change=0.05), *steps, past=past) == [[new[1]]]
    assert noted(Consolidate(after=1, change=1), *steps, past=past) == [list(new)]


def test_what_the_store_supersedes_is_not_rehearsed_though_it_is_not_taught() -> None:
    learner, model = Consolidate(after=9).around(Gradient([Replay(share=1)], FAST)), load_model("tiny")
    learner.prepare(model)
    learner.remember(model, [mayor("Ashford", "Ann", "2020"), mayor("Penwick", "Ann", "2020")])
    learner.learn(model, Experience("1", (mayor("Ashford", "Bo", "2021"),)))
    loop = learner.memory.inner
    assert isinstance(loop, Gradient)
    replay = loop.methods[0]
    assert isinstance(replay, Replay)
    assert replay.buffer.examples() == [mayor("Penwick", "Ann", "2020")]
    assert learner.taught == {}


def test_with_no_wait_and_every_kind_it_is_retrieval_with_the_same_learner_bit_for_bit() -> None:
    base, experiences = small_stream()

    def weights(learner: Learner) -> dict[str, torch.Tensor]:
        model = load_model("tiny")
        learner.prepare(model)
        learner.remember(model, base)
        for experience in experiences:
            learner.learn(model, experience)
        return dict(model.state())

    one = weights(Consolidate(after=0, change=1).around(Gradient([Replay(share=1)], FAST)))
    other = weights(Retrieval().around(Gradient([Replay(share=1)], FAST)))
    assert all(torch.equal(value, other[name]) for name, value in one.items())


class Stopped(Exception):
    """As a kill would."""


def test_stopped_inside_a_consolidation_it_goes_on_bit_for_bit(tmp_path: object) -> None:
    rows = [Experience(str(n), tuple(river(f"{town}{n}", "Brue", f"202{n}") for town in TOWNS)) for n in (1, 2, 3)]

    def started() -> tuple[Consolidate, TrainedModel]:
        learner, model = Consolidate(after=1, change=1).around(Gradient([Replay(share=1)], FAST)), load_model("tiny")
        learner.prepare(model)
        return learner, model

    whole, trained = started()
    for experience in rows:
        whole.learn(trained, experience)
    learner, model = started()
    learner.learn(model, rows[0])
    learner.learn(model, rows[1])

    def stop(step: Step, state: Callable[[], State]) -> None:
        save_state({"learner": state()}, str(tmp_path))
        raise Stopped

    with pytest.raises(Stopped):
        learner.learn(model, rows[2], stop)
    assert len(learner.taught) == 4  # what was to be taught is not marked before it was
    again, other = started()
    kept = load_state(str(tmp_path))["learner"]
    assert isinstance(kept, dict)
    again.load(kept)
    again.learn(other, rows[2])
    assert all(torch.equal(value, trained.state()[name]) for name, value in other.state().items())
    assert (again.taught, again.arrived, again.done) == (whole.taught, whole.arrived, whole.done)
    assert len(again.taught) == 8


def test_what_the_weights_were_taught_is_known_after_its_source_was_deleted() -> None:
    learner = Consolidate(after=0, change=1)
    noted(learner, Experience("1", (river("Penwick", "Brue", "2021", "gazette"), river("Ashford", "Exe", "2021"))), past=(river("Wick", "Ure", "", "gazette"),))
    assert learner.delete(source="gazette") == 1
    assert learner.past == {}
    assert len(learner.arrived) == 1
    state = learner.state()
    assert Wanted(source="gazette").found_in(state["taught"])
    assert Wanted(id=river("Penwick", "Brue", "2021").id).with_rows([]).found_in({"ids": [row for row, _ in learner.taught.values()]})
    assert not Wanted(source="gazette").found_in({name: part for name, part in state.items() if name in ("past", "arrived", "done")})


def test_a_state_comes_back_and_another_is_refused() -> None:
    learner = Consolidate(after=1, change=1)
    noted(learner, Experience("1", (river("Penwick", "Brue", "2021"),)), LATER, past=(mayor("Ashford", "Ann", "2020"),))
    other = Consolidate(after=1, change=1).around(Noting())
    other.prepare(load_model("tiny"))
    other.load(learner.state())
    assert (other.past, other.arrived, other.taught, other.done) == (learner.past, learner.arrived, learner.taught, 2)
    with pytest.raises(StateError, match=r"no consolidate's .missing=.'past', 'arrived'"):
        other.load({"x": 1})


@pytest.mark.parametrize("text", ["consolidate", "consolidate+replay(share=1)", "retrieval(k=2)+consolidate(after=3)+replay(share=1)"])
def test_it_is_named_with_or_without_its_store(text: str) -> None:
    learner = parse_methods(text)[0].learner(FAST, 0)
    assert isinstance(learner, Consolidate)
    assert isinstance(learner.inner, Retrieval)
    assert isinstance(learner.inner.inner, Gradient)
    assert learner.memory.reading["k"] == (2 if "k=2" in text else 1)


def test_named_before_its_store_and_settings_that_cannot_be() -> None:
    with pytest.raises(SettingError, match="retrieval reads for the model itself .beneath='RetrievalModel'"):
        parse_methods("consolidate+retrieval")[0].learner(FAST, 0).prepare(load_model("tiny"))
    for given, words in (
        ({"after": -1}, "after must be at least 0"),
        ({"change": 2}, "change must be between 0 and 1"),
        ({"most": -1}, "most must be at least 0"),
    ):
        with pytest.raises(SettingError, match=f"consolidate {words}"):
            Consolidate(**given)  # type: ignore[arg-type]
