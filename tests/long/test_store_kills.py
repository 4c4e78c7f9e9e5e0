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
from tests.memory.lancefiles import telling

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
    assert len(told) >= KILLS, "each had written something"


ERASER = """
import sys
from everlearn.memory.passages import Passage
from everlearn.memory.store import DatedStore
store, first = DatedStore(sys.argv[1]), int(sys.argv[2])
store.add([Passage(f"note {n}", source="notes") for n in range(3)], vectors=[[1, n] for n in range(3)])
for n in range(first, first + 100_000):
    store.add([Passage(f"secret{n}x {m}", source=f"bad{n}") for m in range(3)], vectors=[[m, 1] for m in range(3)])
    store.delete(source=f"bad{n}")
    print(n, flush=True)
"""


@pytest.mark.filterwarnings("default:a delete in this store is not over")
def test_killed_while_it_deletes_all_of_it_is_there_or_none_and_what_was_told_is_gone_from_the_files(tmp_path: Path) -> None:
    draw, cut = random.Random(1), 0
    for kill in range(max(3, KILLS // 5)):
        with subprocess.Popen([sys.executable, "-c", ERASER, str(tmp_path / "store"), str(kill * 1000)], stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            told = [int(child.stdout.readline())]
            time.sleep(draw.uniform(0.0, 0.5))
            child.send_signal(signal.SIGKILL)
            told += [int(line) for line in child.stdout.read().split("\n")[:-1]]
        store = DatedStore(tmp_path / "store")
        cut += store.erasing
        store.index()
        assert not store.erasing
        held = [passage.text for passage in store.passages() if passage.text.startswith("secret")]
        assert len(held) in (0, 3), "of the one that was cut off all or nothing"
        assert all(not telling(tmp_path / "store", f"secret{n}x") for n in told[-5:])
        store.delete(source=f"bad{max(told) + 1}")
        assert telling(tmp_path / "store", "secret") == [], "nor is what an add left that was cut off"
    assert cut, "some were killed before the bytes were gone"
