"""A home with a life behind it, and pages of its server as text."""

from __future__ import annotations

import html
import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlencode

import pytest

from everlearn import Example, Home, HomeSettings, Passage, TestSet, update
from everlearn.serve.documents import Documents
from everlearn.serve.running import served
from tests.serve.calling import Told, call
from tests.serve.conftest import SMALL, asked

HOSTILE = "<script>alert('x')</script>\"><img src=x onerror=alert(1)>"
SERVE = {"trusted": ["upload"], "most_bytes": 200_000}
WATCH = {"settle": 0.0, "every": 0.05}
PATHS = ("/", "/versions", "/versions/v0", "/versions/v2", "/versions/v3", "/versions/v1/rollback", "/ask", "/learn", "/memory", "/memory?q=mayor", "/nowhere")

# Names and commands that have no Chinese; everything else in Latin letters is a text that was left in English.
NAMES = {
    "everlearn",
    "UTC",
    "diff",
    "watch",
    "serve",
    "trusted",
    "writers",
    "JSON",
    "Lines",
    "CSV",
    "parquet",
    "lancedb",
    "pip",
    "install",
    "memory",
    "v1",
    "documents",
}


def settings(**tables: object) -> HomeSettings:
    return HomeSettings.of({**SMALL, "serve": SERVE, "watch": WATCH, **tables}, "a test")


@pytest.fixture(scope="session")
def lived(two_made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home with versions 0 to 3: the third learned from a hostile file, and was refused; a hostile document too."""
    home = Home(shutil.copytree(two_made, tmp_path_factory.mktemp("lived") / "home"))
    settings(gate={"least_gain": 0.5, "most_loss": "off", "most_stale": "off"}).save(home.folder / "everlearn.toml")
    rows = [Example(prompt=f"{HOSTILE} {n}?", completion=f" {HOSTILE}", source=HOSTILE) for n in range(2)]
    update(home, rows, {HOSTILE: TestSet("exact", (Example(prompt=f"{HOSTILE}?", completion=" none such"),))}, name=HOSTILE)
    settings().save(home.folder / "everlearn.toml")
    Documents(home).add([Passage(f"The mayor is {HOSTILE}.", "mayor", "2024", source=HOSTILE), Passage("The mayor is Ann.", "mayor", "2020", source="gazette")])
    return home.folder


@pytest.fixture
def home(lived: Path, tmp_path: Path) -> Home:
    return Home(shutil.copytree(lived, tmp_path / "home"))


@pytest.fixture
def url(home: Home) -> Iterator[str]:
    with served(home) as found:
        yield found


@pytest.fixture(scope="module")
def read_only(lived: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server for tests that only look."""
    with served(Home(shutil.copytree(lived, tmp_path_factory.mktemp("looked at") / "home"))) as found:
        yield found


@dataclass
class Visitor:
    """A browser without a screen: keeps its cookies, sends forms with the token of the page before."""

    url: str
    cookies: dict[str, str] = field(default_factory=dict)
    page: str = ""

    def get(self, path: str, **headers: str) -> Told:
        return self._told(call(self.url, "GET", path, None, None, Accept="text/html", Cookie=self._cookie(), **headers))

    def send(self, path: str, /, follow: bool = True, **fields: str) -> Told:
        """A form, with the token of the last page unless one is given."""
        body = urlencode({"token": self.token, **fields}).encode()
        return self._sent(path, body, "application/x-www-form-urlencoded", follow)

    def drop(self, name: str, data: bytes, test: tuple[str, bytes] | None = None, follow: bool = True) -> Told:
        """A file, as the form on /learn sends it."""
        self.get("/learn")
        parts = [f'Content-Disposition: form-data; name="token"\r\n\r\n{self.token}'.encode()]
        for field_name, (called, content) in {"file": (name, data), **({"test": test} if test else {})}.items():
            parts.append(f'Content-Disposition: form-data; name="{field_name}"; filename="{called}"\r\nContent-Type: text/plain\r\n\r\n'.encode() + content)
        body = b"".join(b"--limit\r\n" + part + b"\r\n" for part in parts) + b"--limit--\r\n"
        return self._sent("/learn", body, "multipart/form-data; boundary=limit", follow)

    @property
    def token(self) -> str:
        found = re.search(r'name="token" value="([0-9a-f]{64})"', self.page)
        return found[1] if found else ""

    def _sent(self, path: str, body: bytes, kind: str, follow: bool) -> Told:
        told = self._told(call(self.url, "POST", path, None, body, Accept="text/html", Cookie=self._cookie(), Origin=self.url, Content_Type=kind))
        while follow and told.status == 303:
            told = self.get(told.headers["location"])
        return told

    def _cookie(self) -> str:
        return "; ".join(f"{name}={value}" for name, value in self.cookies.items())

    def _told(self, told: Told) -> Told:
        for name, value in re.findall(r"(everlearn-[\w-]+)=([^;,]*)", told.headers.get("set-cookie", "")):
            self.cookies[name] = value
        self.page = told.text or self.page
        return told


@pytest.fixture
def visitor(url: str) -> Visitor:
    return Visitor(url)


def row(n: int, answer: str = "Tarn") -> bytes:
    return json.dumps({"prompt": asked(n), "completion": f" {answer}", "source": "people"}).encode() + b"\n"


def said(told: Told) -> str:
    """What a page says, without its tags."""
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]*>", " ", told.text)))
