"""Forgetting: what goes, what stays, and that nothing of it is left anywhere."""

from __future__ import annotations

import csv
import gzip
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from everlearn import Example, Home, SettingError, StateError, TestSet, create_home, forget, open_version, traces, update
from everlearn.upkeep.arriving import load_tests
from everlearn.upkeep.opening import rows_of
from everlearn.versions.settings import HomeSettings
from everlearn.versions.stored import learner_state

People = Callable[[str, int], list[Example]]


def weights(home: Home) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in open_version(home).model.state().items()}


def kept_off(home: Home) -> None:
    given = home.settings.model_dump(by_alias=True)
    HomeSettings.of({**given, "keep": {**given["keep"], "data": False}}, "a test").save(home.folder / "everlearn.toml")


def test_what_came_after_is_taught_again_as_if_it_had_never_been_there(three: Home, people: People, tmp_path: Path) -> None:
    before = three.head.id
    found = forget(three, source="birch")
    assert (found.head_before, found.head, len(found.withdrawn), len(found.rebuilt), found.lost) == (before, three.head.id, 2, 1, ())
    assert found.removed == {"kept rows": 6, "learners": 12, "lists of ids": 6, "tests": 2}
    assert [(v.number, v.kind) for v in three.versions()][-1] == (4, "rebuilt")
    assert three.head.parent == three.version(1).id
    assert three.head.arrived is not None
    assert three.head.arrived.name == "cedar"
    assert sorted(load_tests(three, three.head.kept.tests)) == ["ash", "cedar", "old"]
    never = create_home(
        tmp_path / "never", test={"old": TestSet("exact", tuple(people("past", 2)))}, remember=_file(tmp_path, people("past", 6)), settings=three.settings
    )
    for source in ("ash", "cedar"):
        update(never, people(source, 6), {source: TestSet("exact", tuple(people(source, 2)))}, name=source)
    expected = weights(never)
    assert all(torch.equal(value, expected[name]) for name, value in weights(three).items())
    assert json.dumps(learner_state(three, three.head)) == json.dumps(learner_state(never, never.head))


def test_without_kept_data_the_last_clean_version_serves_and_the_report_says_what_is_lost(three: Home) -> None:
    kept_off(three)
    clean = three.version(1).id
    found = forget(three, source="birch")
    assert (found.head, found.rebuilt) == (clean, ())
    assert found.lost == (three.version(2).id, three.version(3).id)
    assert any("Not taught again, since the rows were not kept: v2, v3." in line for line in found.told)
    with pytest.raises(StateError, match=f"{three.version(2).id}.*taken back"):
        open_version(three, 2)
    open_version(three)


def test_one_example_goes_and_the_others_of_its_update_are_taught_again(three: Home, people: People) -> None:
    gone = people("cedar", 6)[4]
    found = forget(three, id=gone.id)
    assert found.removed == {"kept rows": 1, "learners": 1, "lists of ids": 1}
    assert [e.id for e in rows_of(three, three.head)] == [e.id for e in people("cedar", 6) if e.id != gone.id]
    assert three.head.number == 4
    assert traces(three, [gone]) == []


def test_a_test_row_goes_with_its_answers_and_no_version_is_withdrawn(three: Home) -> None:
    asked = Example(prompt="Who keeps the dogwood lamp?", completion=" Nobody", source="exam")
    made = update(
        three, [Example(prompt="Elm?", completion=" Yes", source="elm")], {"exam": TestSet("exact", (asked, Example(prompt="Fir?", completion=" No")))}
    )
    found = forget(three, source="exam")
    assert (found.withdrawn, found.removed, three.head.id) == ((), {"tests": 1}, made.id)
    assert [e.prompt for e in load_tests(three, made.kept.tests)["exam"].rows] == ["Fir?"]
    assert len(three.objects.get_json(made.kept.answers)["exam"]["ids"]) == 1


def test_an_earlier_answer_that_a_test_row_quotes_goes_too(three: Home, people: People) -> None:
    asked = Example(prompt=people("ash", 1)[0].prompt, completion=" Ola")
    update(three, [asked], {"changed": TestSet("exact", (asked,))})
    assert load_tests(three, three.head.kept.tests)["changed"].rows[0].old_completion == " Nora ASH0"
    forget(three, id=people("ash", 1)[0].id)
    (left,) = load_tests(three, three.head.kept.tests)["changed"].rows
    assert (left.id, left.old_completion) == (asked.id, None)


def test_what_the_start_was_shown_goes_from_its_learner_and_everything_is_taught_again(three: Home, people: People, tmp_path: Path) -> None:
    found = forget(three, source="past")
    assert (len(found.withdrawn), len(found.rebuilt)) == (3, 3)
    assert any("base model itself" in line for line in found.told)
    assert rows_of(three, three.version(0)) == []
    one = forget(Home(shutil.copytree(three.folder, tmp_path / "copy")), id=people("ash", 6)[3].id)
    assert len(one.rebuilt) == 3


def test_a_start_keeps_what_else_it_was_shown_also_where_no_data_is_kept(tmp_path: Path, people: People) -> None:
    settings = HomeSettings.of({"learn": {"recipe": "replay(share=1)"}, "test": {"anchor": "off"}, "keep": {"data": False}}, "a test")
    home = create_home(tmp_path / "home", remember=_file(tmp_path, people("past", 6)), settings=settings)
    forget(home, id=people("past", 6)[2].id)
    buffer = learner_state(home, home.head)["methods"]["0"]["buffer"]  # type: ignore[index]
    assert (buffer["seen"], len(buffer["kept"])) == (5, 5)
    open_version(home)


def test_nothing_is_changed_where_nothing_is_found(three: Home) -> None:
    before = _told(three)
    found = forget(three, source="no such source")
    assert (found.found, found.told[0]) == (False, "Nothing here holds it.")
    assert _told(three) == before


def test_refused_versions_that_learned_it_are_withdrawn_and_the_head_stays(three: Home, people: People) -> None:
    head = three.head
    update(three, people("elm", 4))
    three.rollback()
    found = forget(three, source="elm")
    assert (len(found.withdrawn), found.head, found.rebuilt) == (1, head.id, ())


def test_what_is_given_again_is_learned_again(three: Home, people: People) -> None:
    kept_off(three)
    forget(three, source="cedar")
    given = three.settings.model_dump(by_alias=True)
    HomeSettings.of({**given, "keep": {**given["keep"], "data": True}}, "a test").save(three.folder / "everlearn.toml")
    made = update(three, people("cedar", 6), {"cedar": TestSet("exact", tuple(people("cedar", 2)))}, name="cedar")
    assert (made.number, three.head.id, len(rows_of(three, made))) == (4, made.id, 6)
    open_version(three)


def test_the_watched_folders_are_rewritten_and_the_other_rows_stay_byte_for_byte(three: Home, people: People) -> None:
    mine, other = people("birch", 2), people("fir", 2)
    lines = [json.dumps(e.to_json(), indent=None) + " \n" for e in (mine[0], other[0], mine[1], other[1])]
    paths = {place: three.folder / place / "000007-x" for place in ("inbox", "done", "rejected", "quarantine")}
    for place, folder in paths.items():
        (folder / "tests").mkdir(parents=True)
        (folder / "claim.json").write_text(json.dumps({"number": 7, "test": "t.jsonl"}))
        (folder / "tests" / "t.jsonl").write_text(lines[0])
        (folder / "reason.txt").write_text(f"line 1: {mine[0].prompt} {mine[0].completion}")
        if place == "done":
            (folder / "x.jsonl.gz").write_bytes(gzip.compress("".join(lines).encode()))
        elif place == "inbox":
            (folder / "x.jsonl").write_text("".join([*lines, "{broken " + lines[0]]))
        elif place == "rejected":
            _table(folder / "x.csv", [mine[0], other[0]])
        else:
            (folder / "x.jsonl").write_text(lines[0] + lines[2])
    (three.folder / "work" / "half").mkdir(parents=True)
    (three.folder / "work" / "half" / "state.json").write_text(lines[0])
    (three.folder / ".head.json.writing").write_text(lines[0])
    found = forget(three, source="birch")
    assert found.removed["inbox/000007-x/x.jsonl"] == 2
    assert (paths["inbox"] / "x.jsonl").read_text() == lines[1] + lines[3]
    assert json.loads((paths["inbox"] / "claim.json").read_text()) == {"number": 7, "test": ""}
    assert gzip.decompress((paths["done"] / "x.jsonl.gz").read_bytes()).decode() == lines[1] + lines[3]
    assert mine[0].prompt not in (paths["rejected"] / "x.csv").read_text()
    assert str(other[0].prompt) in (paths["rejected"] / "x.csv").read_text()
    assert not paths["quarantine"].exists()
    assert not (three.folder / "work").exists()
    assert not list(three.folder.rglob("reason.txt"))


def test_parquet_is_rewritten_too(three: Home, people: People) -> None:
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    path = three.folder / "done" / "000003-y" / "y.parquet"
    path.parent.mkdir(parents=True)
    rows = [e.to_json() for e in (*people("birch", 2), *people("fir", 1))]
    parquet.write_table(arrow.Table.from_pylist(rows), path)
    assert traces(three, "birch").count("done/000003-y/y.parquet") == 1
    forget(three, source="birch")
    assert [row["source"] for row in parquet.read_table(path).to_pylist()] == ["fir"]


def test_a_trace_that_cannot_be_removed_is_an_error_that_names_the_place(three: Home, people: People) -> None:
    (three.folder / "notes.txt").write_text(f"I was told: {people('birch', 1)[0].prompt} Answer: {people('birch', 1)[0].completion}\n")
    with pytest.raises(StateError, match=r"birch.*'notes\.txt'"):
        forget(three, source="birch")


def test_neither_and_both_are_errors(three: Home) -> None:
    with pytest.raises(SettingError, match=r"nothing is being forgotten here \(source=None, id=None\)"):
        forget(three)
    with pytest.raises(SettingError, match=r"one of them \(source='a', id='b'\)"):
        forget(three, source="a", id="b")
    with pytest.raises(SettingError, match=r"one of them \(source='', id=None\)"):
        forget(three, source="")


class Killed(BaseException):
    """As a crash: nothing catches it."""


@contextmanager
def killed_at(number: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Stop at the operation of this number among all that change files; yields those that were made."""
    made: list[str] = []

    def counted(name: str, real: Callable[..., object]) -> Callable[..., object]:
        def call(*given: object, **more: object) -> object:
            made.append(name)
            if len(made) == number:
                raise Killed
            return real(*given, **more)

        return call

    with monkeypatch.context() as patch:
        for name in ("replace", "rename", "unlink", "remove", "rmdir", "mkdir", "fsync"):
            patch.setattr(os, name, counted(name, getattr(os, name)))
        yield made


EVERY = [(True, 47), (False, 13), pytest.param(True, 1, marks=pytest.mark.long), pytest.param(False, 1, marks=pytest.mark.long)]


@pytest.mark.parametrize(("keep", "stride"), EVERY)
def test_killed_at_any_operation_it_goes_on_and_ends_the_same(
    three_made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keep: bool, stride: int
) -> None:
    def fresh(name: str) -> Home:
        home = Home(shutil.copytree(three_made, tmp_path / name))
        if not keep:
            kept_off(home)
        return home

    whole = fresh("whole")
    with killed_at(0, monkeypatch) as made:
        forget(whole, source="birch")
    for number in range(1, len(made) + 1, stride):
        home = fresh("killed")
        before, tainted = home.head.id, {home.version(2).id, home.version(3).id}
        with pytest.raises(Killed), killed_at(number, monkeypatch):
            forget(home, source="birch")
        begun = (home.folder / "forgetting.json").exists()
        head = Home(home.folder).head.id
        assert head == before or head not in tainted  # the old one, or one without it
        open_version(Home(home.folder))
        if begun:
            with pytest.raises(StateError, match="everlearn forget"):
                home.rollback()
        forget(home, **({} if begun else {"source": "birch"}))
        assert _told(home) == _told(whole), number
        shutil.rmtree(home.folder)


def test_a_broken_note_of_what_is_being_forgotten_says_so(three: Home) -> None:
    (three.folder / "forgetting.json").write_text("{")
    with pytest.raises(StateError, match=r"forgetting\.json"):
        forget(three, source="birch")


def _file(folder: Path, rows: list[Example]) -> Path:
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(e.to_json()) + "\n" for e in rows))
    return path


def _table(path: Path, rows: list[Example]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["prompt", "completion", "source"])
        writer.writeheader()
        writer.writerows({"prompt": f"{e.prompt}\nreally?", "completion": e.completion, "source": e.source} for e in rows)


def _told(home: Home) -> dict[str, object]:
    """Everything the home's files say, but times."""
    found: dict[str, object] = {}
    for path in sorted(home.folder.rglob("*")):
        name = path.relative_to(home.folder).as_posix()
        if path.is_dir() or path.name in ("log.jsonl", ".lock"):
            continue
        found[name] = path.read_bytes()
        if name.startswith("versions/"):
            found[name] = {key: value for key, value in json.loads(path.read_text()).items() if key not in ("created", "cost")}
        if name == "head.json":
            head = json.loads(path.read_text())
            found[name] = head["version"], [(move["version"], move["why"]) for move in head["moves"]]
    return found
