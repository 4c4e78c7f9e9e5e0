"""A dated store that is killed while it writes opens, and holds all of every add that was told to be done."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from everlearn.memory.store import DatedStore
from tests.long.homes import SIZE

pytestmark = pytest.mark.long
KILLS = max(3, round(100 * SIZE))
WRITER = """
import sys
from everlearn.memory.passages import Passage
from everlearn.memory.store import DatedStore
store, first = DatedStore(sys.argv[1]), int(sys.argv[2])
for n in range(first, first + 100_000):
    both = [Passage(f"level {n}", f"level {n % 7}", f"{1000 + n % 8000}"), Passage(f"note {n}", source="notes")]
    store.add(both, vectors=[[1, n % 5], [n % 3, 1]])
    print(n, flush=True)
"""


def test_killed_while_it_writes_the_store_opens_and_what_was_committed_is_there(tmp_path: Path) -> None:
    draw, told = random.Random(0), set[str]()
    for kill in range(KILLS):
        with subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path / "store"), str(kill * 1000)], stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            told.add(child.stdout.readline().strip())  # it has begun
            time.sleep(draw.uniform(0.0, 0.5))
            child.send_signal(signal.SIGKILL)
            told |= set(child.stdout.read().split("\n")[:-1])
        held = [passage.text.split() for passage in DatedStore(tmp_path / "store").passages()]
        levels, notes = ({number for kind, number in held if kind == name} for name in ("level", "note"))
        assert levels == notes, "both of an add, or none"
        assert told <= notes
        assert len(held) == 2 * len(notes)
    assert len(told) > 2 * KILLS
