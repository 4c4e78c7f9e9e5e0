"""A home that is killed at any moment loses nothing, learns nothing twice, and ends where it would have ended.

EVERLEARN_SIZE (1 by default): the share of the kills that are made.
"""

from __future__ import annotations

import random
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from everlearn import StateError
from everlearn.upkeep.beginning import create_home
from everlearn.versions.home import Home
from tests.long.homes import SIZE, drop, files, learn, make, said, settings, whole
from tests.long.killing import ended, killed_before, operations

pytestmark = pytest.mark.long
UPDATES = max(20, round(200 * SIZE))
AT_ONCE = 10  # files dropped together
PARTS = 4  # of the operations of one case, so that several processes share them


@dataclass(frozen=True)
class Case:
    """Something that changes a home. prepare: what is there before.   act: what is killed.   whole: what must be true after a kill, from before it."""

    prepare: Callable[[Path], None]
    act: Callable[[Path], None]
    whole: Callable[[Path, Path], None]


def dropped(*kinds: str) -> Callable[[Path], None]:
    def prepare(folder: Path) -> None:
        make(folder)
        drop(folder, 0)
        learn(folder)
        for number, kind in enumerate(kinds, 1):
            drop(folder, number, kind)

    return prepare


def still_whole(folder: Path, before: Path) -> None:
    whole(folder, [version.id for version in Home(before / "home").versions()], files(before))


def only_settings(folder: Path) -> None:
    (folder / "home").mkdir()
    (folder / "drops").mkdir()
    settings(folder / "told.jsonl").save(folder / "home" / "everlearn.toml")


def all_or_nothing(folder: Path, before: Path) -> None:
    """A home, or what was there; for the time of one rename the settings are aside."""
    if (folder / "home" / "home.json").exists():
        assert Home(folder / "home").head.number == 0
    else:
        place = folder / "home" if (folder / "home").exists() else folder / ".home.before"
        assert [path.name for path in place.iterdir() if not path.name.startswith(".")] == ["everlearn.toml"]
        assert (place / "everlearn.toml").read_text() == settings(folder / "told.jsonl").text()


def begin(folder: Path) -> None:
    """Once more says that it is there, and clears away what a kill left."""
    if (folder / "home" / "home.json").exists():
        with pytest.raises(StateError, match="there is something here already"):
            create_home(folder / "home")
    else:
        create_home(folder / "home")


CASES = {
    "promoted": Case(dropped("true"), learn, still_whole),
    "refused": Case(dropped("false"), learn, still_whole),
    "rejected": Case(dropped("broken"), learn, still_whole),
    "quarantined": Case(dropped("strange"), learn, still_whole),
    "made": Case(only_settings, begin, all_or_nothing),
}


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """In memory where that can be: a killed process loses nothing that it has written, wherever that lies."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else tmp_path) as name:
        yield Path(name)


def test_two_hundred_updates_killed_at_random_moments_end_as_if_they_had_not_been(folder: Path) -> None:
    drawn = random.Random(0)
    kinds = ["false" if number % 7 == 3 else "broken" if number % 20 == 11 else "true" for number in range(UPDATES)]
    twin, victim = folder / "twin" / "x", folder / "victim" / "x"
    ended(lambda: make(twin))
    ended(lambda: make(victim))
    for number, kind in enumerate(kinds):
        drop(twin, number, kind)
    began = time.monotonic()
    assert ended(lambda: learn(twin))
    longest = 3 * (time.monotonic() - began) / UPDATES  # until a kill: a busy machine is given more time
    kills = 0
    for first in range(0, UPDATES, AT_ONCE):
        for number in range(first, min(first + AT_ONCE, UPDATES)):
            drop(victim, number, kinds[number])
        done = False
        while not done:
            before, wanted = [version.id for version in Home(victim / "home").versions()], files(victim)
            done = ended(lambda: learn(victim), drawn.uniform(0.02, longest))
            kills += not done
            whole(victim, before, wanted)
    print(f"{UPDATES} files, {len(Home(twin / 'home').versions())} versions, {kills} kills")
    assert kills > UPDATES / 4
    one, other = said(twin), said(victim)
    accepted = [version["accepted"] for version in one["versions"]]
    assert 0 < accepted.count(False) < accepted.count(True)
    for name in one:
        assert one[name] == other[name], name


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("name", CASES)
def test_killed_before_any_operation_on_a_file(folder: Path, name: str, part: int) -> None:
    """And once more at a random one while it goes on."""
    case, drawn = CASES[name], random.Random(part)
    start, twin, victim = folder / "start" / "x", folder / "twin" / "x", folder / "victim" / "x"
    start.mkdir(parents=True)
    assert ended(lambda: case.prepare(start))
    laid(start, twin)
    count = operations(lambda: case.act(twin), twin, folder / "count")
    print(f"{name}: {count} operations")
    chosen = [number for number in range(1, count + 1) if number % PARTS == part]
    for number in chosen if SIZE >= 1 else sorted(drawn.sample(chosen, max(1, round(SIZE * len(chosen))))):
        laid(start, victim)
        assert killed_before(lambda: case.act(victim), victim, number), f"there was no operation {number}"
        case.whole(victim, start)
        killed_before(lambda: case.act(victim), victim, drawn.randint(1, count))
        case.whole(victim, start)
        assert ended(lambda: case.act(victim))
        one, other = said(twin), said(victim)
        assert {key for key in one if one[key] != other[key]} == set(), f"killed before operation {number}"


def laid(start: Path, place: Path) -> None:
    """A copy of the start that knows its own place."""
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(start, place)
    settings(place / "told.jsonl").save(place / "home" / "everlearn.toml")
