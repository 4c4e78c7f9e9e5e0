"""A home that consolidates: through the gate, and what is forgotten is known to have been taught."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from everlearn import Consolidate, Example, Home, HomeSettings, SettingError, TestSet, Version, create_home, forget, open_version, traces, update
from everlearn.upkeep.opening import learner_state

RIVERS = "Aller Brue Cherwell Derwent Exe Frome Gade Humber".split()
STARTS, ENDS = {"one": "Ash", "two": "Pen", "three": "Hart", "four": "Cold"}, "ford wick bury haven gate port mouth combe".split()
FAST, RUINOUS = 1e-4, 3e-2
RECIPE = "retrieval+consolidate(after=1,change=1)+replay(share=1)"


def rows(source: str) -> list[Example]:
    """Eight rivers of towns that no other source tells of."""
    turn = list(STARTS).index(source)
    named = zip(ENDS, RIVERS[turn:] + RIVERS[:turn], strict=True)
    return [Example(prompt=f"Question: What is the river of {STARTS[source]}{end}?\nAnswer:", completion=f" {name}", source=source) for end, name in named]


def told(home: Home, source: str) -> Version:
    """The update with one source's rows, which are its tests too."""
    return update(home, rows(source), {source: TestSet("exact", tuple(rows(source)))}, name=source)


def set_up(home: Home, rate: float, attempts: int, recipe: str = RECIPE) -> None:
    given = home.settings.model_dump(by_alias=True)
    given = {**given, "learn": {**given["learn"], "rate": rate, "recipe": recipe}, "retry": {**given["retry"], "attempts": attempts}}
    HomeSettings.of(given, "a test").save(home.folder / "everlearn.toml")


def taught(home: Home) -> set[str]:
    learner = open_version(home).learner
    assert isinstance(learner, Consolidate)
    return {source for _, source in learner.taught.values()}


def right(home: Home, source: str) -> int:
    said = open_version(home).served.generate(rows(source), limit=6)
    return sum(text == row.completion for text, row in zip(said, rows(source), strict=True))


def started(folder: Path, recipe: str, rate: float) -> Home:
    """A home with its default gate that has taken one update into its store."""
    sums = tuple(Example(prompt=f"Question: What is {n} plus 1?\nAnswer:", completion=f" {n + 1}") for n in range(12))
    learn = {"recipe": recipe, "rate": rate, "passes": 2, "batch": 8}
    given = {"learn": learn, "test": {"anchor": "off"}, "gate": {}, "retry": {"attempts": 0}}
    home = create_home(folder / "home", test={"sums": TestSet("exact", sums)}, settings=HomeSettings.of(given, "a test"))
    told(home, "one")
    return home


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """One at a rate that ruins the weights."""
    return started(tmp_path_factory.mktemp("place"), RECIPE, RUINOUS)


def test_what_proved_stable_reaches_the_weights_only_through_the_gate(home: Home) -> None:
    first = home.head
    assert (first.number, taught(home), right(home, "one")) == (1, set(), 8)

    refused = told(home, "two")  # "one" has held, and teaching it breaks the sums
    assert not refused.accepted
    assert any("sums" in reason for reason in refused.reasons)
    assert (home.head, taught(home), right(home, "one")) == (first, set(), 8)

    set_up(home, RUINOUS, attempts=1)  # now the last attempt writes the store alone
    stored = told(home, "three")
    assert [(v.attempt, v.accepted) for v in home.versions()[-2:]] == [(0, False), (1, True)]
    assert home.head == stored
    assert (taught(home), right(home, "one"), right(home, "three")) == (set(), 8, 8)
    weights = [open_version(home, version).model.state() for version in (0, stored)]
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())

    set_up(home, FAST, attempts=1)
    better = told(home, "four")
    assert (better.accepted, better.attempt) == (True, 0)
    assert taught(home) == {"one", "three"}


def test_what_is_forgotten_is_found_in_what_was_taught_and_taught_again_without(home: Home) -> None:
    before = home.head
    state = learner_state(home, before)
    assert [source for _, source in state["taught"]["rows"]] == ["one"] * 8 + ["three"] * 8  # type: ignore[call-overload, index]
    found = forget(home, source="three")
    assert before.id in found.withdrawn
    assert home.head.kind == "rebuilt"
    assert (taught(home), right(home, "one"), right(home, "four")) == ({"one"}, 8, 8)
    assert traces(home, rows("three")) == []
    assert not home.work.exists()


def test_a_store_goes_on_when_a_home_begins_to_consolidate(tmp_path: Path) -> None:
    home = started(tmp_path, "retrieval", FAST)
    set_up(home, FAST, attempts=0)
    assert told(home, "two").accepted
    assert (right(home, "one"), right(home, "two"), taught(home)) == (8, 8, set())
    assert told(home, "three").accepted
    assert (right(home, "one"), taught(home)) == (8, {"one", "two"})


@pytest.mark.parametrize(("recipe", "other"), [(RECIPE, RECIPE.replace("after=1", "after=2")), ("knn_lm", "knn_lm(temperature=0.2)")])
def test_what_a_memory_holds_is_not_lost_to_other_settings(recipe: str, other: str, tmp_path: Path) -> None:
    home = create_home(tmp_path / "home")
    set_up(home, FAST, 0, recipe)
    told(home, "one")
    set_up(home, FAST, 0, other)
    with pytest.raises(SettingError, match="Put the recipe back"):
        told(home, "two")
    set_up(home, FAST, 0, recipe)
    told(home, "two")
