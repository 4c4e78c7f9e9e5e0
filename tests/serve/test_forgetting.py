"""What `everlearn forget` takes out of a home is in no file of a server's, whatever that is doing at the same moment."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from everlearn import Example, Home, Passage, StateError, forget, traces
from everlearn.serve import documents as module
from everlearn.serve.documents import Documents
from everlearn.serve.feedback import Feedback
from everlearn.serve.opening import open_served
from everlearn.upkeep.proof import Searched, searched
from everlearn.upkeep.wanted import Wanted
from everlearn.versions.settings import ServeTable
from tests.serve.conftest import home_of

GAZETTE = Passage("The mayor of Ashford is Annabella.", source="gazette")
HERALD = Passage("The mayor of Penwick is Bonifatius.", source="herald")


def until(true: Callable[[], bool]) -> None:
    for _ in range(3000):
        if true():
            return
        time.sleep(0.02)
    raise AssertionError("it did not come to be so")


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary files go."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setenv("TMPDIR", str(folder))
    return folder


def holding(folder: Path, text: str) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and text.encode() in path.read_bytes()]


def test_documents_lie_in_their_file_alone(home: Home, elsewhere: Path) -> None:
    documents = Documents(home)
    documents.add([GAZETTE, HERALD])
    assert documents.search("mayor of Ashford", 1)[0].passage.text == GAZETTE.text
    assert holding(elsewhere, "Annabella") == []
    assert holding(home.folder, "Annabella") == [documents.path]


def test_what_a_served_version_remembers_lies_in_no_file_of_the_servers(tmp_path: Path, elsewhere: Path) -> None:
    home = home_of(tmp_path / "home", "retrieval")
    before = holding(elsewhere, "Penwick")
    served = open_served(home, home.head)
    assert served.read([Example(prompt="Question: Where does the owl number 3 live?\nAnswer:", completion="")])[0].prompt is not None
    assert holding(elsewhere, "Penwick") == before  # the learner's, which goes with its process


@pytest.mark.parametrize("verb", ["add", "delete"])
def test_a_change_that_is_under_way_does_not_bring_back_what_is_forgotten(home: Home, monkeypatch: pytest.MonkeyPatch, verb: str) -> None:
    documents = Documents(home)
    documents.add([GAZETTE, HERALD])
    begun, go, problems = threading.Event(), threading.Event(), list[Exception]()
    name = "add_lines" if verb == "add" else "write_whole"
    real = getattr(module, name)

    def slow(*given: object) -> None:
        begun.set()
        go.wait()
        real(*given)

    monkeypatch.setattr(module, name, slow)
    late = Passage("The mayor of Upton is Annabella too.", source="gazette")
    change = threading.Thread(target=lambda: documents.add([late]) if verb == "add" else documents.delete("herald"))
    change.start()
    begun.wait()

    def taken_back() -> None:
        try:
            forget(home, source="gazette")
        except Exception as problem:
            problems.append(problem)

    taking = threading.Thread(target=taken_back)
    taking.start()
    until(lambda: (home.folder / "forgetting.json").exists() or not taking.is_alive())
    go.set()
    change.join()
    taking.join()
    assert problems == []
    assert traces(home, "gazette") == []
    assert len(documents) == (1 if verb == "add" else 0)


def test_nothing_comes_in_before_the_proof_is_done(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    documents, feedback, refused = Documents(home), Feedback(home, ServeTable(feedback_rows=1000)), list[str]()
    documents.add([GAZETTE])

    def meanwhile(home: Home, wanted: Wanted) -> Searched:
        for bring in (lambda: documents.add([GAZETTE]), lambda: feedback.add(Example(prompt="Who?", completion=" Ann", source="gazette"))):
            try:
                bring()
            except StateError as problem:
                refused.append(str(problem))
        return searched(home, wanted)

    monkeypatch.setattr("everlearn.upkeep.forget.searched", meanwhile)
    forget(home, source="gazette")
    assert [told.partition(" (")[0] for told in refused] == ["something is being forgotten here"] * 2
    documents.add([GAZETTE])
    assert len(documents) == 1
    feedback.close()
