"""The cycle: what is accepted serves, what is refused changes nothing, what was stopped goes on."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from everlearn import DataError, Example, Experience, Home, HomeSettings, Replay, SettingError, StateError, TestSet, create_home, diff, open_version, update
from everlearn.learn.gradient import Gradient
from everlearn.versions.answers import answers_of
from everlearn.versions.record import TaskScore

Owls = Callable[[int, int], list[Example]]


def owl_test(rows: list[Example]) -> dict[str, TestSet]:
    return {"owls": TestSet("exact", tuple(rows))}


def set_up(home: Home, **tables: dict[str, object]) -> None:
    now = home.settings.model_dump(by_alias=True)
    HomeSettings.of({**now, **{name: {**now[name], **table} for name, table in tables.items()}}, "the test").save(home.folder / "everlearn.toml")


def test_what_is_learned_is_served_and_the_record_says_so(home: Home, owls: Owls) -> None:
    start = home.head
    version = update(home, owls(0, 24), owl_test(owls(0, 24)), name="owls.jsonl")
    assert version.accepted
    assert home.head == version
    assert (version.number, version.parent, version.kind) == (1, start.id, "update")
    assert version.tasks["owls"] == TaskScore(0.0, 1.0, 24, new=True)
    assert version.tasks["sums"].rows == 12
    assert version.arrived is not None
    assert (version.arrived.name, version.arrived.count) == ("owls.jsonl", 24)
    assert version.report[0] == "Version 1 learned 24 rows with replay(share=1)."
    assert not home.work.exists()
    assert [event["event"] for event in map(json.loads, (home.folder / "log.jsonl").read_text().splitlines())][-2:] == ["commit", "serve"]


def test_what_serves_is_bit_for_bit_what_was_learned(home: Home, owls: Owls) -> None:
    version = update(home, owls(0, 8), owl_test(owls(0, 8)))
    weights = [open_version(home, version).model.state() for _ in range(2)]
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())
    asked = diff(home, 0, version.number, ask_again=True)
    assert [(task.task, task.rows) for task in asked.tasks] == [("sums", 12), ("owls", 8)]
    assert len(asked.tasks[1].gained) == 8
    kept = answers_of(home, version)["owls"]
    assert [answer.said.strip() for answer in kept.values()] == ["Penwick"] * 8


def test_a_refused_update_is_kept_and_changes_nothing(home: Home, owls: Owls) -> None:
    start = home.head
    version = update(home, owls(0, 8), owl_test([replace(e, id="", completion=" Humber") for e in owls(50, 8)]))
    assert not version.accepted
    assert home.head == start
    assert home.version(1) == version
    assert version.reasons[0].startswith("Nothing was learned: the 8 new test rows went from 0.0 % to 0.0 %")
    assert version.report[-1].startswith("Refused: Nothing was learned")
    open_version(home, version)  # its weights are there, to look at


def test_a_refused_update_is_tried_again_more_gently(home: Home, owls: Owls) -> None:
    set_up(home, retry={"attempts": 2, "rate": 0.5})
    wrong = owl_test([replace(e, id="", completion=" Humber") for e in owls(50, 8)])
    version = update(home, owls(0, 8), wrong)
    assert [(v.attempt, v.accepted) for v in home.versions()[1:]] == [(0, False), (1, False), (2, False)]
    assert version == home.versions()[-1]
    weights = [open_version(home, v).model.state() for v in home.versions()]
    moved = [sum(float((value - weights[0][name]).norm()) for name, value in later.items()) for later in weights[1:]]
    assert moved[0] > moved[1] > moved[2] > 0


def test_no_attempt_begins_after_the_time_is_over(home: Home, owls: Owls) -> None:
    set_up(home, retry={"attempts": 2, "minutes": 0})
    update(home, owls(0, 8), owl_test([replace(e, id="", completion=" Humber") for e in owls(50, 8)]))
    assert len(home.versions()) == 2


def test_without_test_rows_some_are_held_out_and_the_report_says_what_that_cannot_show(home: Home, owls: Owls) -> None:
    version = update(home, owls(0, 20))
    assert version.arrived is not None
    assert version.arrived.count == 18
    assert {name: (of.rows, of.new) for name, of in version.tasks.items()} == {"taught": (18, True), "held out": (2, True), "sums": (12, False)}
    assert "No test rows came with this update: 2 of its rows were held out, and 18 taught ones were asked again." in version.report
    assert "cannot show whether what was taught is true" in version.report[-1]


def test_rows_with_a_task_are_asked_again_beside_those_held_out(home: Home, owls: Owls) -> None:
    version = update(home, [replace(e, id="", task="owls") for e in owls(0, 20)])
    assert {name: of.rows for name, of in version.tasks.items()} == {"owls": 20, "sums": 12}
    assert "No test rows came with this update: 2 of its rows were held out, and 18 taught ones were asked again." in version.report


def test_an_experience_brings_its_own_tests_and_the_old_ones_stay(home: Home, owls: Owls) -> None:
    rows = tuple(owls(0, 8))
    first = update(home, Experience("owls", rows, {"owls": rows}, {"owls": "exact"}))
    assert first.accepted
    second = update(home, owls(30, 8), {"more owls": TestSet("exact", tuple(owls(30, 8)))})
    assert {name: (of.rows, of.new) for name, of in second.tasks.items()} == {"more owls": (8, True), "owls": (8, False), "sums": (12, False)}


def test_what_is_answered_differently_now_is_no_longer_tested_and_counts_as_stale(home: Home, owls: Owls) -> None:
    update(home, owls(0, 8), owl_test(owls(0, 8)))
    moved = [replace(e, id="", completion=" Humber") for e in owls(0, 3)]
    version = update(home, moved, {"moved": TestSet("exact", tuple(moved))})
    assert version.tasks["owls"].rows == 5
    assert "No longer tested, as this update answers the same questions otherwise: 3 of owls." in version.report
    assert version.measured["stale"] is not None
    saved = home.objects.get_json(home.objects.get_json(version.kept.tests)["moved"]["rows"])
    assert [row["old_completion"] for row in saved] == [" Penwick"] * 3


def test_the_same_update_again_is_not_learned_again(home: Home, owls: Owls) -> None:
    first = update(home, owls(0, 8), owl_test(owls(0, 8)))
    assert update(home, owls(0, 8), owl_test(owls(0, 8))) == first
    home.rollback()
    assert update(home, owls(0, 8), owl_test(owls(0, 8))) == first == home.head
    assert len(home.versions()) == 2


@pytest.mark.parametrize("stop", [1, 4, 6, 9])
def test_an_update_stopped_inside_goes_on_and_makes_the_same_version(
    home: Home, tmp_path: Path, owls: Owls, stop: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """9 steps: 24 rows, 3 passes, 8 a step."""
    set_up(home, learn={"save_every": 0.0})
    twin = Home(shutil.copytree(home.folder, tmp_path / "twin"))
    whole = update(twin, owls(0, 24), owl_test(owls(0, 24)))
    steps = 0

    def stopping(text: str, share: float) -> None:
        nonlocal steps
        steps += text == "learning"
        if steps == stop + (stop < 9):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        update(home, owls(0, 24), owl_test(owls(0, 24)), progress=stopping)
    assert home.head.number == 0
    learned: list[int] = []
    step = Gradient.learn
    monkeypatch.setattr(Gradient, "learn", lambda *given: learned.append(1) or step(*given))  # type: ignore[func-returns-value]
    again = update(home, owls(0, 24), owl_test(owls(0, 24)))
    assert again.id == whole.id
    assert learned == [1]


def test_learning_that_breaks_the_model_is_refused(home: Home, owls: Owls) -> None:
    set_up(home, learn={"rate": 1e20, "clip": 0.0})
    version = update(home, owls(0, 8), owl_test(owls(0, 8)))
    assert not version.accepted
    assert version.reasons[0].startswith("Learning broke the model: ")
    with pytest.raises(StateError, match="learning broke this version, so it was not kept"):
        open_version(home, version)
    with pytest.raises(StateError, match="learning broke this version"):
        home.promote(1)
    assert home.head.number == 0


def test_another_recipe_takes_up_the_weights_and_is_shown_what_was_kept(home: Home, owls: Owls) -> None:
    update(home, owls(0, 8), owl_test(owls(0, 8)))
    set_up(home, learn={"recipe": "replay(share=1,rows=100)+l2(strength=0.001)"})
    second = update(home, owls(30, 8), {"more owls": TestSet("exact", tuple(owls(30, 8)))})
    learner = open_version(home, second).learner
    assert isinstance(learner, Gradient)
    assert isinstance(learner.methods[0], Replay)
    assert len(learner.methods[0].buffer) == 16
    set_up(home, learn={"recipe": "expand"})
    with pytest.raises(SettingError, match="the recipe trains other weights than version 1 has .recipe='expand'"):
        update(home, owls(60, 8), owl_test(owls(60, 8)))


def test_settings_that_do_not_fit_are_refused_before_anything_is_learned(home: Home, owls: Owls) -> None:
    set_up(home, model={"lora": 4})
    with pytest.raises(SettingError, match=r"\[model\] is not what this home's versions were loaded with"):
        update(home, owls(0, 8), owl_test(owls(0, 8)))
    set_up(home, model={"lora": "auto"}, learn={"recipe": "plain,replay"})
    with pytest.raises(SettingError, match="a home learns by one recipe, got 2"):
        update(home, owls(0, 8), owl_test(owls(0, 8)))
    set_up(home, learn={"recipe": "joint"})
    with pytest.raises(SettingError, match="joint and frozen are bounds to compare with"):
        update(home, owls(0, 8), owl_test(owls(0, 8)))
    set_up(home, learn={"recipe": "retrieval(store='s3://memory')"})
    with pytest.raises(SettingError, match=r"a home keeps what a memory holds in its versions, not elsewhere .retrieval store='s3://memory'"):
        update(home, owls(0, 8), owl_test(owls(0, 8)))
    assert len(home.versions()) == 1


def test_data_that_cannot_be_used_is_refused_with_its_place(home: Home, tmp_path: Path) -> None:
    (tmp_path / "bad.jsonl").write_text('{"prompt": "a"}\n')
    with pytest.raises(DataError, match=r"bad.jsonl:1: wrong keys"):
        update(home, tmp_path / "bad.jsonl")
    with pytest.raises(DataError, match="there is nothing to learn"):
        update(home, [])
    with pytest.raises(DataError, match="a task has two scores .task='sums'"):
        update(home, [Example(text="Owls.")], {"sums": TestSet("loss", (Example(text="Owls."),))})


def test_adapters_alone_are_kept_where_adapters_learn(tmp_path: Path, owls: Owls) -> None:
    settings = HomeSettings.of({"model": {"lora": 4}, "learn": {"recipe": "replay(share=1)", "rate": 1e-2, "passes": 3, "batch": 8}}, "the test")
    home = create_home(tmp_path / "home", "tiny", settings=settings)
    version = update(home, owls(0, 8), owl_test(owls(0, 8)))
    names = [name for names in version.kept.weights.values() for name in names]
    assert names
    assert all("lora_" in name for name in names)
    assert open_version(home, version).model.state().keys() == set(names)
