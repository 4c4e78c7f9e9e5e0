"""Records: back as they were, or a clear refusal."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from everlearn import Results, Run, StateError


def a_run(method: str, seed: int = 0, seconds: float = 2.0) -> Run:
    metrics = {"average_accuracy": 0.5, "forgetting": None, "learning_accuracy": 1.0, "backward_transfer": 0.0, "forward_transfer": 0.0}
    return Run(method, seed, {"tasks": ["t"]}, "exact", [[None]], metrics, {}, {"learn_seconds": seconds, "evaluate_seconds": 1.0}, {})


def test_results_come_back_as_they_were(tmp_path: Path) -> None:
    results = Results("towns", "tiny", [a_run("plain"), a_run("replay")])
    results.save(tmp_path / "results.json")
    assert Results.load(tmp_path / "results.json") == results


def test_a_run_of_before_hardware_was_kept_is_one_still(tmp_path: Path) -> None:
    run = a_run("plain")
    run.hardware = {"device": "AMD EPYC", "threads": 2}
    run.save(tmp_path / "run.json")
    assert Run.load(tmp_path / "run.json") == run
    saved = json.loads((tmp_path / "run.json").read_text())
    del saved["hardware"]
    (tmp_path / "run.json").write_text(json.dumps(saved))
    assert Run.load(tmp_path / "run.json").hardware == {}


def test_seconds_over_plain_are_those_of_the_same_seed() -> None:
    results = Results("towns", "tiny", [a_run("plain", 0, 2.0), a_run("plain", 1, 3.0), a_run("l2", 1, 5.0), a_run("l2", 2, 5.0)])
    results.against_plain()
    assert [run.cost["seconds_over_plain"] for run in results.runs] == [0, 0, 2.0, None]


def test_seconds_of_different_devices_are_not_put_together() -> None:
    runs = [a_run("l2", 0, 4.0), a_run("plain", 0, 2.0), a_run("plain", 1, 50.0), a_run("si", 1, 60.0)]
    for run, device in zip(runs, ("CPU", "GPU", "CPU", "CPU"), strict=True):
        run.hardware = {"device": device}
    results = Results("towns", "tiny", runs)
    results.against_plain()
    assert [run.cost["seconds_over_plain"] for run in results.runs] == [None, 0, 0, 10.0]
    assert [row[-2] for row in results.rows()] == ["–", "2.0", "–"]
    assert "Seconds: only of runs on GPU." in results.caption()


def test_brackets_are_what_the_caption_says() -> None:
    first, second = a_run("plain"), a_run("plain", 1)
    results = Results("towns", "tiny", [first, second])
    assert results.rows()[0][1] == "50.0 [50.0 to 50.0]"
    assert "In square brackets the least and the most" in results.caption()
    assert "bootstrap" not in results.caption()
    first.intervals, second.intervals = {"average_accuracy": [0.4, 0.6]}, {"average_accuracy": [0.2, 0.9]}
    assert results.rows()[0][1] == "50.0 (30.0 to 75.0)*"
    assert "*: the bootstrap of each run alone" in results.caption()
    assert "over 2 seeds" not in results.caption()
    results.intervals["plain"] = {"average_accuracy": [0.1, 0.8]}
    assert results.rows()[0][1] == "50.0 (10.0 to 80.0)"
    assert "over test examples and over 2 seeds" in results.caption()
    assert Results("towns", "tiny", [first]).rows()[0][1] == "50.0 (40.0 to 60.0)"


def test_several_seeds_are_one_row_with_their_range() -> None:
    first, second = a_run("plain"), a_run("plain", 1)
    second.metrics["average_accuracy"] = 0.7
    row = Results("towns", "tiny", [first, second]).rows()[0]
    assert row[:3] == ["plain", "60.0 [50.0 to 70.0]", "–"]


def test_every_table_says_that_task_ids_are_hidden_and_what_was_scored() -> None:
    text = Results("towns", "tiny", [a_run("plain")]).markdown()
    assert "Scores: exact. Task ids are hidden from the learner and at test." in text


def test_what_is_no_results_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text("{}")
    with pytest.raises(StateError, match=r"no results of this version .file=.*results.json"):
        Results.load(tmp_path / "results.json")


def test_square_brackets_in_names_are_printed_as_they_are() -> None:
    from rich.console import Console

    console = Console(width=160)
    with console.capture() as told:
        console.print(Results("towns [/eu]", "tiny", [a_run("plain"), a_run("mine(on='[bold]')")]).table())
    assert "towns [/eu]" in told.get()
    assert "mine(on='[bold]')" in told.get()
