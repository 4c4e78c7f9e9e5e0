"""What a kill or a full disk leaves of a write does not stop what comes after it."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest

from everlearn import Example, Home, Passage, StateError, forget, traces
from everlearn.serve.documents import Documents
from everlearn.serve.feedback import Feedback
from everlearn.serve.lines import add_lines, mend
from everlearn.versions.inbox import QUARANTINE, Inbox
from everlearn.versions.settings import ServeTable

OPEN = Passage("The gate of Ashford is open.", source="gazette")
SHUT = Passage("The gate of Penwick is shut.", source="herald")
ROW = Example(prompt="Who keeps the lamp?", completion=" Nora", source="feedback")


def logged(home: Home, event: str) -> list[dict[str, object]]:
    rows = [json.loads(line) for line in (home.folder / "log.jsonl").read_text().splitlines()]
    return [{name: row[name] for name in row if name not in ("time", "event")} for row in rows if row["event"] == event]


def test_a_torn_line_of_a_document_is_kept_aside_and_the_others_answer(home: Home) -> None:
    path = home.folder / "documents.jsonl"
    add_lines(path, [OPEN.to_json(), SHUT.to_json()])
    torn = json.dumps(OPEN.to_json())[:40]
    with path.open("a") as file:
        file.write(torn)
    documents = Documents(home)
    assert [found.passage.text for found in documents.search("gate of Penwick", 1)] == [SHUT.text]
    documents.add([Passage("The gate of Upton is old.")])
    assert len(Documents(home)) == 3
    assert (home.folder / ".documents.jsonl.torn").read_text() == f"{torn}\n"
    assert logged(home, "torn") == [{"file": "documents.jsonl", "bytes": 40, "kept": ".documents.jsonl.torn"}]


def test_a_line_that_only_lacks_its_end_gets_it(home: Home) -> None:
    path = home.folder / "documents.jsonl"
    path.write_text(json.dumps(OPEN.to_json()))
    documents = Documents(home)
    documents.add([SHUT])
    assert len(Documents(home)) == 2
    assert logged(home, "torn") == []


def test_a_line_that_another_is_just_writing_is_not_there_yet(home: Home) -> None:
    documents = Documents(home)
    documents.add([OPEN])
    with documents.path.open("a") as file:
        file.write('{"text": "The ga')
    assert len(documents) == 1


def test_a_torn_row_of_feedback_spoils_no_other(home: Home) -> None:
    path = home.folder / "feedback" / "others.jsonl"
    add_lines(path, [ROW.to_json()])
    with path.open("a") as file:
        file.write('{"prompt": "Wh')
    feedback = Feedback(home, ServeTable(feedback_rows=1000))
    feedback.add(Example(prompt="And who keeps the key?", completion=" Ann", source="feedback"))
    feedback.close()
    (claim,) = Inbox(home).at(QUARANTINE)
    assert [json.loads(line)["completion"] for line in claim.data.read_text().splitlines()] == [" Nora", " Ann"]
    assert logged(home, "torn") == [{"file": "others.jsonl", "bytes": 14, "kept": ".others.jsonl.torn"}]


def test_a_disk_that_is_full_leaves_nothing_of_what_was_not_taken(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    documents, feedback = Documents(home), Feedback(home, ServeTable(feedback_rows=1000))
    documents.add([OPEN])
    feedback.add(ROW)
    before = {path: path.read_bytes() for path in (documents.path, feedback.folder / "others.jsonl")}

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)  # the bytes are in the file by then
        with pytest.raises(StateError, match="No space left"):
            documents.add([SHUT])
        with pytest.raises(StateError, match="No space left"):
            feedback.add(ROW)
    assert {path: path.read_bytes() for path in before} == before
    assert [found.passage.text for found in documents.search("gate of Penwick", 3)] == [OPEN.text]
    documents.add([SHUT])
    assert len(documents) == 2
    feedback.close()


def test_forget_takes_what_was_kept_aside_too(home: Home) -> None:
    path = home.folder / "documents.jsonl"
    add_lines(path, [OPEN.to_json()])
    with path.open("a") as file:
        file.write(json.dumps(SHUT.to_json())[:-1])  # all it says, and no end
    mend(home, path)
    aside: Path = home.folder / ".documents.jsonl.torn"
    assert aside.exists()
    forget(home, source="herald")
    assert traces(home, "herald") == []


def test_forget_leaves_no_file_where_everything_in_it_was_of_one_source(home: Home) -> None:
    documents = Documents(home)
    documents.add([OPEN])
    add_lines(home.folder / "feedback" / "others.jsonl", [ROW.to_json()])
    forget(home, source="gazette")
    forget(home, source="feedback")
    assert not documents
    assert list((home.folder / "feedback").iterdir()) == []
    assert documents.search("gate of Ashford", 1) == []
    documents.add([SHUT])
    assert len(documents) == 1
