"""The server's page in a real browser, where there is one: its forms work by their labels, on a phone and in the dark, and nothing of the data runs."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from everlearn import Home, Passage
from everlearn.serve.documents import Documents
from everlearn.serve.running import served
from tests.serve.calling import call
from tests.serve.conftest import asked

playwright = pytest.importorskip("playwright.sync_api")
BROWSER = next((found for name in ("chromium", "chromium-browser", "google-chrome", "chrome") if (found := shutil.which(name))), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="needs Chrome or Chromium")

HOSTILE = "<script>alert('x')</script>\"><img src=x onerror=alert(1)>"
OWL = asked(3).removeprefix("Question: ").removesuffix("\nAnswer:")


@pytest.fixture(scope="module")
def url(two_made: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    home = Home(shutil.copytree(two_made, tmp_path_factory.mktemp("page") / "home"))
    Documents(home).add(
        [Passage(f"The mayor is {HOSTILE}.", "mayor", "2024", source="herald"), Passage("The mayor is Ann.", "mayor", "2020", source="gazette")]
    )
    with served(home) as found:
        yield found


@pytest.fixture(scope="module")
def browser() -> Iterator[playwright.Browser]:
    with playwright.sync_playwright() as running:
        started = running.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (360, "dark")])
def test_two_versions_answer_side_by_side_and_documents_are_searched(url: str, browser: playwright.Browser, width: int, scheme: str) -> None:
    page, wrong = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme), list[str]()
    page.on("request", lambda request: wrong.append(request.url) if not request.url.startswith(url) else None)
    page.on("dialog", lambda dialog: (wrong.append(dialog.message), dialog.dismiss()))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.goto(url)
    assert page.get_by_role("combobox", name="Before").input_value() == "v1"
    assert page.get_by_role("combobox", name="After").input_value() == "v2"
    page.get_by_role("textbox", name="Question").fill(OWL)
    page.get_by_role("button", name="Ask both").click()
    assert page.get_by_role("status").inner_text().split() == ["v1", "Penwick", "v2", "Ashford"]
    assert page.get_by_role("row").count() == 4
    assert "accepted" in page.get_by_role("row").nth(1).inner_text()
    page.get_by_role("textbox", name="Words").fill("mayor")
    page.get_by_role("button", name="Search").click()
    assert HOSTILE in page.get_by_role("status").inner_text()
    page.get_by_role("textbox", name="As of").fill("2021")
    page.get_by_role("button", name="Search").click()
    assert page.get_by_role("status").inner_text().startswith("The mayor is Ann.")
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert dark == ("rgb(253, 253, 252)" if scheme == "light" else "rgb(20, 23, 27)")
    assert wrong == []
    page.close()


def test_the_page_is_guarded_and_says_what_cannot_be_done(url: str) -> None:
    told = call(url, "GET", "/?query=mayor&as_of=soon")
    assert "default-src" in told.headers["content-security-policy"]
    assert "a date cannot be read" in told.text
    assert "no such model" in call(url, "GET", "/?ask=x&before=v9").text
    assert call(url, "GET", "/?ask=" + "x" * 5000).status == 400
