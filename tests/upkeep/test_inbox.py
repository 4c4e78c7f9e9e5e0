"""What a home takes from a folder is in one of the two at every moment, and under one number."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from everlearn import DataError, SettingError, StateError
from everlearn.versions.home import Home
from everlearn.versions.inbox import DONE, INBOX, QUARANTINE, Claim, Inbox


@pytest.fixture
def inbox(quick_home: Home) -> Inbox:
    return Inbox(quick_home)


def stopped(*_: object) -> None:
    raise KeyboardInterrupt


def claimed(inbox: Inbox, data: Path, test: Path | None = None) -> Claim:
    found = inbox.claim(data, test)
    assert found is not None
    return found


def test_a_file_moves_from_the_folder_into_the_inbox(inbox: Inbox, drops: Path) -> None:
    (drops / "a.jsonl").write_text("one")
    (drops / "a.test.jsonl").write_text("two")
    claim = claimed(inbox, drops / "a.jsonl", drops / "a.test.jsonl")
    assert list(drops.iterdir()) == []
    assert (claim.label, claim.data.read_text(), claim.tests and claim.tests.read_text()) == ("000001-a.jsonl", "one", "two")
    assert inbox.at(INBOX) == [claim]
    assert inbox.next() == 2


def test_numbers_are_not_used_again(inbox: Inbox, drops: Path) -> None:
    for place in (DONE, QUARANTINE):
        (drops / "a.jsonl").write_text("x")
        inbox.move(claimed(inbox, drops / "a.jsonl"), place)
    assert inbox.next() == 3


def test_an_original_that_a_crash_left_is_removed_and_not_taken_again(inbox: Inbox, drops: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (drops / "a.jsonl").write_text("x")
    with monkeypatch.context() as patched:
        patched.setattr(Inbox, "take_away", stopped)
        with pytest.raises(KeyboardInterrupt):
            inbox.claim(drops / "a.jsonl", None)
    assert (drops / "a.jsonl").exists()
    inbox.recover()
    assert list(drops.iterdir()) == []
    assert [(c.number, c.taken) for c in inbox.at(INBOX)] == [(1, True)]


def test_an_equal_file_that_comes_later_is_another_one(inbox: Inbox, drops: Path) -> None:
    (drops / "a.jsonl").write_text("x")
    claimed(inbox, drops / "a.jsonl")
    (drops / "a.jsonl").write_text("x")
    inbox.recover()
    assert (drops / "a.jsonl").exists()
    assert claimed(inbox, drops / "a.jsonl").number == 2


def test_a_file_that_changed_while_it_was_copied_is_left_for_the_next_look(inbox: Inbox, drops: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (drops / "a.jsonl").write_text("x")
    save = Claim.save

    def grown(claim: Claim) -> None:
        save(claim)
        (drops / "a.jsonl").write_text("x and more")

    monkeypatch.setattr(Claim, "save", grown)
    assert inbox.claim(drops / "a.jsonl", None) is None
    monkeypatch.undo()
    assert [path.name for path in drops.iterdir()] == ["a.jsonl"]
    assert inbox.at(INBOX) == []
    assert claimed(inbox, drops / "a.jsonl").data.read_text() == "x and more"


def test_a_file_put_in_the_place_of_one_that_is_just_removed_stays(inbox: Inbox, drops: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (drops / "a.jsonl").write_text("x")
    rename = os.rename

    def late(old: Path, new: Path) -> None:
        if Path(old) == drops / "a.jsonl":
            (drops / "other").write_text("newer")
            rename(drops / "other", drops / "a.jsonl")
        rename(old, new)

    monkeypatch.setattr(os, "rename", late)
    claim = claimed(inbox, drops / "a.jsonl")
    monkeypatch.undo()
    assert claim.data.read_text() == "x"
    assert [(path.name, path.read_text()) for path in drops.iterdir()] == [("a.jsonl", "newer")]


def test_one_that_went_before_it_was_copied_is_none(inbox: Inbox, drops: Path) -> None:
    assert inbox.claim(drops / "a.jsonl", None) is None
    assert inbox.at(INBOX) == []


def test_a_link_is_not_followed(inbox: Inbox, drops: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    (drops / "a.jsonl").symlink_to(tmp_path / "secret")
    with pytest.raises(DataError, match="cannot be read .file='.*a.jsonl'"):
        inbox.claim(drops / "a.jsonl", None)
    (drops / "b.jsonl").mkdir()
    with pytest.raises(DataError, match="this is no file .file='.*b.jsonl'"):
        inbox.claim(drops / "b.jsonl", None)


NOT_UTF8 = b"caf\xe9.jsonl".decode("utf-8", "surrogateescape")


@pytest.mark.parametrize("name", ["claim.json", "reason.txt", "tests", "北" * 80 + ".jsonl", NOT_UTF8, "a\nb:c.jsonl"])
def test_any_name_is_taken(inbox: Inbox, drops: Path, name: str) -> None:
    (drops / name).write_text("x")
    claim = claimed(inbox, drops / name)
    assert claim.data.read_text() == "x"
    assert claim.name.encode().endswith(Path(name).suffix.encode())
    assert inbox.at(INBOX) == [claim]


@pytest.mark.parametrize(("field", "value"), [("name", "../../home.json"), ("test", "/etc/passwd"), ("name", ".."), ("name", ""), ("number", 7)])
def test_a_record_that_leads_elsewhere_is_refused(inbox: Inbox, drops: Path, field: str, value: object) -> None:
    (drops / "a.jsonl").write_text("x")
    record = claimed(inbox, drops / "a.jsonl").place / "claim.json"
    record.write_text(json.dumps({**json.loads(record.read_text()), field: value}))
    with pytest.raises(StateError, match=f"what was taken cannot be read .*(name|number)={value!r}"):
        inbox.at(INBOX)


def test_what_waits_is_named_by_file_or_number(inbox: Inbox, drops: Path) -> None:
    for _ in range(2):
        (drops / "a.jsonl").write_text("x")
        inbox.move(claimed(inbox, drops / "a.jsonl"), QUARANTINE, "why")
    assert inbox.waiting("2").number == 2
    assert (inbox.waiting("000001-a.jsonl").place / "reason.txt").read_text() == "why\n"
    with pytest.raises(SettingError, match="more than one such file waits in quarantine .name='a.jsonl'"):
        inbox.waiting("a.jsonl")
    with pytest.raises(SettingError, match="no such file waits in quarantine .name='../a.jsonl'"):
        inbox.waiting("../a.jsonl")
