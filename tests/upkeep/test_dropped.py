"""What is taken from a watched folder, and in which order."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from everlearn import DataError
from everlearn.upkeep.dropped import Dropped


def names(folder: Dropped, settle: float = 0.0) -> list[tuple[str, ...]]:
    return [tuple(path.name for path in drop.paths) for drop in folder.look(settle).ready]


def put(folder: Path, *files: str) -> None:
    for name in files:
        (folder / name).write_text("{}")


def test_files_are_taken_in_the_order_of_their_names(tmp_path: Path) -> None:
    put(tmp_path, "b.jsonl", "a.csv", "c.parquet", "notes.txt")
    assert names(Dropped(tmp_path)) == [("a.csv",), ("b.jsonl",), ("c.parquet",), ("notes.txt",)]


def test_unfinished_and_hidden_files_are_not_looked_at(tmp_path: Path) -> None:
    put(tmp_path, ".a.jsonl", "a.jsonl.tmp", "a.jsonl.part", "a.jsonl.crdownload", "a.jsonl~")
    assert Dropped(tmp_path).look(0.0).ready == ()


def test_a_test_file_goes_with_the_file_it_belongs_to_and_alone_it_waits(tmp_path: Path) -> None:
    put(tmp_path, "a.jsonl.gz", "a.test.csv", "b.test.jsonl", "test.jsonl")
    found = Dropped(tmp_path).look(0.0)
    assert [tuple(path.name for path in drop.paths) for drop in found.ready] == [("a.jsonl.gz", "a.test.csv"), ("test.jsonl",)]
    assert found.left == {"b.test.jsonl": "a test file waits for the file it belongs to"}


def test_what_is_still_written_is_not_taken_nor_what_comes_after_it(tmp_path: Path) -> None:
    put(tmp_path, "a.jsonl", "b.jsonl", "c.jsonl", "c.test.jsonl")
    future = time.time() + 1000
    os.utime(tmp_path / "b.jsonl", (future, future))
    time.sleep(0.06)
    folder = Dropped(tmp_path)
    found = folder.look(0.05)
    assert ([drop.data.name for drop in found.ready], found.changing) == (["a.jsonl"], ("b.jsonl", "c.jsonl", "c.test.jsonl"))
    time.sleep(0.06)  # a clock that is wrong holds nothing up for ever
    assert names(folder, 0.05) == [("a.jsonl",), ("b.jsonl",), ("c.jsonl", "c.test.jsonl")]
    put(tmp_path, "a.jsonl")
    assert folder.look(0.05).ready == ()


def test_links_and_folders_stay(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    put(tmp_path, "secret")
    (tmp_path / "in" / "a.jsonl").symlink_to(tmp_path / "secret")
    (tmp_path / "in" / "b.jsonl").mkdir()
    found = Dropped(tmp_path / "in").look(0.0)
    assert found.ready == ()
    assert found.left == {"a.jsonl": "a link is not followed; put the file itself here", "b.jsonl": "it is no file"}


def test_no_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no folder to watch .folder='.*none'"):
        Dropped(tmp_path / "none").look(0.0)
