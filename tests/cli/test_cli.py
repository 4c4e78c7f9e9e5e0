"""The command line as a person meets it."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from everlearn.cli import app
from everlearn.methods import BY_NAME
from everlearn.version import VERSION


def everlearn(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "everlearn", *words], capture_output=True, text=True, timeout=120, check=False)


def test_help_comes_within_half_a_second() -> None:
    def seconds() -> float:
        """Processor time of the child: what it takes on a machine that does nothing else."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert everlearn("--help").returncode == 0
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    assert min(seconds() for _ in range(5)) < 0.5


def test_help_names_every_verb() -> None:
    text = CliRunner().invoke(app, ["--help"]).stdout
    assert all(verb in text for verb in ("demo", "compare", "methods"))
    assert CliRunner().invoke(app, ["--version"]).stdout.strip() == f"everlearn {VERSION}"


def test_methods_are_listed_for_people_and_programs() -> None:
    entries = json.loads(CliRunner().invoke(app, ["methods", "--json"]).stdout)
    names = [entry["name"] for entry in entries]
    assert names[:4] == ["frozen", "joint", "plain", "keep_current"]
    assert set(names) >= set(BY_NAME)
    assert all(set(entry) == {"name", "family", "about", "settings", "stores", "paper", "cost"} for entry in entries)
    assert all(entry["cost"] and entry["paper"] and entry["family"] for entry in entries if entry["name"] in BY_NAME)
    text = CliRunner().invoke(app, ["methods"]).stdout
    assert all(entry["name"] in text for entry in entries)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["compare", "./nowhere"], "nowhere"),
        (["compare", "almanac", "--methods", "repaly"], "Did you mean 'replay'"),
        (["compare", "almanac", "--model", "./nowhere"], "no model folder here"),
        (["compare", "almanac", "--rate", "-1", "--passes", "0"], "rate must be above 0, got -1.0; passes must be at least 1, got 0"),
        (["compare", "almanac", "--device", "gpu"], "such as cpu or cuda:0"),
        (["compare", "almanac", "--dtype", "fp4"], "dtype must be one of float32, bfloat16, auto"),
        (["compare", "almanac", "--lora", "many"], "lora must be 'auto', 'off' or a rank"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(words: list[str], expected: str, tmp_path: Path) -> None:
    ran = everlearn(*words, "--out", str(tmp_path))
    assert ran.returncode == 2
    assert ran.stderr.startswith("everlearn: ")
    assert expected in ran.stderr
    assert "Traceback" not in ran.stderr
    assert not list(tmp_path.iterdir())


def test_a_stream_folder_is_compared_from_the_command_line(tmp_path: Path) -> None:
    folder = tmp_path / "towns" / "01-rivers"
    folder.mkdir(parents=True)
    row = json.dumps({"prompt": "Question: What is the river of Penwick?\nAnswer:", "completion": " Exe", "task": "rivers"})
    (folder / "train.jsonl").write_text(row + "\n")
    (folder / "test.rivers.jsonl").write_text(row + "\n")
    (tmp_path / "towns" / "stream.toml").write_text('name = "towns"\n\n[scores]\nrivers = "exact"\n')
    ran = everlearn("compare", str(tmp_path / "towns"), "--methods", "plain", "--rate", "1e-3", "--passes", "10", "--out", str(tmp_path / "out"))
    assert ran.returncode == 0, ran.stderr
    assert "100.0" in ran.stdout
    assert json.loads((tmp_path / "out" / "results.json").read_text())["runs"][0]["metrics"]["average_accuracy"] == 1.0
    assert "also holds runs" not in ran.stdout
    ran = everlearn("compare", str(tmp_path / "towns"), "--methods", "frozen", "--out", str(tmp_path / "out"))
    assert "also holds runs of plain; name them too to have them in one table." in " ".join(ran.stdout.split())
