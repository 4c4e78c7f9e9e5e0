"""Dropped files: kept whole, handed over once, also after a crash, and forgotten with everything else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from everlearn import DataError, Home, StateError, forget, traces
from everlearn.serve.asking import Overloaded
from everlearn.serve.uploads import FOLDER, ID, SUFFIXES, Uploads, plain_name
from everlearn.streams.files import SUFFIXES as READ
from everlearn.versions.inbox import INBOX, PLACES, QUARANTINE, REASON, Inbox
from everlearn.versions.settings import ServeTable

ROW = json.dumps({"prompt": "Who keeps gate 1?", "completion": " Ann", "source": "people"}).encode() + b"\n"


@pytest.fixture
def uploads(home: Home) -> Uploads:
    """Its own thread does nothing."""
    made = Uploads(home, ServeTable(trusted=["upload:desk"]))
    made.handing.stop()
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


def test_files_of_one_second_are_handed_over_in_the_order_they_came(uploads: Uploads, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("everlearn.serve.uploads.time.time_ns", lambda: 1_767_225_600_000_000_000)  # and the clock stands still
    ids = [uploads.add("desk", f"{n}.jsonl", ROW) for n in range(6)]
    assert ids == sorted(ids)
    assert uploads.waiting()[0].time == "2026-01-01T00:00:00+00:00"
    uploads.hand_over()
    assert [claim.name for claim in Inbox(home).at(INBOX)] == [f"{n}.jsonl" for n in range(6)]


def test_what_was_not_written_to_its_end_does_not_stay(uploads: Uploads, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("everlearn.serve.uploads.os.fsync", full)
    with pytest.raises(StateError, match="No space left"):
        uploads.add("desk", "a.jsonl", ROW, "a.test.jsonl", ROW)
    monkeypatch.undo()
    assert list((home.folder / FOLDER).iterdir()) == []
    left = home.folder / FOLDER / ".20260101T000000000000001-00000000-others"  # by a server that was killed
    left.mkdir()
    (left / "a.jsonl").write_bytes(ROW)
    Uploads(home, ServeTable()).close()
    assert list((home.folder / FOLDER).iterdir()) == []


def test_the_inbox_is_listed_once_for_all_that_waits(uploads: Uploads, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    for n in range(3):
        uploads.add("desk", f"{n}.jsonl", ROW)
    at, listed = Inbox.at, list[str]()
    monkeypatch.setattr(Inbox, "at", lambda self, place: listed.append(place) or at(self, place))
    uploads.hand_over()
    assert sorted(listed) == sorted(PLACES)


def test_no_more_wait_than_may(uploads: Uploads, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("everlearn.serve.uploads.MOST", 2)
    for name in ("a.jsonl", "b.jsonl"):
        uploads.add("desk", name, ROW)
    with pytest.raises(Overloaded, match=r"too many files wait for the inbox \(waiting=2\)"):
        uploads.add("desk", "c.jsonl", ROW)
    uploads.hand_over()
    assert uploads.add("desk", "c.jsonl", ROW)


def test_a_part_of_a_path_is_no_upload(uploads: Uploads, home: Home) -> None:
    uploads.add("desk", "a.jsonl", ROW)
    uploads.hand_over()
    parts = Path(Inbox(home).at(INBOX)[0].originals[0].path).parts
    assert {uploads.claim(part) for part in parts[:-2]} == {None}
    assert uploads.claim(parts[-2]) is not None
