"""What the pages say of a file, also while it moves on."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from everlearn import Home, StateError, watch
from everlearn.serve.pages.files import Files
from everlearn.serve.uploads import FOLDER, Uploads
from everlearn.versions.inbox import DONE, INBOX, QUARANTINE, REJECTED, Claim, Inbox
from everlearn.versions.settings import ServeTable
from tests.serve.pages.conftest import Visitor, row, settings


@pytest.fixture
def uploads(home: Home) -> Uploads:
    """Its own thread does nothing."""
    made = Uploads(home, ServeTable(trusted=["upload:desk"]))
    made.handing.stop()
    return made


@pytest.fixture
def moving(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], None]:
    """Do something, once, just before the next claim's record is read."""

    def make(then: Callable[[], object]) -> None:
        load, due = Claim.load, [then]

        def late(place: Path) -> Claim:
            if due:
                due.pop()()
            return load(place)

        monkeypatch.setattr(Claim, "load", late)

    return make


def taken(uploads: Uploads, name: str, caller: str = "desk", data: bytes = b"") -> str:
    id = uploads.add(caller, name, data or row(1))
    uploads.hand_over()
    return id


def test_a_file_stays_accepted_or_refused_whatever_is_in_service(home: Home, uploads: Uploads) -> None:
    taken(uploads, "good.jsonl")
    list(watch(home, once=True))
    settings(gate={"least_gain": 0.5, "most_loss": "off", "most_stale": "off"}).save(home.folder / "everlearn.toml")
    uploads.add("desk", "bad.jsonl", row(2), "bad.test.jsonl", row(5, "none such"))
    uploads.hand_over()
    list(watch(home, once=True))

    def states() -> list[tuple[str, str, bool]]:
        return [(one.name, one.state, one.settled) for one in Files(home, uploads).every()]

    assert states() == [("bad.jsonl", "refused", True), ("good.jsonl", "promoted", True)]
    home.rollback(0)
    assert states()[1] == ("good.jsonl", "promoted", True)
    home.promote(home.versions()[-1].id)  # against the gate
    assert states()[0] == ("bad.jsonl", "by_hand", True)
    home.rollback(0)
    assert states()[0] == ("bad.jsonl", "by_hand", True)


def test_the_page_of_a_file_does_not_say_that_its_version_is_in_service(home: Home, visitor: Visitor) -> None:
    visitor.drop("good.jsonl", row(1))
    list(watch(home, once=True))
    home.rollback(0)
    told = visitor.get("/learn/1").text
    assert '<span class="badge promoted">accepted</span> It was learned and accepted: v4.' in told
    assert '<span class="badge promoted">已通过</span>' in visitor.get("/learn/1?lang=zh").text
    settings(gate={"least_gain": 0.5, "most_loss": "off", "most_stale": "off"}).save(home.folder / "everlearn.toml")
    visitor.drop("bad.jsonl", row(2), ("bad.test.jsonl", row(5, "none such")))
    list(watch(home, once=True))
    home.promote(home.versions()[-1].id)
    told = visitor.get("/learn/2?lang=en").text
    assert "did not go into service" not in told
    assert "It was learned and the gate refused it; v5 was put into service by hand." in told


@pytest.mark.parametrize(("begins", "ends"), [(INBOX, DONE), (INBOX, REJECTED), (INBOX, QUARANTINE), (QUARANTINE, INBOX), (QUARANTINE, REJECTED)])
def test_a_file_that_moves_while_it_is_looked_at_is_shown_once(
    home: Home, uploads: Uploads, moving: Callable[[Callable[[], object]], None], begins: str, ends: str
) -> None:
    for name in ("a.jsonl", "b.jsonl"):
        taken(uploads, name, "desk" if begins == INBOX else "")
    inbox = Inbox(home)
    first = inbox.at(begins)[0]
    moving(lambda: inbox.move(first, ends))
    assert [one.name for one in inbox.at(begins)] == ["b.jsonl"]
    first = inbox.at(begins)[0]
    moving(lambda: inbox.move(first, ends))
    assert [one.name for one in Files(home, uploads).every()] == ["b.jsonl", "a.jsonl"]


def test_a_claim_that_is_broken_is_still_an_error(home: Home, uploads: Uploads) -> None:
    taken(uploads, "a.jsonl")
    (Inbox(home).at(INBOX)[0].place / "claim.json").write_text("{")
    with pytest.raises(StateError, match="cannot be read"):
        Inbox(home).at(INBOX)


def test_a_file_that_is_handed_over_while_it_is_looked_at_is_shown_once(home: Home, uploads: Uploads, monkeypatch: pytest.MonkeyPatch) -> None:
    id, waiting = uploads.add("desk", "a.jsonl", row(1)), uploads.waiting

    def then_gone() -> list[object]:
        found = waiting()
        uploads.hand_over()
        return list(found)

    monkeypatch.setattr(uploads, "waiting", then_gone)
    files = Files(home, uploads)
    assert [(one.id, one.state) for one in files.every()] == [("1", "waiting")]
    found = files.one(id)
    assert found is not None and found.id == "1"  # noqa: PT018


def test_what_waits_is_told_without_what_is_being_written_or_is_gone(home: Home, uploads: Uploads, monkeypatch: pytest.MonkeyPatch) -> None:
    id = uploads.add("desk", "a.jsonl", row(1), "a.test.jsonl", row(1))
    gone = uploads.add("desk", "b.jsonl", row(1))
    (home.folder / FOLDER / id / ".a.jsonl.writing").write_text("x")
    (home.folder / FOLDER / id / "tests" / ".a.test.jsonl.writing").write_text("x")
    folders = uploads._folders()
    monkeypatch.setattr(uploads, "_folders", lambda: folders)
    os.rename(home.folder / FOLDER / gone, home.folder / "elsewhere")
    assert [(one.name, one.test) for one in uploads.waiting()] == [("a.jsonl", "a.test.jsonl")]


def test_a_file_is_no_part_of_a_path(home: Home, visitor: Visitor) -> None:
    visitor.drop("good.jsonl", row(1))
    for part in Path(Inbox(home).at(INBOX)[0].originals[0].path).parts[1:-2]:
        assert visitor.get(f"/learn/{part}").status == 404


def test_a_file_that_was_taken_is_no_error_whatever_the_look_after_it_finds(home: Home, visitor: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: Uploads, id: str) -> None:
        raise StateError("what was taken cannot be read")

    monkeypatch.setattr(Uploads, "claim", broken)
    told = visitor.drop("good.jsonl", row(1), follow=False)
    assert (told.status, told.headers["location"][:8]) == (303, "/learn/2")
    monkeypatch.undo()
    assert visitor.get(told.headers["location"]).headers["location"] == "/learn/1"
