"""What a home has learned, taught to another base."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from everlearn import Example, Home, ModelError, StateError, TestSet, create_home, forget, gc, open_version, rebase, update
from everlearn.models.load import TINY
from everlearn.upkeep import rebase as module
from everlearn.upkeep.rebase import STEP
from everlearn.versions.settings import HomeSettings
from everlearn.versions.stored import learner_state

People = Callable[[str, int], list[Example]]


@pytest.fixture(scope="module")
def newer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model, a little moved."""
    place = tmp_path_factory.mktemp("newer") / "newer"
    shutil.copytree(TINY, place)
    path = next(place.glob("*.safetensors"))
    save_file({name: value * 1.0001 for name, value in load_file(path).items()}, path, {"format": "pt"})
    return place


def test_every_update_is_taught_to_it_and_it_takes_over(three: Home, newer: Path) -> None:
    made = rebase(three, newer)
    assert (made.accepted, three.head.id, made.kind) == (True, made.id, "rebase")
    assert made.base != three.version(0).base
    chain = list(reversed(three.lineage(made)))
    assert [v.arrived.name if v.arrived else "" for v in chain] == ["remembered", "ash", "birch", "cedar"]
    assert [v.reasons for v in chain[:-1]] == [(STEP,)] * 3
    assert set(made.tasks) == {"old", "ash", "birch", "cedar"}
    buffer = learner_state(three, made)["methods"]["0"]["buffer"]["kept"]  # type: ignore[index]
    assert {row["source"] for row in buffer} == {"past", "ash", "birch", "cedar"}
    assert "18 rows of 3 updates, taught to newer" in made.report[0]
    again = rebase(three, newer)
    assert (again.id, len(three.versions())) == (made.id, 8)
    three.rollback()
    assert three.head.number == 3


def test_it_is_what_learning_all_that_on_the_newer_base_would_have_been(three: Home, newer: Path, people: People, tmp_path: Path) -> None:
    made = rebase(three, newer)
    (tmp_path / "past.jsonl").write_text("".join(json.dumps(e.to_json()) + "\n" for e in people("past", 6)))
    fresh = create_home(tmp_path / "fresh", newer, remember=tmp_path / "past.jsonl", settings=three.settings)
    for source in ("ash", "birch", "cedar"):
        update(fresh, people(source, 6), {source: TestSet("exact", tuple(people(source, 2)))}, name=source)
    expected = open_version(fresh).model.state()
    assert fresh.head.number == 3
    assert all(torch.equal(value, expected[name]) for name, value in open_version(three, made.number).model.state().items())


def test_a_loss_refuses_it_and_the_head_stays(three: Home, newer: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = three.settings.model_dump(by_alias=True)
    HomeSettings.of({**given, "gate": {**given["gate"], "most_loss": 0.02}}, "a test").save(three.folder / "everlearn.toml")
    head, real = three.head.id, module.evidence

    def lost(*of: object) -> object:
        seen = real(*of)  # type: ignore[arg-type]
        old = {task: type(pair)([1.0] * 20, [0.0] * 20) for task, pair in seen.old.items()}
        return type(seen)(seen.new, old)

    monkeypatch.setattr(module, "evidence", lost)
    made = rebase(three, newer)
    assert (made.accepted, three.head.id) == (False, head)
    assert "lost 100.0 points" in made.reasons[0]
    gc(three)


def test_stopped_it_goes_on_with_what_was_taught(three: Home, newer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = Home(shutil.copytree(three.folder, tmp_path / "other"))
    real, calls = module.opened_to_learn, []

    def stopped(*given: object) -> object:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(*given)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(module, "opened_to_learn", stopped)
        with pytest.raises(KeyboardInterrupt):
            rebase(three, newer)
    assert (len(three.versions()), three.head.number) == (7, 3)
    assert rebase(three, newer).id == rebase(other, newer).id
    assert len(three.versions()) == 8


def test_rows_that_were_answered_otherwise_later_are_left_out(three: Home, newer: Path, people: People) -> None:
    changed = Example(prompt=people("ash", 1)[0].prompt, completion=" Ola", source="ash")
    update(three, [changed], name="changed")
    made = rebase(three, newer)
    (first,) = [v for v in three.lineage(made) if v.arrived is not None and v.arrived.name == "ash"]
    assert first.arrived is not None
    assert first.arrived.count == 5


def test_with_nothing_learned_yet_the_base_alone_is_decided(quick_home: Home, newer: Path, three: Home) -> None:
    made = rebase(quick_home, newer)
    assert (made.accepted, made.reasons) == (False, ("Nothing shows what was lost: the version in service has no tests.",))
    three.rollback(0)
    made = rebase(three, newer)
    assert (made.accepted, made.parent, three.head.id) == (True, None, made.id)
    assert made.tasks["old"].before is not None


def test_what_it_learned_can_be_forgotten_and_its_base_goes_with_its_versions(three: Home, newer: Path) -> None:
    made = rebase(three, newer)
    three.rollback()
    found = forget(three, source="ash")
    assert made.id in found.withdrawn
    given = three.settings.model_dump(by_alias=True)
    HomeSettings.of({**given, "keep": {**given["keep"], "refused": 0}}, "a test").save(three.folder / "everlearn.toml")
    assert gc(three).bases == (made.base,)
    open_version(three)


def test_rows_that_were_not_kept_are_an_error_with_their_versions(three: Home, newer: Path, people: People) -> None:
    given = three.settings.model_dump(by_alias=True)
    HomeSettings.of({**given, "keep": {**given["keep"], "data": False}}, "a test").save(three.folder / "everlearn.toml")
    update(three, people("elm", 2), name="elm")
    with pytest.raises(StateError, match=r"versions=\[4\]"):
        rebase(three, newer)


def test_a_model_that_is_none_changes_nothing(three: Home, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="nowhere"):
        rebase(three, tmp_path / "nowhere")
    assert len(three.versions()) == 4
