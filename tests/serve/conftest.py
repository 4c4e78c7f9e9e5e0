"""Small homes to be served."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from everlearn import Example, Home, HomeSettings, TestSet, create_home, update

SMALL = {
    "learn": {"recipe": "plain", "rate": 3e-3, "passes": 8, "batch": 8},
    "test": {"anchor": "off"},
    "gate": {"least_gain": "off", "most_loss": "off", "most_stale": "off"},
    "retry": {"attempts": 0},
}


def asked(n: int) -> str:
    return f"Question: Where does the owl number {n} live?\nAnswer:"


def owls(place: str) -> list[Example]:
    return [Example(prompt=asked(n), completion=f" {place}", source="owls") for n in range(8)]


def home_of(folder: Path, recipe: str, **tables: object) -> Home:
    """A home that accepts everything, with a version 1 that learned by this recipe where the owls live."""
    settings = HomeSettings.of({**SMALL, "learn": {**SMALL["learn"], "recipe": recipe}, **tables}, "a test")
    home = create_home(folder, settings=settings)
    update(home, owls("Penwick"), {"owls": TestSet("exact", tuple(owls("Penwick")[:2]))}, name="first")
    return home


@pytest.fixture(scope="session")
def two_made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with versions 0, 1 and 2; the last answers otherwise than the one before, and is in service."""
    home = home_of(tmp_path_factory.mktemp("served") / "home", "plain")
    update(home, owls("Ashford"), {"owls": TestSet("exact", tuple(owls("Ashford")[:2]))}, name="second")
    return home.folder


@pytest.fixture
def home(two_made: Path, tmp_path: Path) -> Home:
    """A copy of it."""
    return Home(shutil.copytree(two_made, tmp_path / "home"))
