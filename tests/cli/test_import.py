"""`everlearn import` as a person and a program meet it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from everlearn import EverlearnError, Results
from everlearn.cli import app


def put(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_the_guide_shows_what_the_command_prints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    guide = (Path(__file__).parents[2] / "docs" / "guide.md").read_text(encoding="utf-8")
    log, printed = re.findall(r"```text\n(.*?)```", guide.partition("## Results from elsewhere")[2], flags=re.DOTALL)[:2]
    monkeypatch.chdir(tmp_path)
    put(tmp_path / "lwf.log", log)
    ran = CliRunner().invoke(app, ["import", "lwf.log", "--out", "runs/lwf"])
    assert [line.rstrip() for line in ran.stdout.splitlines()] == printed.removeprefix("$ everlearn import lwf.log --out runs/lwf\n").splitlines()
    assert Results.load(tmp_path / "runs" / "lwf" / "results.json").runs[0].method == "LWF"


def test_json_is_the_results(tmp_path: Path) -> None:
    words = ["import", put(tmp_path / "m.csv", "80,10\n60,50\n"), "--out", str(tmp_path / "out"), "--stream", "towns", "--json"]
    found = json.loads(CliRunner().invoke(app, words).stdout)
    assert (found["stream"], found["runs"][0]["metrics"]["average_accuracy"]) == ("towns", pytest.approx(0.55))
    assert found == json.loads((tmp_path / "out" / "results.json").read_text())


def test_what_the_file_does_not_say_the_command_line_does(tmp_path: Path) -> None:
    file = put(tmp_path / "m.csv", "1,2,4\n50,60,1\n40,50,90\n")
    words = ["import", file, "--out", str(tmp_path), "--learned", "1,1,2", "--before", "yes", "--scale", "percent", "--json"]
    found = json.loads(CliRunner().invoke(app, words).stdout)["runs"][0]
    assert (found["matrix"]["rows"][0], found["matrix"]["learned"]) == ([0.01, 0.02, 0.04], [1, 1, 2])
    assert found["metrics"]["forward_transfer"] == pytest.approx(-0.03)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["nowhere.csv"], "there is nothing here .file='nowhere.csv'"),
        (["m.csv", "--layout", "avalnche"], "Did you mean 'avalanche'"),
        (["m.csv", "--learned", "one"], "whole numbers with commas between, got 'one'"),
        (["m.csv", "--scale", "tenths"], "scale must be 'auto', 'percent' or 'share', got 'tenths'"),
    ],
)
def test_a_mistake_is_told_and_nothing_is_written(words: list[str], expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    put(tmp_path / "m.csv", "80,10\n60,50\n")
    with pytest.raises(EverlearnError, match=expected):
        CliRunner().invoke(app, ["import", *words, "--out", "out"], catch_exceptions=False)
    assert not (tmp_path / "out").exists()
