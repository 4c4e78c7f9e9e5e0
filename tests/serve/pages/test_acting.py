"""What a form changes, and which forms change nothing."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from everlearn import Home
from everlearn.serve.pages.history import History
from everlearn.serve.running import served
from everlearn.versions.record import Version
from everlearn.versions.watching import Watcher
from tests.serve.calling import call
from tests.serve.pages.conftest import Visitor, said


def answering(url: str) -> str:
    return str(call(url, "POST", "/v1/completions", {"prompt": "owl", "max_tokens": 2}).json["model"])


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
