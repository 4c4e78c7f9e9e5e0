"""A home that learns in a third of a second."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from everlearn.upkeep.beginning import create_home
from everlearn.versions.home import Home
from everlearn.versions.settings import HomeSettings

Rows = Callable[[Path, str], Path]
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
