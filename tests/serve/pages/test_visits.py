"""With keys the pages ask for one: sign-in, what a cookie opens and what it does not, sign-out, wrong keys."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from everlearn import Home
from everlearn.serve.guard import hashed_key
from everlearn.serve.pages import visits
from everlearn.serve.pages.visits import TRIES, TooManyTriesError, Visits, cookie, is_page
from everlearn.serve.running import served
from everlearn.serve.teaching import Teaching
from everlearn.versions.inbox import INBOX, QUARANTINE, Inbox
from tests.serve.calling import call
from tests.serve.pages.conftest import Visitor, row, settings

KEY, OTHER = "a-key-of-the-desk-1", "a-key-of-the-press-2"


@pytest.fixture
def keyed(home: Home, tmp_path: Path) -> Iterator[Visitor]:
    (tmp_path / "keys").write_text(f"desk {KEY}\npress {OTHER}\n")
    settings(serve={"trusted": ["upload:desk"], "writers": ["desk"]}).save(home.folder / "everlearn.toml")
    with served(home, keys=tmp_path / "keys") as url:
        yield Visitor(url)


def signed_in(visitor: Visitor, key: str = KEY) -> Visitor:
    visitor.get("/sign-in")
    visitor.send("/sign-in", key=key, next="/versions")
    return visitor


def test_every_page_leads_to_the_sign_in_and_tells_nothing_before(keyed: Visitor, home: Home) -> None:
    for path in ("/", "/versions/v2?with=v0", "/ask?q=x", "/learn", "/learn/1", "/memory?q=mayor", "/versions/v1/rollback"):
        told = keyed.get(path)
        assert told.status == 303
        assert told.headers["location"].startswith("/sign-in?next=%2F")
    told = keyed.get("/sign-in")
    assert told.status == 200
    assert "<nav" not in told.text
    assert "<span>everlearn</span>" in told.text
    assert keyed.get("/pages/style.css").status == 200
    assert call(keyed.url, "GET", "/").status == 303
    assert call(keyed.url, "GET", "/v1/models").status == 401
    assert keyed.send("/learn", False).status == 303  # a form without a sign-in is not even read


def test_a_key_signs_in_for_the_pages_alone_and_out_again(keyed: Visitor) -> None:
    before = keyed.get("/sign-in") and dict(keyed.cookies)
    told = keyed.send("/sign-in", False, key=KEY, next="/versions/v2?with=v0")
    assert (told.status, told.headers["location"]) == (303, "/versions/v2?with=v0")
    header = told.headers["set-cookie"]
    assert "HttpOnly" in header
    assert "SameSite=Strict" in header
    assert "secure" not in header.lower()
    assert KEY not in header
    assert keyed.cookies != before
    page = keyed.get("/versions/v2?with=v0")
    assert page.status == 200
    assert "Signed in as desk" in page.text
    assert keyed.get("/sign-in").status == 303
    cookies = "; ".join(f"{name}={value}" for name, value in keyed.cookies.items())
    assert len(keyed.cookies) == 2  # for forms, and for who signed in
    assert call(keyed.url, "GET", "/v1/models", None, None, Cookie=cookies).status == 401
    assert call(keyed.url, "GET", "/metrics", None, None, Cookie=cookies, Accept="text/html").status == 401
    assert call(keyed.url, "GET", "/versions", None, None, Authorization=f"Bearer {OTHER}").status == 200
    keyed.get("/versions")
    assert keyed.send("/sign-out", False).headers["location"] == "/sign-in"
    assert keyed.get("/versions").status == 303


LINK = {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate"}


def test_a_link_of_another_site_signs_nobody_out(keyed: Visitor) -> None:
    desk = signed_in(keyed)
    (forms,) = (name for name in desk.cookies if name.endswith("-forms"))
    there = Visitor(desk.url, {forms: desk.cookies[forms]})  # as a browser follows it: without the cookie that is Strict
    told = there.get("/versions/v2", **LINK)
    assert (told.status, told.headers["location"]) == (303, "/sign-in?next=%2Fversions%2Fv2")
    told = there.get(told.headers["location"], **LINK)
    assert (told.status, told.headers["refresh"]) == (200, "0; url=/versions/v2")
    assert "set-cookie" not in told.headers
    assert desk.get("/versions/v2").status == 200
    for place, headers, status in (("/sign-in?next=/&lang=zh", LINK, 403), ("/sign-in?next=/", {**LINK, "Sec_Fetch_Mode": "no-cors"}, 403)):
        assert there.get(place, **headers).status == status
    assert "refresh" not in there.get("/sign-in?next=/ask%3Fq%3Dowl", **LINK).headers  # a link asks nothing
    assert "refresh" not in there.get("/sign-in?next=/versions", Sec_Fetch_Site="same-origin").headers
    new = Visitor(desk.url)  # one who was never here signs in with the form that the link led to
    new.get("/sign-in?next=/versions", **LINK)
    assert new.send("/sign-in", False, key=KEY, next="/versions").headers["location"] == "/versions"


def test_a_page_of_another_site_does_not_break_the_forms_that_are_open(visitor: Visitor, home: Home) -> None:
    assert "SameSite=Lax" in visitor.get("/versions/v1/rollback").headers["set-cookie"]
    for headers in (LINK, {**LINK, "Sec_Fetch_Mode": "no-cors"}, {**LINK, "Sec_Fetch_Site": "same-site", "Sec_Fetch_Mode": "cors"}):
        bare = call(visitor.url, "POST", "/learn", None, b"", Accept="text/html", **headers)
        assert (bare.status, bare.headers.get("set-cookie")) == (403, None)
    assert "set-cookie" not in Visitor(visitor.url, visitor.cookies).get("/", **LINK).headers
    assert visitor.send("/versions/v1/rollback", False, head=home.head.id).status == 303
    new = Visitor(visitor.url)  # and a form that a link led to can be sent
    new.get("/learn", **LINK)
    assert new.send("/learn").status == 400


def test_wrong_keys_are_told_so_and_counted(keyed: Visitor) -> None:
    keyed.get("/sign-in")
    for _ in range(TRIES):
        told = keyed.send("/sign-in", key=KEY[:-1], next="/")
        assert told.status == 403
        assert "does not know this key" in told.text
    told = keyed.send("/sign-in", key=KEY[:-1], next="/")
    assert told.status == 429
    assert told.headers["retry-after"] == "60"
    assert keyed.get("/").status == 303
    keyed.get("/sign-in")
    assert "错误次数过多" in Visitor(keyed.url, keyed.cookies, keyed.page).send("/sign-in?lang=zh", key=OTHER[:-1]).text
    assert keyed.send("/sign-in", key=KEY, next="/").status == 200  # who shares the address, such as a proxy's, is not kept out


def test_a_sign_in_needs_its_form_and_leads_nowhere_else(keyed: Visitor) -> None:
    assert keyed.send("/sign-in", token="0" * 64, key=KEY).status == 403
    keyed.get("/sign-in?next=//evil.example")
    assert 'name="next" value="/"' in keyed.page
    assert keyed.send("/sign-in", False, key=KEY, next="https://evil.example").headers["location"] == "/"


def test_a_form_of_one_who_signed_in_is_no_form_of_another(keyed: Visitor, home: Home) -> None:
    desk, press = signed_in(keyed), signed_in(Visitor(keyed.url), OTHER)
    desk.get("/versions/v1/rollback")
    press.get("/learn")
    assert press.send("/learn/start", token=desk.token).status == 403
    press.get("/learn")
    assert desk.send("/versions/v1/rollback", token=press.token, head=home.head.id).status == 403
    desk.get("/versions/v1/rollback")
    assert home.head.number == 2
    assert "v1 is in service again." in desk.send("/versions/v1/rollback", head=home.head.id).text


def test_only_who_may_write_rolls_back_and_starts_learning(keyed: Visitor, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    started = list[str]()
    monkeypatch.setattr(Teaching, "start", lambda self: started.append(""))
    desk, press = signed_in(keyed), signed_in(Visitor(keyed.url), OTHER)
    press.drop("theirs.jsonl", row(1))
    desk.drop("ours.jsonl", row(2))
    for page, words in (("/versions", "Roll back to v1"), ("/versions/v1", "Roll back to v1"), ("/learn", "Learn now"), ("/learn/2", "Learn now")):
        assert words in desk.get(page).text, page
        assert words not in press.get(page).text, page
    told = press.get("/versions/v1/rollback")
    assert told.status == 403
    assert "[serve] writers" in told.text
    for path in ("/versions/v1/rollback", "/learn/start"):
        press.get("/learn")
        told = press.send(f"{path}?lang=zh", head=home.head.id)
        assert told.status == 403
        assert "只有可写入者才能这样做" in told.text
    assert (home.head.number, started) == (2, [])
    desk.get("/learn")
    assert desk.send("/learn/start", False).status == 303
    assert started == [""]


def test_a_file_is_trusted_by_the_name_of_the_key(keyed: Visitor, home: Home) -> None:
    desk, press = signed_in(keyed), signed_in(Visitor(keyed.url), OTHER)
    press.get("/learn")
    assert "wait in quarantine" in press.page
    press.drop("theirs.jsonl", row(1))
    desk.get("/learn")
    assert "wait in quarantine" not in desk.page
    desk.drop("ours.jsonl", row(2))
    assert [claim.name for claim in Inbox(home).at(QUARANTINE)] == ["theirs.jsonl"]
    assert [claim.name for claim in Inbox(home).at(INBOX)] == ["ours.jsonl"]
    assert str(home.folder) not in press.get("/learn").text


def test_a_sign_in_ends_by_itself_and_many_push_the_oldest_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(visits.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(visits, "MOST", 3)
    known = Visits(tmp_path, {hashed_key(KEY): "desk"})
    first = known.sign_in(f" {KEY} ", "here")
    assert first is not None
    assert known.name(first) == "desk"
    now[0] = 3600.0 * visits.HOURS
    assert known.name(first) is None
    made = [known.sign_in(KEY, "here") for _ in range(4)]
    assert [known.name(one or "") for one in made] == [None, "desk", "desk", "desk"]
    assert [known.sign_in("wrong", "here") for _ in range(TRIES)] == [None] * TRIES
    with pytest.raises(TooManyTriesError):
        known.sign_in("wrong", "here")
    assert known.sign_in("wrong", "elsewhere") is None
    assert known.sign_in(KEY, "here") is not None
    assert Visits(tmp_path, known.keys).name(made[-1] or "") is None
    assert known.name("") is None


def test_tokens_belong_to_one_browser_of_one_server(tmp_path: Path) -> None:
    one, other = Visits(tmp_path, {}), Visits(tmp_path, {})
    assert one.is_from("a" * 43, one.token("a" * 43))
    assert not one.is_from("b" * 43, one.token("a" * 43))
    assert not one.is_from("a" * 43, other.token("a" * 43))
    assert not one.is_from("", one.token(""))
    assert Visits(tmp_path / "x", {}).cookie != one.cookie
    assert cookie("a", "b", 5, True) == "a=b; HttpOnly; Max-Age=5; Path=/; SameSite=Strict; Secure"
    assert not any(map(is_page, ("/v1/models", "/health", "/metrics", "/openapi.json", "/version", "//versions", "/versionsx", "")))
