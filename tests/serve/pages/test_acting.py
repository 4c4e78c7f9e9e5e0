"""What a form changes, and which forms change nothing."""

from __future__ import annotations

import html
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from everlearn import Home, approve, watch
from everlearn.serve.pages.history import History
from everlearn.serve.running import served
from everlearn.serve.teaching import Teaching
from everlearn.versions.inbox import DONE, INBOX, QUARANTINE, Inbox
from everlearn.versions.record import Version
from everlearn.versions.watching import Watcher
from tests.serve.calling import Told, call
from tests.serve.pages.conftest import WATCH, Visitor, row, settings


def answering(url: str) -> str:
    return str(call(url, "POST", "/v1/completions", {"prompt": "owl", "max_tokens": 2}).json["model"])


def said(told: Told) -> str:
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]*>", " ", told.text)))


def test_a_rollback_is_real_and_answers_at_once(home: Home, visitor: Visitor) -> None:
    assert answering(visitor.url) == "v2"
    visitor.get("/versions/v1/rollback")
    head = re.search(r'name="head" value="(\w+)"', visitor.page)
    assert head is not None
    sent = visitor.send("/versions/v1/rollback", False, head=head[1])
    assert sent.status == 303
    assert answering(visitor.url) == "v1"
    assert home.head.number == 1
    assert home.moves[-1]["why"] == "rollback"
    told = visitor.get(sent.headers["location"])
    assert "v1 is in service again." in told.text
    assert "v1 was put back into service." in visitor.get("/").text
    visitor.get("/versions/v2/rollback")  # and forward again
    assert "v2 is in service again." in visitor.send("/versions/v2/rollback", head=home.head.id).text
    visitor.get("/versions/v1/rollback")
    stale = visitor.send("/versions/v1/rollback", head=head[1].replace(head[1][0], "x", 1))
    assert (stale.status, home.head.number) == (400, 2)
    assert "Another version has come into service meanwhile" in stale.text


def test_a_rollback_is_only_from_the_version_that_the_reader_saw(home: Home, visitor: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    visitor.get("/versions/v1/rollback")
    head, can_return = home.head.id, History.can_return

    def meanwhile(self: History, version: Version) -> bool:
        """Another comes into service between the look and the rollback."""
        found = can_return(self, version)
        home.rollback("v0")
        return found

    with monkeypatch.context() as changed:
        changed.setattr(History, "can_return", meanwhile)
        told = visitor.send("/versions/v1/rollback", head=head)
    assert (told.status, home.head.number) == (400, 0)
    assert "Another version has come into service meanwhile" in told.text


def test_a_version_is_in_service_again_only_if_it_is(visitor: Visitor) -> None:
    assert "is in service again" not in visitor.get("/versions/v1?done=rollback").text
    assert "the server is opening it" not in visitor.get("/versions/v1?done=opening").text
    assert "v2 is in service again." in visitor.get("/versions/v2?done=rollback").text


def test_only_what_served_before_is_put_back(home: Home, visitor: Visitor) -> None:
    visitor.get("/versions/v1/rollback")
    token, served = visitor.token, "was in service before"
    for name, status, why in (("v3", 400, served), ("v2", 400, served), ("v9", 404, "no version of that name")):
        told = visitor.send(f"/versions/{name}/rollback", token=token, head=home.head.id)
        assert (told.status, home.head.number) == (status, 2)
        assert why in told.text


def test_a_home_that_is_written_to_is_not_rolled_back(home: Home, visitor: Visitor) -> None:
    visitor.get("/versions/v1/rollback")
    with home.writing():
        told = visitor.send("/versions/v1/rollback", head=home.head.id)
    assert told.status == 503
    assert "being written to" in told.text
    assert home.head.number == 2


def test_a_form_of_another_page_or_browser_changes_nothing(home: Home, visitor: Visitor) -> None:
    visitor.get("/versions/v1/rollback")
    mine, head = visitor.token, home.head.id
    other = Visitor(visitor.url)
    other.get("/versions/v1/rollback")
    assert other.token != mine
    for token in ("", "0" * 64, other.token, mine[:-1] + ("0" if mine[-1] != "0" else "1"), "é"):
        told = visitor.send("/versions/v1/rollback", token=token, head=head)
        assert told.status == 403
        assert "too long ago, or elsewhere" in told.text
    path = "/versions/v1/rollback"
    assert Visitor(visitor.url).send(path, token=mine, head=head).status == 403  # no cookie
    assert call(visitor.url, "POST", path, {"token": mine, "head": head}, Accept="text/html").status == 403  # JSON
    evil = call(visitor.url, "POST", path, None, b"", Origin="https://evil.example", Accept="text/html", Content_Type="application/x-www-form-urlencoded")
    assert evil.status == 403
    assert call(visitor.url, "POST", path, None, b"", Host="evil.example", Accept="text/html").status == 421
    assert call(visitor.url, "GET", path, None, None, Accept="text/html").text.count("<h1>") == 1
    assert home.head.number == 2
    assert visitor.get("/versions/v1/rollback").status == 200
    assert call(visitor.url, "DELETE", path, None, None, Accept="text/html").status == 405


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


def test_who_watches_is_told_and_so_is_what_is_wrong(home: Home, visitor: Visitor) -> None:
    assert "Nobody is watching" in visitor.get("/").text
    watcher = Watcher(home, "/drops")
    watcher.say()
    for path in ("/", "/learn"):
        assert "is running and learns what is in the inbox" in visitor.get(path).text
    watcher.close()


def test_the_memory_is_searched_as_of_a_date(visitor: Visitor) -> None:
    now, then, before = (said(visitor.get(f"/memory?q=mayor&as_of={date}")) for date in ("", "2021-06-01", "2019-01-01"))
    assert "1 found, as they hold now." in now
    assert "1 found, as they held on 2021-06-01." in then
    assert "The mayor is Ann." in then
    assert "from 2020-01-01 until 2024-01-01" in then
    assert "Nothing was found." in before


def test_forms_that_cannot_be_read_are_no_error_of_the_servers(visitor: Visitor) -> None:
    visitor.get("/learn")
    headers: dict[str, Any] = {"Accept": "text/html", "Origin": visitor.url, "Cookie": "; ".join(f"{k}={v}" for k, v in visitor.cookies.items())}
    for kind in ("multipart/form-data", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded", "text/plain", ""):
        for body in (b"", b"\xff\xfe", b"--x\r\nContent-Disposition: form-data\r\n\r\n", b"--x\r\n\r\n--x--", b"a=" + b"&a=" * 100, b"--x" * 100):
            for path in ("/learn", "/versions/v1/rollback", "/sign-in", "/sign-out"):
                told = call(visitor.url, "POST", path, None, body, Content_Type=kind, **headers)
                assert told.status in (400, 403), (kind, body, path)
                assert told.headers["content-type"].startswith("text/html")


@pytest.fixture
def bare(two_made: Path, tmp_path: Path) -> Iterator[Visitor]:
    """A home without documents."""

    with served(Home(shutil.copytree(two_made, tmp_path / "bare"))) as url:
        yield Visitor(url)


def test_a_home_without_documents_says_how_they_come(bare: Visitor) -> None:
    assert "There are no documents yet." in bare.get("/memory").text
    assert "No file has come yet." in bare.get("/learn").text
