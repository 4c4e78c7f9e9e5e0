"""Test, then train: what a run records of rows it has not learned yet, and that stopping changes nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from typer.testing import CliRunner

from everlearn import Almanac, DataError, Example, Experience, Results, SettingError, Settings, Stream, almanac_stream, save_stream
from everlearn import compare as compare_all
from everlearn.cli import app
from everlearn.prequential import prequential_record

compare = partial(compare_all, anchor=None, probes=False, settings=Settings(rate=1e-3, passes=1, batch=32))


@pytest.fixture(scope="module")
def stream() -> Stream:
    whole = almanac_stream(Almanac(), periods=2, skills=5)
    return replace(whole, experiences=tuple(replace(e, train=e.train[:30], tests={task: rows[:5] for task, rows in e.tests.items()}) for e in whole), base=())


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("run")


@pytest.fixture(scope="module")
def results(stream: Stream, out: Path) -> Results:
    return compare(stream, methods="plain,frozen,joint", out=out, order="blurred(overlap=0.5)", boundaries="every(rows=15)", prequential="loss")


def test_windows_are_means_of_rows_and_the_anytime_average_is_of_all_so_far() -> None:
    record = prequential_record([[0.0] * 30, [1.0] * 40, [0.5] * 50], "exact")
    assert record["ends"] == [50, 100, 120]
    assert record["windowed"] == pytest.approx([20 / 50, (20 + 15) / 50, 0.5])
    assert record["anytime"] == pytest.approx([0.4, 55 / 100, 65 / 120])
    assert record["updates"] == [30, 70, 120]


def test_a_run_records_it_and_the_rows_are_tested_before_they_are_learned(results: Results, out: Path) -> None:
    plain, frozen, joint = results.runs
    assert plain.prequential["ends"] == [50, 60]
    assert plain.prequential["updates"] == [15, 30, 45, 60]
    assert plain.prequential["windowed"][0] != frozen.prequential["windowed"][0]  # rows 16 to 50 came after an update
    assert joint.prequential == {}
    saved = json.loads((out / "runs" / f"{plain.name}.json").read_text())
    assert saved["prequential"] == plain.prequential


def test_the_first_rows_are_tested_by_the_starting_model(stream: Stream) -> None:
    whole = replace(stream, experiences=stream.experiences[:1])
    plain, frozen = compare(whole, methods="plain,frozen", prequential="exact").runs
    assert plain.prequential["windowed"] == frozen.prequential["windowed"]


def test_results_say_of_every_experience_what_its_rows_are_of(results: Results) -> None:
    assert results.stream == "almanac, blurred(overlap=0.5), every(rows=15)"
    assert [e["start"] for e in results.experiences] == [0, 15, 30, 45]
    assert results.experiences[0]["rows_of"] == {"2021": 15}
    assert set(results.experiences[1]["rows_of"]) == {"2021", "2022"}  # type: ignore[call-overload]


def test_a_run_that_was_stopped_ends_with_the_same_record(stream: Stream, tmp_path: Path, results: Results) -> None:
    def stop(text: str, share: float) -> None:
        if "learning 3" in text:
            raise KeyboardInterrupt

    how = {"order": "blurred(overlap=0.5)", "boundaries": "every(rows=15)", "prequential": "loss"}
    with pytest.raises(KeyboardInterrupt):
        compare(stream, methods="plain", out=tmp_path, progress=stop, save_every=0, **how)
    again = compare(stream, methods="plain", out=tmp_path, save_every=0, **how)
    assert again.runs[0].prequential == results.runs[0].prequential
    assert again.runs[0].matrix == results.runs[0].matrix


def test_the_same_rows_in_another_order_are_another_run(stream: Stream, results: Results) -> None:
    other = compare(stream, methods="frozen")
    assert other.runs[0].fingerprint != results.runs[1].fingerprint


def test_several_orders_are_permuted_before_they_are_blurred(results: Results) -> None:
    rows = [tuple(Example(prompt=f"{name} {n}?", completion=" yes", task=name) for n in range(8)) for name in ("a", "b", "c")]
    given = Stream("abc", tuple(Experience(of[0].task or "", of, {of[0].task or "": of[:1]}, {of[0].task or "": "exact"}) for of in rows))
    told = compare(given, methods="frozen", orders=2, order="recurring(times=2)")
    assert [run.order for run in told.runs] == [0, 1]
    assert told.runs[0].matrix["experiences"] == ["1", "2", "3", "4", "5", "6"]
    with pytest.raises(SettingError, match="several orders need boundaries that are told"):
        compare(given, methods="frozen", orders=2, boundaries="every(rows=5)")


def test_scores_that_new_rows_cannot_have_are_refused_before_anything_is_learned(stream: Stream) -> None:
    with pytest.raises(SettingError, match="prequential must be one of exact, loss, or None, got 'choice'"):
        compare(stream, methods="plain", prequential="choice")  # type: ignore[arg-type]
    text = Stream("text", (Experience("1", (Example(text="a row"),), {"t": (Example(text="test"),)}, {"t": "loss"}),))
    with pytest.raises(DataError, match="no answer that could be exact"):
        compare(text, methods="plain", prequential="exact")


def test_the_command_line_takes_an_order_boundaries_and_the_test(stream: Stream, tmp_path: Path) -> None:
    save_stream(stream, tmp_path / "stream")
    words = ["compare", str(tmp_path / "stream"), "--methods", "frozen", "--anchor", "off", "--no-probes", "--out", str(tmp_path / "run")]
    done = CliRunner().invoke(app, [*words, "--order", "imbalanced(ratio=2)", "--boundaries", "every(rows=20)", "--prequential", "loss"])
    assert done.exit_code == 0, done.output
    saved = Results.load(tmp_path / "run" / "results.json")
    assert saved.stream == "almanac, imbalanced(ratio=2), every(rows=20)"
    assert saved.runs[0].prequential["updates"] == [20, 40, 45]
    assert "As time went on" in (tmp_path / "run" / "report.html").read_text()
    wrong = CliRunner().invoke(app, [*words, "--order", "sorted"])
    assert "no order 'sorted'" in str(wrong.exception)
