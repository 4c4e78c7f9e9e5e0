"""forget, gc and rebase from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from everlearn import Example, SettingError, create_home, update
from everlearn.cli import app
from everlearn.versions.settings import HomeSettings

SETTINGS = {
    "learn": {"recipe": "replay(share=1)", "rate": 1e-3, "passes": 1},
    "test": {"anchor": "off"},
    "gate": {"least_gain": "off", "most_loss": "off", "most_stale": "off"},
}


def run(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture
def home(tmp_path: Path) -> Path:
    made = create_home(tmp_path / "home", settings=HomeSettings.of(SETTINGS, "a test"))
    for source in ("ash", "birch"):
        update(made, [Example(prompt=f"Who keeps {source} {n}?", completion=" Ann", source=source) for n in range(4)], name=source)
    return made.folder


def test_forget_says_what_went_and_what_serves(home: Path) -> None:
    result = run("forget", home, "--source", "birch")
    assert result.exit_code == 0
    assert "Withdrawn: v2" in result.output
    assert "In service: version 1. Proved by decoding" in result.output
    again = run("forget", home, "--source", "brch")
    assert isinstance(again.exception, SettingError)
    assert "source='brch'" in str(again.exception)
    assert "Known: ash" in str(again.exception)


def test_forget_tells_programs_everything(home: Path) -> None:
    result = run("forget", home, "--source", "ash", "--json")
    told = json.loads(result.stdout)
    assert (told["source"], told["traces"], len(told["withdrawn"]), len(told["rebuilt"])) == ("ash", [], 2, 1)


def test_gc_and_rebase_report_too(home: Path) -> None:
    assert run("gc", home).output.strip() == "Freed 0 bytes."
    assert json.loads(run("gc", home, "--json").stdout) == {"freed": 0, "let_go": [], "bases": []}
    told = run("rebase", home, "--model", "tiny")
    assert told.exit_code == 0
    assert "is in service." in told.output
    assert json.loads(run("rebase", home, "--model", "tiny", "--json").stdout)["kind"] == "rebase"


def test_a_refused_rebase_exits_with_three(tmp_path: Path) -> None:
    create_home(tmp_path / "home", settings=HomeSettings.of(SETTINGS, "a test"))
    result = run("rebase", tmp_path / "home", "--model", "tiny")
    assert result.exit_code == 3
    assert "Nothing shows what was lost" in result.output
