"""What all runs of a comparison share: orders, anchors, one writer; and a run that breaks."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from everlearn import DataError, Diverged, Example, Experience, Results, SettingError, Settings, StateError, Stream
from everlearn import compare as compare_all
from everlearn.conditions import Setup, reordered
from everlearn.evaluate.tasks import tasks_of
from everlearn.records import read_lines

compare = partial(compare_all, anchor=None, probes=False)
SETTINGS = Settings(rate=1e-3, passes=2, batch=32)


def small(name: str, count: int = 12, **more: object) -> Experience:
    """An experience that teaches `count` rows of a task of its name and asks for half of them."""
    rows = tuple(Example(prompt=f"Question: {name} {n}?\nAnswer:", completion=f" {name[0]}{n % 3}", task=name, **more) for n in range(count))  # type: ignore[arg-type]
    return Experience(name, rows, {name: rows[::2]}, {name: "exact"})


def test_orders_are_the_given_one_and_then_permutations(tmp_path: Path) -> None:
    stream = [small("a"), small("b"), small("c")]
    settings = Settings(rate=2e-3, passes=6)
    results = compare(stream, methods="plain,replay(share=1)", orders=3, out=tmp_path, settings=settings)
    assert [(run.order, run.method) for run in results.runs[::2]] == [(0, "plain"), (1, "plain"), (2, "plain")]
    learned = [tuple(run.matrix["experiences"]) for run in results.runs[::2]]  # type: ignore[arg-type]
    assert learned[0] == ("a", "b", "c")
    assert len(set(learned)) == 3
    assert all(run.matrix["tasks"] == ["a", "b", "c"] for run in results.runs)
    for run in results.runs:
        order = run.matrix["experiences"]
        assert run.matrix["learned"] == [order.index(task) + 1 for task in "abc"]  # type: ignore[attr-defined]
    assert all(difference.runs == 3 for difference in results.differences)
    assert "over test examples and over 3 orders" in results.caption()
    assert (tmp_path / "runs").exists()
    again = compare(stream, methods="plain,replay(share=1)", orders=3, out=tmp_path, settings=settings)
    assert again.runs == results.runs
    assert again.intervals == results.intervals


def test_answers_stay_beside_their_questions_in_every_order() -> None:
    """One task, tested twice with its rows in two orders: the other order of the stream comes upon the second first."""
    first, second = small("a"), small("b")
    stream = Stream("s", (first, replace(second, tests={**second.tests, "a": first.tests["a"][::-1]}, scores={"a": "exact", "b": "exact"})))
    setup = Setup(stream, tasks_of(stream.experiences), "tiny", SETTINGS, None, "float32", None, "")
    given, other = reordered(setup, 2, "tests", setup.stream, lambda stream: stream)
    assert [task.examples for task in other.tasks] == [task.examples for task in given.tasks]
    assert [task.learned for task in other.tasks] == [2, 1]


def test_orders_that_are_not_there_or_would_be_untrue_are_refused() -> None:
    with pytest.raises(SettingError, match="orders must be between 1 and the number of orders of 2 experiences, got 3"):
        compare([small("a"), small("b")], orders=3)
    with pytest.raises(DataError, match="the stream's order is part of its truth.*Leave orders at 1"):
        compare([small("a"), small("b", old_completion=" x0")], orders=2)


@pytest.mark.parametrize(("held", "taken"), [(10, 10), (399, 399), (400, 200), (599, 300), (4452, 203)])
def test_a_large_base_gives_200_to_399_anchors(held: int, taken: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fingerprints of runs hold their anchors: another number would make every run with a base another one."""
    base, seen = tuple(Example(prompt=f"q{n}", completion=f" {n}") for n in range(held)), []

    class Stopped(Exception):
        """Before anything is learned."""

    def stop(whole: Setup, *more: object) -> Results:
        seen.append(len(whole.anchors))
        raise Stopped

    monkeypatch.setattr("everlearn.comparison._run_all", stop)
    with pytest.raises(Stopped):
        compare(Stream("s", (small("a"),), base), methods="plain", anchor="auto")
    assert seen == [taken]


def test_a_setting_that_changes_no_number_makes_no_other_run(tmp_path: Path) -> None:
    one = compare([small("a")], methods="plain", settings=replace(SETTINGS, passes=1), out=tmp_path).runs[0]
    again = compare([small("a")], methods="plain", settings=replace(SETTINGS, passes=1, activation_checkpointing=True), out=tmp_path).runs[0]
    assert (again.fingerprint, len(list((tmp_path / "runs").glob("*.json")))) == (one.fingerprint, 1)


def test_ones_own_anchor_text(tmp_path: Path) -> None:
    (tmp_path / "anchor.jsonl").write_text('{"text": "The mayor of Penwick is Ann."}\n')
    run = compare([small("a")], methods="plain", anchor=tmp_path / "anchor.jsonl").runs[0]
    assert run.divergence["kl"][0] == 0
    assert (run.divergence["kl"][1] or 0) > 0


def test_intervals_of_other_runs_are_not_taken_over(tmp_path: Path) -> None:
    """Without their answers three seeds leave an interval that says nothing of one seed."""
    stream = [small("a"), small("b")]
    compare(stream, methods="plain,l2", seeds=2, out=tmp_path, settings=SETTINGS)
    for path in tmp_path.glob("runs/*.gz"):
        path.unlink()
    same = compare(stream, methods="plain,l2", seeds=2, out=tmp_path, settings=SETTINGS)
    assert set(same.intervals) == {"plain", "l2"}
    assert same.differences
    one = compare(stream, methods="plain,l2", seeds=1, out=tmp_path, settings=SETTINGS)
    assert (one.intervals, one.differences) == ({}, [])


def test_the_table_on_disk_never_loses_what_is_done(tmp_path: Path) -> None:
    stream = [small("a"), small("b")]
    compare(stream, methods="plain,l2", seeds=2, out=tmp_path, settings=SETTINGS)

    def stop(text: str, share: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compare(stream, methods="frozen,plain,l2", seeds=2, out=tmp_path, settings=SETTINGS, progress=stop)
    assert [(run.method, run.seed) for run in Results.load(tmp_path / "results.json").runs] == [("plain", 0), ("l2", 0), ("plain", 1), ("l2", 1)]


def test_the_questions_beside_the_answers_are_those_that_were_asked(tmp_path: Path) -> None:

    for name in ("first", "second"):
        compare([small(name)], methods="frozen", out=tmp_path, settings=SETTINGS)
        assert {row["task"] for row in read_lines(tmp_path / "questions.jsonl.gz")} == {name}


def test_seconds_between_savings_are_not_negative() -> None:
    with pytest.raises(SettingError, match="save_every must be at least 0, got -3"):
        compare([small("a")], save_every=-3)


def test_a_method_that_breaks_the_model_does_not_end_the_comparison(tmp_path: Path) -> None:
    settings, wild = Settings(rate=1e-3, passes=2), "plain+settings(rate=1e38)"
    with pytest.warns(UserWarning, match=r"rate=1e38\) with seed 0 has no result: .*rate"):
        results = compare([small("a")], methods=f"{wild},plain", out=tmp_path, settings=settings)
    assert [run.method for run in results.runs] == ["plain"]
    assert [run["method"] for run in json.loads((tmp_path / "results.json").read_text())["runs"]] == ["plain"]
    with pytest.warns(UserWarning, match="has no result"), pytest.raises(Diverged):
        compare([small("a")], methods=wild, settings=settings)


def test_a_second_process_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    from everlearn.disk import one_writer

    with one_writer(tmp_path), pytest.raises(StateError, match="another comparison is writing here .out="):
        compare([small("a")], methods="plain", out=tmp_path)
    assert compare([small("a")], methods="frozen", out=tmp_path).runs
