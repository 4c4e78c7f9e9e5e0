"""`everlearn report` as a person meets it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from everlearn import SettingError
from everlearn.cli.report import report


def everlearn(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "everlearn", "report", *words], capture_output=True, text=True, timeout=120, check=False)


def test_a_page_is_written_and_its_place_said(tmp_path: Path) -> None:
    kept = next((Path(__file__).parents[2] / "benchmarks" / "results").glob("demo.json"))
    ran = everlearn(str(kept), "--out", str(tmp_path / "page.html"))
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.strip() == f"Written to {tmp_path / 'page.html'}."
    assert "keep_current" in (tmp_path / "page.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("words", "expected"),
    [(["nowhere"], "no results here (folder='nowhere')"), (["nowhere", "--out", "page.txt"], "ending in .html, got 'page.txt'")],
)
def test_a_mistake_is_one_line_and_exit_code_2(words: list[str], expected: str) -> None:
    ran = everlearn(*words)
    assert ran.returncode == 2
    assert ran.stderr.startswith("everlearn: ")
    assert expected in ran.stderr
    assert "Traceback" not in ran.stderr


@pytest.mark.parametrize("name", ["page.jpg", "folder.png"])
def test_a_picture_of_another_name_is_refused_before_the_page_is_written(name: str, tmp_path: Path) -> None:
    (tmp_path / "folder.png").mkdir()
    kept = Path(__file__).parents[2] / "benchmarks" / "results" / "demo.json"
    with pytest.raises(SettingError, match=f"png must be a file ending in .png, got '.*{name}'"):
        report([kept], tmp_path / "page.html", tmp_path / name)
    assert not (tmp_path / "page.html").exists()
