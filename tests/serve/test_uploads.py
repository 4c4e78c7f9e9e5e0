"""Dropped files: kept whole, handed over once, also after a crash, and forgotten with everything else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from everlearn import DataError, Home, StateError, forget, traces
from everlearn.serve.uploads import FOLDER, ID, SUFFIXES, Uploads, plain_name
from everlearn.streams.files import SUFFIXES as READ
from everlearn.versions.inbox import INBOX, QUARANTINE, REASON, Inbox
from everlearn.versions.settings import ServeTable

ROW = json.dumps({"prompt": "Who keeps gate 1?", "completion": " Ann", "source": "people"}).encode() + b"\n"


@pytest.fixture
def uploads(home: Home) -> Uploads:
    """Its own thread does nothing."""
    made = Uploads(home, ServeTable(trusted=["upload:desk"]))
    made._stop.set()
    made._thread.join()
    return made


def test_the_suffixes_are_those_that_are_read() -> None:
    assert SUFFIXES == READ


def test_a_file_is_handed_over_once_to_where_its_sender_is_trusted_to(uploads: Uploads, home: Home) -> None:
    trusted = uploads.add("desk", "ours.jsonl", ROW, "ours.test.csv", b"prompt,completion\na,b\n")
    others = uploads.add("", "theirs.jsonl", ROW)
    assert ID.fullmatch(trusted)
    assert {(one.id, one.name, one.test) for one in uploads.waiting()} == {(trusted, "ours.jsonl", "ours.test.csv"), (others, "theirs.jsonl", "")}
    uploads.hand_over()
    uploads.hand_over()
    assert uploads.waiting() == []
    (mine,), (theirs,) = Inbox(home).at(INBOX), Inbox(home).at(QUARANTINE)
    assert (mine.name, mine.data.read_bytes(), mine.tests and mine.tests.name) == ("ours.jsonl", ROW, "ours.test.csv")
    assert "[serve] trusted does not name" in (theirs.place / REASON).read_text()
    assert f"approve HOME {theirs.number}" in (theirs.place / REASON).read_text()
    assert uploads.claim(others) == theirs
    assert uploads.claim("20260101T000000-00000000-others") is None


@pytest.mark.parametrize("caller", ["desk", ""])
def test_what_was_stopped_just_before_the_end_is_not_taken_twice(uploads: Uploads, home: Home, caller: str, monkeypatch: pytest.MonkeyPatch) -> None:
    id = uploads.add(caller, "a.jsonl", ROW)
    monkeypatch.setattr(Inbox, "take_away", lambda self, claim: claim)  # it stops before the original goes
    monkeypatch.setattr("everlearn.serve.uploads.shutil.rmtree", lambda *_, **__: None)
    uploads.hand_over()
    monkeypatch.undo()
    assert (home.folder / FOLDER / id / "a.jsonl").exists()
    uploads.hand_over()
    assert len(Inbox(home).at(INBOX)) + len(Inbox(home).at(QUARANTINE)) == 1
    assert list((home.folder / FOLDER).iterdir()) == []


def test_another_server_finishes_what_waits(uploads: Uploads, home: Home) -> None:
    uploads.add("desk", "a.jsonl", ROW)
    Uploads(home, ServeTable()).close()
    assert [claim.name for claim in Inbox(home).at(INBOX)] == ["a.jsonl"]


def test_a_file_that_waits_is_forgotten_too(uploads: Uploads, home: Home) -> None:
    uploads.add("desk", "a.jsonl", ROW)
    uploads.add("desk", "b.jsonl", ROW + ROW.replace(b"people", b"others").replace(b"gate 1", b"gate 2"))
    assert len(traces(home, "people")) == 2
    forget(home, source="people")
    assert traces(home, "people") == []
    assert [one.name for one in uploads.waiting()] == ["b.jsonl"]
    (home.folder / "forgetting.json").write_text("{}")
    with pytest.raises(StateError, match="being forgotten"):
        uploads.add("desk", "c.jsonl", ROW)


@pytest.mark.parametrize("name", ["a.txt", ".jsonl", "", "a.jsonl/", "..", "a.json"])
def test_a_name_that_is_none_is_refused(uploads: Uploads, name: str) -> None:
    with pytest.raises(DataError, match="must end in"):
        uploads.add("", name, ROW)


def test_a_name_keeps_its_end(tmp_path: Path) -> None:
    assert plain_name("新" * 200 + ".JSONL.GZ") == "新" * 40 + ".JSONL.GZ"
    (tmp_path / plain_name("a\n\0b:c.csv")).write_text("x")


def test_an_empty_file_is_refused(uploads: Uploads) -> None:
    with pytest.raises(DataError, match="is empty"):
        uploads.add("", "a.csv", b"")
    with pytest.raises(DataError, match="is empty"):
        uploads.add("", "a.csv", ROW, "a.test.csv", b"")
    assert uploads.waiting() == []
