"""Files dropped on a page: learned, refused, rejected, waiting, and where they lie."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from everlearn import Home, approve, watch
from everlearn.serve.running import served
from everlearn.serve.teaching import Teaching
from everlearn.versions.inbox import DONE, INBOX, QUARANTINE, Inbox
from everlearn.versions.watching import watched
from tests.serve.pages.conftest import WATCH, Visitor, row, said, settings


def test_a_dropped_file_is_learned_by_who_watches(home: Home, visitor: Visitor, tmp_path: Path) -> None:
    (tmp_path / "drops").mkdir()
    told = visitor.drop("mills.jsonl", b"".join(map(row, range(8))), ("mills.test.jsonl", row(1) + row(2)))
    assert "waiting" in said(told)
    assert "Learn now" in said(told)
    assert "with tests from mills.test.jsonl" in said(told)
    (claim,) = Inbox(home).at(INBOX)
    assert (claim.name, claim.test) == ("mills.jsonl", "mills.test.jsonl")
    assert list((home.folder / "uploads").iterdir()) == []
    seen = set[str]()

    def look(what: str, share: float) -> None:
        told = visitor.get(f"/learn/{claim.number}")
        seen.add(" ".join(re.findall(r'<span class="badge (\w+)"', told.text)) + (" " + what if "<progress" in told.text else ""))
        assert "Learn now" not in told.text

    list(watch(home, tmp_path / "drops", once=True, progress=look))
    assert {"learning learning", "learning"} <= seen  # with how far it is, then tested
    told = visitor.get(f"/learn/{claim.number}")
    assert "It was learned and accepted: v4." in said(told)
    assert "The gate's reasons" in said(told)
    assert 'href="/versions/v4"' in told.text
    assert "data-live" not in told.text
    assert "mills.jsonl" in said(visitor.get("/learn"))
    assert f'href="/learn/{claim.number}"' in visitor.get("/versions/v4").text


def test_a_refused_and_a_rejected_file_say_why(home: Home, visitor: Visitor, tmp_path: Path) -> None:
    settings(gate={"least_gain": 0.5, "most_loss": "off", "most_stale": "off"}).save(home.folder / "everlearn.toml")
    (tmp_path / "drops").mkdir()
    numbers = []
    for name, data, test in (("a.jsonl", row(1), ("a.test.jsonl", row(5, "none such"))), ("b.jsonl", b"no JSON <b>\n", None)):
        visitor.drop(name, data, test)
        numbers.append(Inbox(home).at(INBOX)[-1].number)
    list(watch(home, tmp_path / "drops", once=True))
    refused, rejected = (visitor.get(f"/learn/{number}") for number in numbers)
    assert "the gate refused it: v4 did not go into service" in said(refused)
    assert "Nothing was learned" in said(refused)
    assert "It cannot be learned." in said(rejected)
    assert "b.jsonl:1: not JSON" in said(rejected)
    assert "<b>" not in rejected.text
    assert re.search(r'<span lang="en">[^<]*b.jsonl:1: not JSON', visitor.get(f"/learn/{numbers[1]}?lang=zh").text)


def test_a_file_that_is_not_trusted_waits_for_its_owner(home: Home, tmp_path: Path) -> None:
    settings(serve={}).save(home.folder / "everlearn.toml")
    (tmp_path / "drops").mkdir()
    (tmp_path / "keys").write_text("desk a-key-of-the-desk-1\n")
    with served(home, keys=tmp_path / "keys") as url:
        visitor = Visitor(url)
        visitor.get("/sign-in")
        visitor.send("/sign-in", key="a-key-of-the-desk-1", next="/learn")
        assert "wait in quarantine" in said(visitor.get("/learn"))
        told = visitor.drop("mills.jsonl", row(1))
        assert "waits for approval" in said(told)
        (claim,) = Inbox(home).at(QUARANTINE)
        assert f"everlearn approve HOME {claim.number}" in said(told)
        assert "来源不在 [serve] trusted 之列" in said(visitor.get(f"/learn/{claim.number}?lang=zh"))
        assert list(watch(home, tmp_path / "drops", once=True)) == []
        approve(home, str(claim.number))
        assert [taken.became for taken in watch(home, tmp_path / "drops", once=True)] == ["promoted"]
        assert "已学习并通过检查" in said(visitor.get(f"/learn/{claim.number}"))


def test_a_file_of_the_machines_owner_is_learned_by_a_process_that_the_page_starts(home: Home, tmp_path: Path) -> None:
    settings(serve={}).save(home.folder / "everlearn.toml")
    with served(home) as url:
        visitor = Visitor(url)
        assert "Learn now" not in said(visitor.get("/learn"))  # nothing waits
        visitor.drop("mills.jsonl", row(1), ("mills.test.jsonl", row(1)))
        (claim,) = Inbox(home).at(INBOX)
        assert visitor.send("/learn/start", False, token="0" * 64).status == 403
        assert "Learn now" in said(visitor.get(f"/learn/{claim.number}"))
        told = visitor.send("/learn/start", False, back=str(claim.number))
        assert (told.status, told.headers["location"]) == (303, f"/learn/{claim.number}")
        for _ in range(1200):
            told = visitor.get(f"/learn/{claim.number}")
            if "data-live" not in told.text:
                break
            time.sleep(0.1)
        assert "It was learned and accepted: v4." in said(told)
        (home.folder / "everlearn.toml").write_text("[learn]\nrecipe = 7\n")
        broken = Teaching(home)
        for _ in range(1200):  # what the page started has learned, and may not have ended yet
            if watched(home) is None:
                break
            time.sleep(0.1)
        assert broken.start()
        for _ in range(1200):
            if not broken.running:
                break
            time.sleep(0.1)
        assert "everlearn.toml" in broken.problem


def test_learning_that_leaves_files_says_what_they_wait_for(home: Home, visitor: Visitor) -> None:
    settings(watch={**WATCH, "boundaries": "every(rows=1000)"}).save(home.folder / "everlearn.toml")
    visitor.drop("mills.jsonl", row(1))
    visitor.send("/learn/start", back="1")
    for _ in range(1200):
        told = visitor.get("/learn/1")
        if "Gathering" in told.text or "Learning stopped" in told.text:
            break
        time.sleep(0.1)
    assert "Gathering, boundaries 'every(rows=1000)': 1 files with 1 rows wait." in said(told)
    assert re.search('<span lang="en">Gathering', visitor.get("/learn?lang=zh").text)
    Inbox(home).move(Inbox(home).at(INBOX)[0], DONE)
    assert "Gathering" not in visitor.get("/learn").text


def test_a_file_waits_while_the_home_is_written_to(home: Home, visitor: Visitor) -> None:
    with home.writing():
        sent = visitor.drop("mills.jsonl", row(1), follow=False)
        place = sent.headers["location"]
        assert "received" in said(visitor.get(place))
        assert "mills.jsonl" in said(visitor.get("/learn"))
    for _ in range(600):
        told = visitor.get(place)
        if told.status == 303:
            break
    assert told.headers["location"].startswith("/learn/")
    assert "waiting" in said(visitor.get(told.headers["location"]))


@pytest.mark.parametrize(
    ("name", "data", "status", "why"),
    [
        ("notes.txt", b"x", 400, "This kind of file cannot be learned."),
        ("../../../.jsonl", b"x", 400, "This kind of file cannot be learned."),
        ("a.jsonl", b"", 400, "The file is empty."),
        ("a.jsonl", b"x" * 250_000, 413, "Too large"),
        ("", b"", 400, "Choose a file first."),
    ],
)
def test_what_is_no_file_to_learn_is_turned_away(home: Home, visitor: Visitor, name: str, data: bytes, status: int, why: str) -> None:
    visitor.get("/learn")
    told = visitor.drop(name, data)
    assert told.status == status
    assert why in told.text
    assert Inbox(home).at(INBOX) == []


def test_a_file_is_kept_in_the_home_alone_whatever_it_is_called(home: Home, visitor: Visitor, tmp_path: Path) -> None:
    before = {path for path in tmp_path.rglob("*") if home.folder not in path.parents}
    for name in ("../../../evil.jsonl", "..\\..\\evil2.jsonl", "/etc/evil3.jsonl", "claim.json.jsonl", "a" * 300 + ".jsonl", "新闻.jsonl"):
        assert visitor.drop(name, row(1)).status == 200
    assert {path for path in tmp_path.rglob("*") if home.folder not in path.parents} == before
    assert [claim.name for claim in Inbox(home).at(INBOX)] == [
        "evil.jsonl",
        "evil2.jsonl",
        "evil3.jsonl",
        "claim.json.jsonl",
        "a" * 120 + ".jsonl",
        "新闻.jsonl",
    ]
    assert "新闻.jsonl" in visitor.get("/learn").text
