"""The page in a real browser, where there is one: it draws, stays within a phone, follows the theme, and runs nothing of the data."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from everlearn import write_report

playwright = pytest.importorskip("playwright.sync_api")
BROWSER = next((found for name in ("chromium", "chromium-browser", "google-chrome", "chrome") if (found := shutil.which(name))), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="needs Chrome or Chromium")

HOSTILE = "<script>alert('x')</script>\"><img src=x onerror=alert(1)>%{x}<a href='https://example.org'>y</a>"
RIGHT = {"plain": [[38, 0, 0, 0], [30, 40, 0, 0], [20, 22, 40, 0], [12, 10, 20, 40]], "replay": [[38, 0, 0, 0]] + [[38, 40, 40, 40]] * 3}
OPEN_ALL = "document.querySelectorAll('details').forEach((part) => { part.open = true; })"
DRAW_ALL = "window.dispatchEvent(new Event('beforeprint')); window.dispatchEvent(new Event('afterprint'))"


class Seen:
    """A page and what it did that it should not."""

    def __init__(self, page: playwright.Page) -> None:
        self.page, self.wrong = page, list[str]()
        page.on("request", lambda request: self.wrong.append(request.url) if not request.url.startswith(("file:", "data:", "blob:")) else None)
        page.on("console", lambda message: self.wrong.append(message.text) if message.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: self.wrong.append(str(error)))
        page.on("dialog", lambda dialog: (self.wrong.append(dialog.message), dialog.dismiss()))


@pytest.fixture(scope="module")
def browser() -> Iterator[playwright.Browser]:
    with playwright.sync_playwright() as running:
        started = running.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield started
        started.close()


def opened(browser: playwright.Browser, path: Path, width: int = 1280, scheme: str = "light") -> Seen:
    seen = Seen(browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme))
    seen.page.goto(path.as_uri())
    seen.page.evaluate(DRAW_ALL)
    return seen


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory, make_in: Callable[[Path], Callable[..., Path]]) -> Path:
    return write_report(make_in(tmp_path_factory.mktemp("browser"))("run"))


def test_every_figure_is_drawn_and_a_legend_key_hides_its_method_in_all_of_them(browser: playwright.Browser, path: Path) -> None:
    seen = opened(browser, path)
    page = seen.page
    assert page.locator(".plot").count() == page.locator(".plot:has(.scatterlayer)").count() == 7
    before = page.locator(".plot .scatterlayer .trace").count()
    key = page.locator(".legend button").first
    key.focus()
    page.keyboard.press("Enter")
    assert key.get_attribute("aria-pressed") == "false"
    assert page.locator(".plot .scatterlayer .trace").count() <= before - 7
    assert seen.wrong == []  # no request, error or warning


def test_a_phone_never_scrolls_sideways_and_figures_follow_light_and_dark(browser: playwright.Browser, path: Path) -> None:
    page = opened(browser, path, 380, "dark").page
    page.evaluate(OPEN_ALL)
    assert page.evaluate("document.documentElement.scrollWidth") == 380
    colour = "getComputedStyle(document.querySelector('.plot .xtick text')).fill"
    dark = page.evaluate(colour)
    page.emulate_media(color_scheme="light")
    for _ in range(100):  # polled from here: the page's policy forbids the eval that wait_for_function polls with
        if page.evaluate(colour) != dark:
            break
        page.wait_for_timeout(100)
    assert page.evaluate(colour) != dark


def test_hostile_text_runs_nothing(browser: playwright.Browser, make: Callable[..., Path]) -> None:
    folder = make(right={HOSTILE: RIGHT["replay"], "plain": RIGHT["plain"]}, said=HOSTILE, prompt=HOSTILE, about=HOSTILE, model=HOSTILE)
    seen = opened(browser, write_report(folder))
    seen.page.evaluate(OPEN_ALL)
    assert seen.wrong == []
    assert seen.page.locator("img, .plot a").count() == 0
    assert seen.page.locator("script").count() == 3


def test_figures_are_drawn_without_scrolling_those_of_later_streams_too(browser: playwright.Browser, make: Callable[..., Path]) -> None:
    path = write_report([make("one", right=RIGHT, answers=False), make("two", right=RIGHT, answers=False, stream="rivers")], make("three").parent / "both.html")
    page = browser.new_page(viewport={"width": 1280, "height": 600})
    page.goto(path.as_uri())
    assert page.locator("#s1 .plot:has(.scatterlayer)").count() == page.locator("#s1 .plot").count() > 0
    page.locator(".plot:not(:has(.scatterlayer))").first.wait_for(state="detached", timeout=10000)
