"""Who is turned away, with which status, and what they are told."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from everlearn import Home, HomeSettings, SettingError
from everlearn.serve.guard import Limits, Rates
from everlearn.serve.running import prepared, read_keys, served
from tests.serve.calling import call
from tests.serve.conftest import SMALL, home_of

KEY, OTHER, WRITES = "a-key-of-the-desk-1", "a-key-of-nobody-2", "a-key-that-writes-3"
ASK = {"prompt": "owl", "max_tokens": 2}


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Home]]:
    """A server with a key, small limits, and a name of its own."""
    folder = tmp_path_factory.mktemp("guarded")
    (folder / "keys").write_text(f"# who may\ndesk {KEY}\nimport-2 {WRITES}\n")
    table = {"most_bytes": 2000, "hosts": ["models.example.org"], "origins": ["https://pages.example.org"], "writers": ["import-*"]}
    home = home_of(folder / "home", "plain", serve=table)
    with served(home, keys=folder / "keys") as url:
        yield url, home


def asking(url: str, **headers: str) -> tuple[int, str]:
    told = call(url, "POST", "/v1/completions", ASK, **{"Authorization": f"Bearer {KEY}", **headers})
    return told.status, "" if told.status == 200 else told.error


def test_a_right_key_is_needed(guarded: tuple[str, Home]) -> None:
    url, _ = guarded
    assert asking(url)[0] == 200
    for wrong in (f"Bearer {OTHER}", f"Bearer {KEY[:-1]}", f"Basic {KEY}", "Bearer", "", f"Bearer {KEY} {KEY}"):
        status, told = asking(url, Authorization=wrong)
        assert (status, told) == (401, "This server needs a key that it knows: Authorization: Bearer KEY.")
    assert call(url, "GET", "/health").json["status"] == "ok"
    assert call(url, "GET", "/metrics").status == 401


def test_health_names_no_file_to_who_has_no_key(guarded: tuple[str, Home]) -> None:
    url, home = guarded
    head = (home.folder / "head.json").read_text()
    (home.folder / "head.json").write_text("{}")
    try:
        for _ in range(3000):
            if call(url, "GET", "/health").json["status"] == "degraded":
                break
            time.sleep(0.02)
        for told in (call(url, "GET", "/health"), call(url, "GET", "/health", Authorization=f"Bearer {OTHER}")):
            assert (told.status, told.json["version"]) == (200, "v1")
            assert told.json["problem"] == "A key is needed to be told what is wrong: it may name files."
            assert str(home.folder) not in told.text
        assert str(home.folder) in call(url, "GET", "/health", Authorization=f"Bearer {KEY}").json["problem"]
    finally:
        (home.folder / "head.json").write_text(head)
        for _ in range(3000):
            if call(url, "GET", "/health").json["status"] == "ok":
                break
            time.sleep(0.02)


def test_only_writers_write_and_delete_documents(guarded: tuple[str, Home]) -> None:
    url, home = guarded
    documents = {"documents": [{"text": "The gate of Ashford is open.", "source": "gazette"}]}
    for told in (
        call(url, "POST", "/v1/documents", documents, Authorization=f"Bearer {KEY}"),
        call(url, "DELETE", "/v1/documents?source=gazette", Authorization=f"Bearer {KEY}"),
    ):
        assert told.status == 403
        assert told.error == "This key may not write or delete documents (name='desk'). [serve] writers of everlearn.toml names the keys that may."
    assert not (home.folder / "documents.jsonl").exists()
    assert call(url, "POST", "/v1/documents", documents, Authorization=f"Bearer {WRITES}").json["new"] == 1
    assert call(url, "GET", "/v1/documents?query=gate", Authorization=f"Bearer {KEY}").json["data"][0]["source"] == "gazette"
    assert call(url, "DELETE", "/v1/documents?source=gazette", Authorization=f"Bearer {WRITES}").json["deleted"] == 1


def test_who_writes_where_there_is_no_list() -> None:
    assert Limits(own=True).writes("", own=True)  # no keys, and only this machine reaches it
    assert not Limits(own=True).writes("")  # by a proxy
    assert not Limits().writes("")
    assert not Limits(keys={b"": "desk"}).writes("desk")
    assert Limits(writers=["*"]).writes("")
    assert not Limits(writers=["desk"], own=True).writes("", own=True)


def test_who_comes_through_a_proxy_is_not_the_owner_of_the_machine(home: Home) -> None:
    documents = {"documents": [{"text": "The gate of Ashford is open.", "source": "gazette"}]}
    with served(home) as url:
        for name in ("Forwarded", "Via", "X_Real_IP", "X_Forwarded_For", "X_Forwarded_Host", "X_Forwarded_Proto"):
            assert call(url, "POST", "/v1/documents", documents, **{name: "x"}).status == 403
            assert str(home.folder) not in call(url, "GET", "/learn", None, None, **{name: "x"}).text
        place = urlsplit(url)
        with socket.create_connection((place.hostname, place.port), timeout=60) as line:  # as nginx asks where it adds no header
            line.sendall(b"DELETE /v1/documents?source=gazette HTTP/1.0\r\nHost: localhost\r\n\r\n")
            assert line.recv(4096).startswith(b"HTTP/1.1 403")
        assert str(home.folder) in call(url, "GET", "/learn").text
        assert home.folder.name not in call(url, "GET", "/", None, None, Host="evil.example").text
        assert call(url, "POST", "/v1/documents", documents).json["new"] == 1


def test_only_known_names_and_origins_are_answered(guarded: tuple[str, Home]) -> None:
    url, _ = guarded
    assert asking(url, Host="models.example.org")[0] == 200
    assert asking(url, Host="LOCALHOST:1")[0] == 200
    for wrong in ("evil.example.org", "localhost.evil.example.org", "user@localhost", ""):
        status, told = asking(url, Host=wrong)
        assert status in (400, 421)
        assert status == 400 or "not called so" in told
    assert asking(url, Origin="https://pages.example.org")[0] == 200
    assert asking(url, Origin=url)[0] == 200
    for wrong in ("https://evil.example.org", "null", "http://localhost:1"):
        status, told = asking(url, Origin=wrong)
        assert status == 403
        assert "[serve] origins" in told


def test_a_page_of_another_site_does_not_make_a_browser_ask(guarded: tuple[str, Home]) -> None:
    url, _ = guarded

    def got(path: str, **headers: str) -> int:
        return call(url, "GET", path, None, None, **{"Authorization": f"Bearer {KEY}", **headers}).status

    asked = "/ask?q=Who+is+there%3F"
    for site in ("cross-site", "same-site"):  # the second is another port of this machine
        assert got(asked, Sec_Fetch_Site=site, Sec_Fetch_Mode="navigate") == 403
        told = call(url, "GET", "/v1/models", None, None, Authorization=f"Bearer {KEY}", Sec_Fetch_Site=site, Sec_Fetch_Mode="no-cors")
        assert told.status == 403
        assert f"Pages of other sites may not call here (Sec-Fetch-Site={site!r})" in told.error
        assert got("/", Sec_Fetch_Site=site, Sec_Fetch_Mode="navigate") == 200  # a link to the page
        assert got("/v1/models", Sec_Fetch_Site=site, Sec_Fetch_Mode="cors", Origin="https://pages.example.org") == 200
    for site in ("same-origin", "none"):
        assert got(asked, Sec_Fetch_Site=site, Sec_Fetch_Mode="navigate") == 200
    assert got(asked) == 200  # a program, or an old browser


def test_a_page_of_a_known_origin_is_told_so_before_it_calls(guarded: tuple[str, Home]) -> None:
    url, _ = guarded
    asks = {"Access_Control_Request_Method": "POST", "Access_Control_Request_Headers": "authorization"}
    told = call(url, "OPTIONS", "/v1/completions", None, None, Origin="https://pages.example.org", **asks)
    assert (told.status, told.headers["access-control-allow-origin"]) == (200, "https://pages.example.org")
    assert call(url, "OPTIONS", "/v1/completions", None, None, Origin="https://evil.example.org", **asks).status == 400
    told = call(url, "POST", "/v1/completions", ASK, None, Origin="https://pages.example.org", Authorization=f"Bearer {KEY}")
    assert told.headers["access-control-allow-origin"] == "https://pages.example.org"


def test_a_body_has_a_size_a_type_and_a_form(guarded: tuple[str, Home]) -> None:
    url, _ = guarded
    key = {"Authorization": f"Bearer {KEY}"}
    told = call(url, "POST", "/v1/completions", {"prompt": "x" * 3000}, **key)
    assert told.status == 413
    assert "larger than 2000 bytes" in told.error
    for raw, wanted in ((b"{no json", "JSON"), (b'{"prompt": "\\ud800"}', "prompt"), (b'{"prompt": "owl", "temperature": NaN}', "temperature")):
        told = call(url, "POST", "/v1/completions", raw=raw, **key)
        assert told.status == 400
        assert wanted in told.error
    assert call(url, "POST", "/v1/completions", ASK, **key, Content_Type="text/plain").status == 400
    told = call(url, "GET", "/v1/completions", **key)
    assert (told.status, told.error) == (405, "This address takes another method.")
    told = call(url, "GET", "/../../etc/passwd", **key)
    assert told.status == 404
    assert "no such address" in told.error


def test_a_body_that_does_not_say_its_size_is_cut_off(guarded: tuple[str, Home]) -> None:
    url, _ = guarded
    place = urlsplit(url)
    lines = ["POST /v1/completions HTTP/1.1", "Host: localhost", f"Authorization: Bearer {KEY}", "Content-Type: application/json", "Transfer-Encoding: chunked"]
    head = "\r\n".join([*lines, "", ""])
    with socket.create_connection((place.hostname, place.port), timeout=60) as line:
        line.sendall(head.encode() + b"400\r\n" + b'"' + b"x" * 1023 + b"\r\n" + b"800\r\n" + b"x" * 2048 + b"\r\n0\r\n\r\n")
        assert line.recv(4096).startswith(b"HTTP/1.1 413")


def test_a_rate_is_refilled_over_a_minute() -> None:
    rates = Rates(60)
    assert [rates.wait("one", 0.0) for _ in range(60)] == [0.0] * 60
    assert rates.wait("one", 0.0) == pytest.approx(1.0)
    assert rates.wait("two", 0.0) == 0.0
    assert rates.wait("one", 1.01) == 0.0
    assert rates.wait("one", 1.01) > 0


def test_too_many_requests_are_told_when_to_come_again(two_made: Path, tmp_path: Path) -> None:
    home = home_of(tmp_path / "home", "plain", serve={"rate": 2})
    with served(home) as url:
        assert [call(url, "GET", "/v1/models").status for _ in range(3)] == [200, 200, 429]
        told = call(url, "GET", "/v1/models")
        assert int(told.headers["retry-after"]) >= 1
        assert "More than 2 requests a minute" in told.error
        assert call(url, "GET", "/health").status == 200
        assert "everlearn_requests_total" in call(url, "GET", "/health").text or home.settings.serve.rate == 2


@pytest.mark.parametrize("text", ["desk\n", "desk short\n", f"desk {KEY}\ndesk {OTHER}\n", "# none\n"])
def test_keys_that_cannot_be_used_are_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "keys").write_text(text)
    with pytest.raises(SettingError, match="keys"):
        read_keys(tmp_path / "keys")


def test_a_port_that_is_taken_is_said_and_settings_are_checked(two_made: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(SettingError, match="cannot be listened on"):
        prepared(Home(two_made), "127.0.0.1", taken.getsockname()[1], None, None)
    with pytest.raises(SettingError, match=r"\[serve\] canary_share"):
        HomeSettings.of({**SMALL, "serve": {"canary_share": 2}}, "a test")
    assert json.loads(json.dumps(HomeSettings().to_json())).keys() == {"model", "learn", "test", "gate", "retry"}  # a version does not depend on it
