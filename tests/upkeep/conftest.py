"""Small homes that learn in a third of a second."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from everlearn import Example, Home, HomeSettings, TestSet, create_home, update

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


@pytest.fixture
def people() -> Callable[[str, int], list[Example]]:
    """Rows about people that nobody else is told of; their source is the letter."""

    def rows(source: str, count: int) -> list[Example]:
        return [Example(prompt=f"Who keeps the {source} lamp {n}?", completion=f" Nora {source.upper()}{n}", source=source) for n in range(count)]

    return rows


@pytest.fixture(scope="session")
def three_made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home that was shown rows of 'past' at its start and took three updates, of 'ash', 'birch' and 'cedar'; it accepts everything."""
    folder = tmp_path_factory.mktemp("three")
    past, *updates = (
        [Example(prompt=f"Who keeps the {source} lamp {n}?", completion=f" Nora {source.upper()}{n}", source=source) for n in range(6)]
        for source in ("past", "ash", "birch", "cedar")
    )
    (folder / "past.jsonl").write_text("".join(json.dumps(e.to_json()) + "\n" for e in past))
    settings = HomeSettings.of({**SMALL, "learn": {**SMALL["learn"], "passes": 1, "batch": 16}, "gate": {**SMALL["gate"], "most_stale": "off"}}, "a test")
    home = create_home(folder / "home", test={"old": TestSet("exact", tuple(past[:2]))}, remember=folder / "past.jsonl", settings=settings)
    for rows in updates:
        update(home, rows, {rows[0].source: TestSet("exact", tuple(rows[:2]))}, name=rows[0].source)
    return folder / "home"


@pytest.fixture
def three(three_made: Path, tmp_path: Path) -> Home:
    """A copy of it."""
    return Home(shutil.copytree(three_made, tmp_path / "three"))
