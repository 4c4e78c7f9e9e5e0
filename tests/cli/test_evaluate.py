"""`everlearn evaluate` as a person meets it."""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path

import pytest
from typer.testing import CliRunner

from everlearn import EverlearnError
from everlearn.cli import app, main

ALMANAC = ["evaluate", "tiny", "almanac", "--task", "new6", "--task", "changed6", "--after", "0", "--no-probes"]


@pytest.fixture
def anchor(tmp_path: Path) -> Path:
    path = tmp_path / "anchor.jsonl"
    path.write_text(json.dumps({"text": "The mayor of Penwick opened the bridge."}) + "\n")
    return path


def test_a_table_for_people_and_a_file_for_programs(tmp_path: Path, anchor: Path) -> None:
    out = tmp_path / "scores" / "card.json"
    ran = CliRunner().invoke(app, [*ALMANAC, "--against", "tiny", "--anchor", str(anchor), "--out", str(out)])
    assert ran.exit_code == 0, ran.output
    assert all(word in ran.stdout for word in ("new6", "changed6", "against %", "difference", "KL(against || model): 0.00000", "perplexity", str(out)))
    card = json.loads(out.read_text())
    assert [(found["name"], found["kind"]) for found in card["scored"]] == [("new6", "exact"), ("changed6", "exact")]
    assert card["against"]["differences"][0]["value"] == 0


def test_json_goes_to_standard_output_alone(anchor: Path) -> None:
    ran = CliRunner().invoke(app, [*ALMANAC, "--anchor", str(anchor), "--json"])
    card = json.loads(ran.stdout)
    assert (card["model"], card["stream"], card["after"]) == ("tiny", "almanac", 0)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--task", "knew6"], "Did you mean 'new6'"),
        (["--after", "7"], "after must be between 0"),
        (["--dtype", "fp4"], "dtype must be one of"),
        (["--include-path", "tasks"], "include_path='tasks'"),
        (["--out", "card.txt"], "out must be a .json file, got 'card.txt'"),
        (["--out", "."], "got '.'"),
        (["--anchor", "nowhere.jsonl"], "nowhere.jsonl does not exist"),
    ],
)
def test_a_mistake_is_told(words: list[str], expected: str) -> None:
    with pytest.raises(EverlearnError, match=expected):
        CliRunner().invoke(app, ["evaluate", "tiny", "almanac", "--no-probes", *words], catch_exceptions=False)


def test_a_mistake_is_one_line_and_exit_code_2(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["everlearn", "evaluate", "tiny", "almanac", "--task", "knew6"])
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)  # main sets it
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr()
    assert (ended.value.code, said.out) == (2, "")
    assert said.err.startswith("everlearn: the stream has no such task (task='knew6', stream='almanac')")
