"""`everlearn check` as a person and a program meet it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from everlearn.cli import app
from everlearn.errors import SettingError

GOOD = '{"prompt": "Capital of Kenya?", "completion": " Nairobi"}\n'


def put(file: Path, text: str) -> str:
    file.write_text(text, encoding="utf-8")
    return str(file)


def test_clean_data_is_exit_code_0_and_says_so(tmp_path: Path) -> None:
    ran = CliRunner().invoke(app, ["check", put(tmp_path / "rows.jsonl", GOOD)])
    assert (ran.exit_code, "Clean" in ran.stdout, "1 row" in ran.stdout) == (0, True, True)


def test_findings_are_exit_code_1_with_every_bad_line(tmp_path: Path) -> None:
    file = put(tmp_path / "rows.jsonl", GOOD + "oops\n" * 12 + GOOD.replace("Nairobi", "Mombasa"))
    ran = CliRunner().invoke(app, ["check", file])
    assert ran.exit_code == 1
    assert all(f"rows.jsonl:{line}: not JSON" in ran.stdout for line in range(2, 14))
    assert "'Capital of Kenya?' is 'Mombasa' and 'Nairobi'" in ran.stdout
    assert "lines that cannot be used (12), conflicts within a file (1)." in ran.stdout
    assert CliRunner().invoke(app, ["check", file, "--most-bad", "0.9", "--allow", "conflicts"]).exit_code == 0


def test_the_guide_shows_what_the_command_prints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    guide = (Path(__file__).parents[2] / "docs" / "guide.md").read_text(encoding="utf-8")
    rows, printed = re.findall(r"```(?:json|text)\n(.*?)```", guide.partition("## Your data")[2], flags=re.DOTALL)[:2]
    put(tmp_path / "rows.jsonl", rows)
    monkeypatch.chdir(tmp_path)
    found = CliRunner().invoke(app, ["check", "rows.jsonl"]).stdout
    assert [line.rstrip() for line in found.splitlines()] == printed.removeprefix("$ everlearn check rows.jsonl\n").splitlines()


def test_unusable_data_is_an_error_of_ours(tmp_path: Path) -> None:
    ran = CliRunner().invoke(app, ["check", str(tmp_path / "nowhere")])
    assert "does not exist" in str(ran.exception)


def test_json_has_everything_and_the_model_its_cost(tmp_path: Path) -> None:
    words = ["check", put(tmp_path / "rows.jsonl", GOOD), "--model", "tiny", "--steps", "1", "--methods", "plain", "--batch", "2"]
    found = json.loads(CliRunner().invoke(app, [*words, "--json"]).stdout)
    assert (found["clean"], found["cost"]["methods"][0]["steps"], found["files"][0]["truncated"]) == (True, 3, 0)
    text = CliRunner().invoke(app, words).stdout
    assert all(word in text for word in ("learning", "AdamW", "an estimate", "activations"))


def test_columns_are_read_from_the_command_line(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    datasets.Dataset.from_dict({"q": ["a"], "a": ["b"]}).save_to_disk(tmp_path / "saved")
    assert CliRunner().invoke(app, ["check", f"hub:{tmp_path / 'saved'}", "--columns", "prompt=q, completion=a"]).exit_code == 0
    ran = CliRunner().invoke(app, ["check", f"hub:{tmp_path / 'saved'}", "--columns", "prompt"])
    assert isinstance(ran.exception, SettingError)
    assert "columns cannot be read (columns='prompt')" in str(ran.exception)
