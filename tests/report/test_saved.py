"""Records: read leniently where they are old, refused with their place where they are broken."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from everlearn import SettingError, StateError
from everlearn.report.saved import read_batch

Make = Callable[..., Path]
ONE = {"plain": [[38, 0, 0, 0]] * 4}


def test_a_folder_without_results_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"no results here .folder='.*nowhere'"):
        read_batch(tmp_path / "nowhere")


def test_a_file_that_is_no_json_is_refused(tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text("{")
    with pytest.raises(StateError, match=r"cannot be read .file='.*results.json'"):
        read_batch(tmp_path)


def test_records_of_something_else_are_refused_with_the_place(tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text(json.dumps({"stream": "towns", "model": "tiny", "runs": [{"method": 3}]}))
    with pytest.raises(StateError, match=r"no records of a comparison .place='.*results.json'.: runs\.0\.method: .*runs\.0\.matrix: "):
        read_batch(tmp_path)


def test_results_without_a_run_are_refused(tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text(json.dumps({"stream": "towns", "model": "tiny", "runs": []}))
    with pytest.raises(StateError, match=r"hold no run .*runs=\[\]"):
        read_batch(tmp_path)


def test_a_matrix_that_is_not_whole_is_refused(make: Make) -> None:
    folder = make(right=ONE, answers=False)
    saved = json.loads((folder / "results.json").read_text())
    saved["runs"][0]["matrix"]["rows"].pop()
    (folder / "results.json").write_text(json.dumps(saved))
    with pytest.raises(StateError, match=r"matrix is not whole .file='.*', method='plain'.: a matrix needs 4 rows"):
        read_batch(folder)


@pytest.mark.parametrize("part", ["staleness", "probes", "divergence", "corpus"])
def test_lists_that_do_not_fit_the_matrix_are_refused(make: Make, part: str) -> None:
    folder = make(right=ONE, answers=False)
    saved = json.loads((folder / "results.json").read_text())
    saved["runs"][0][part] = {"staleness": [[None] * 4], "probes": {"a": [1.0]}, "divergence": {"kl": [1.0]}, "corpus": {"old": {"bleu": [1.0]}}}[part]
    (folder / "results.json").write_text(json.dumps(saved))
    with pytest.raises(StateError, match=r"do not fit its matrix of 4 rows .*method='plain'"):
        read_batch(folder)


def test_damaged_questions_are_refused(make: Make) -> None:
    folder = make(right=ONE)
    path = folder / "questions.jsonl.gz"
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(StateError, match=r"questions.jsonl.gz"):
        read_batch(folder)


def test_a_key_that_is_new_is_no_mistake(make: Make) -> None:
    assert read_batch(make(right=ONE, answers=False, something={"new": 1})).results.stream == "towns"
