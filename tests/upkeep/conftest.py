"""Small homes that learn in a third of a second."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from everlearn import Example, Home, HomeSettings, TestSet, create_home

Rows = Callable[[Path, str], Path]
Owls = Callable[[int, int], list[Example]]
SMALL = {
    "learn": {"recipe": "replay(share=1)", "rate": 1e-3, "passes": 2, "batch": 8},
    "test": {"anchor": "off"},
    "gate": {"least_gain": "off", "most_loss": "off"},
    "retry": {"attempts": 0},
    "watch": {"settle": 0.0, "every": 0.01},
}


@pytest.fixture
def quick_home(tmp_path: Path) -> Home:
    """It accepts everything."""
    return create_home(tmp_path / "home", settings=HomeSettings.of(SMALL, "a test"))


@pytest.fixture
def drops(tmp_path: Path) -> Path:
    """An empty folder to watch."""
    folder = tmp_path / "drops"
    folder.mkdir()
    return folder


@pytest.fixture
def write_rows() -> Rows:
    """Write four rows whose words begin with this text, from a source of that name."""

    def write(path: Path, text: str) -> Path:
        rows: Sequence[dict[str, str]] = [{"prompt": f"{text} {k}?", "completion": f" {text}{k}", "source": text} for k in range(4)]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return path

    return write


def change_settings(home: Home, **tables: dict[str, object]) -> None:
    """Write everlearn.toml anew with these tables."""
    HomeSettings.of({**SMALL, **tables}, "a test").save(home.folder / "everlearn.toml")


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with the default gate and one task that is to be kept; made once."""
    place = tmp_path_factory.mktemp("made") / "home"
    sums = tuple(Example(prompt=f"Question: What is {n} plus 1?\nAnswer:", completion=f" {n + 1}") for n in range(12))
    settings = HomeSettings.of({**SMALL, "gate": {}, "learn": {**SMALL["learn"], "passes": 3}}, "a test")
    create_home(place, "tiny", test={"sums": TestSet("exact", sums)}, settings=settings)
    return place


@pytest.fixture
def home(made: Path, tmp_path: Path) -> Home:
    """A copy of it, with version 0 alone."""
    return Home(shutil.copytree(made, tmp_path / "home"))


@pytest.fixture
def owls() -> Owls:
    """So many made-up questions from a number on, all with one answer, so that the model learns them in a few steps."""

    def rows(start: int, count: int) -> list[Example]:
        asked = [f"Question: Where does the owl number {n} live?\nAnswer:" for n in range(start, start + count)]
        return [Example(prompt=question, completion=" Penwick", source="owls") for question in asked]

    return rows
