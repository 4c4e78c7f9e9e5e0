"""What is deleted is in no file, decoded by its format, also where the delete was killed half way."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from everlearn.memory.passages import Passage
from everlearn.memory.store import DatedStore
from everlearn.memory.words import words_of
from tests.memory.lancefiles import quantised, shown, telling, vectors_kept, words_counted

SECRET = "Quillfeather7"
STAYS = [Passage(f"Shelf {n} holds jar {n}.", f"shelf {n}", "2019", source="ok") for n in range(1100)]
GOES = [Passage(f"{SECRET} lives here.", source="bad"), Passage(f"Shelf 3 holds {SECRET}.", "shelf 3", "2020", source="bad", id=f"id-of-{SECRET}")]
DRAWN = np.random.default_rng(0).normal(size=(1102, 16)).astype(np.float32)
SCRIPT = """
import os, signal, sys
from everlearn.memory import indexing, store as module
def killed(*given, **more):
    os.kill(os.getpid(), signal.SIGKILL)
setattr(indexing if sys.argv[2] in ("cleaned", "index_places") else module, sys.argv[2], killed)
module.DatedStore(sys.argv[1], index_rows=1000).delete(source="bad")
"""


@pytest.fixture
def filled(tmp_path: Path) -> DatedStore:
    """With a vector index, a full text index, small files, rows marked as deleted, old versions, and the secret in all of them."""
    store = DatedStore(tmp_path / "store", index_rows=1000)
    store.add([*STAYS[:1090], GOES[0]], DRAWN[:1091])
    store.index()
    store.add([*STAYS[1090:], GOES[1]], DRAWN[1091:])
    return store


def is_clean(store: DatedStore) -> None:
    folder, words = Path(store.uri), {word for passage in STAYS for word in words_of(passage.text)}
    assert telling(folder, SECRET) == []
    assert set(words_counted(folder)) == {len(words)}, "every index has the words that stay, and no other"
    assert all(store.search(word, k=1, kind="words") for word in ("shelf", "1099"))
    assert (len(store), len(vectors_kept(folder)), set(quantised(folder))) == (1100, 1100, {1100})
    gone = DRAWN[[1090, 1101]] / np.linalg.norm(DRAWN[[1090, 1101]], axis=1, keepdims=True)
    assert np.abs(vectors_kept(folder) @ gone.T).max() < 0.999
    assert [found.passage.text for found in store.search("Shelf 3 holds jar", k=1)] == ["Shelf 3 holds jar 3."], "what it had superseded holds again"


def test_the_files_said_it_before_and_none_does_after(filled: DatedStore) -> None:
    folder, words = Path(filled.uri), {word for passage in [*STAYS, *GOES] for word in words_of(passage.text)}
    assert telling(folder, SECRET) == ["data"], "before, decoding finds it"
    filled.index()
    files = list(folder.rglob("data/*.lance"))
    assert any(SECRET in shown(path) and SECRET.encode() not in path.read_bytes() for path in files), "looking at bytes would not find it"
    assert max(words_counted(folder)) == len(words)
    assert np.isclose(vectors_kept(folder) @ (DRAWN[1101] / np.linalg.norm(DRAWN[1101])), 1, atol=1e-5).any()
    assert filled.delete(source="bad") == 2
    is_clean(filled)
    assert filled.delete(source="bad") == 0


def test_by_id_too_and_what_is_replaced(filled: DatedStore) -> None:
    rows, vectors = filled.rows()
    assert filled.delete(id=f"id-of-{SECRET}") == 1
    assert filled.delete(id=GOES[0].id) == 1
    is_clean(filled)
    filled.replace(rows, vectors)
    assert telling(Path(filled.uri), SECRET)
    stays = [at for at, row in enumerate(rows) if SECRET not in str(row)]
    filled.replace([rows[at] for at in stays], vectors[stays])
    is_clean(filled)


@pytest.mark.parametrize("at", ["erased", "cleaned", "index_places"])
def test_a_delete_that_was_killed_says_so_and_the_next_write_ends_it(filled: DatedStore, at: str) -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT, filled.uri, at], capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    with pytest.warns(UserWarning, match="a delete in this store is not over"):
        store = DatedStore(filled.uri, index_rows=1000)
    assert store.erasing
    assert len(store) == (1102 if at == "erased" else 1100), "all of it or nothing is found"
    assert telling(Path(store.uri), SECRET) == ([] if at == "index_places" else ["data"])
    store.index()
    assert not store.erasing
    if at == "erased":  # killed before the commit: it was never deleted
        assert store.delete(source="bad") == 2
    is_clean(store)
    DatedStore(filled.uri)


def test_a_store_without_rows_after_a_delete_holds_no_byte_and_takes_new_ones(tmp_path: Path) -> None:
    store = DatedStore(tmp_path / "store")
    store.add(GOES, DRAWN[:2])
    assert telling(tmp_path / "store", SECRET) == ["data"]
    assert store.delete(source="bad") == 2
    assert (len(store), telling(tmp_path / "store", SECRET), store.passages(), store.subjects(9)) == (0, [], [], [])
    store.add(STAYS[:1], DRAWN[:1])
    assert [found.passage.text for found in store.search("shelf")] == [STAYS[0].text]
