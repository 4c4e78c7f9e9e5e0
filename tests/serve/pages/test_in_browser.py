"""The pages in a real browser, where there is one: every page and action, by eye, keyboard and screen reader, in both languages, light and dark, on a phone."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from everlearn import Home, watch
from everlearn.serve.running import served
from tests.serve.calling import call
from tests.serve.pages.conftest import HOSTILE, PATHS, row
from tests.serve.pages.seeing import CONTRAST, FOCUS, HEADINGS, NAMELESS, PATIENCE, Seen

playwright = pytest.importorskip("playwright.sync_api")
BROWSER = next((found for name in ("chromium", "chromium-browser", "google-chrome", "chrome") if (found := shutil.which(name))), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="needs Chrome or Chromium")

KEY = "a-key-of-the-desk-1"
OWL = "Question: Where does the owl number 3 live?\nAnswer:"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as running:
        started = running.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def open_page(browser: Any) -> Iterator[Callable[..., Seen]]:
    opened = list[Seen]()

    def make(url: str, *given: Any, **more: Any) -> Seen:
        opened.append(Seen(browser, url, *given, **more))
        return opened[-1]

    yield make
    for seen in opened:
        assert seen.wrong == []  # no request elsewhere, error, warning or dialog
        seen.context.close()


@pytest.mark.parametrize(("width", "scheme", "language"), [(1280, "light", "en-US"), (380, "dark", "zh-CN"), (380, "light", "en-US")])
def test_every_page_is_readable_for_everyone(read_only: str, open_page: Callable[..., Seen], width: int, scheme: str, language: str) -> None:
    seen = open_page(read_only, width, scheme, language)
    for path in (*PATHS, "/ask?q=Where", "/memory?q=mayor&as_of=soon", "/versions/v2?with=v0", "/?all=1"):
        page = seen.page
        page.goto(path)
        page.evaluate("() => document.querySelectorAll('details').forEach((one) => { one.open = true; })")
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
        assert page.get_attribute("html", "lang") == ("en" if language == "en-US" else "zh-CN")
        assert page.title().strip(" ·") != ""
        levels = page.evaluate(HEADINGS)
        assert levels[0] == 1, path
        assert levels.count(1) == 1, path
        assert all(after - before <= 1 for before, after in pairwise(levels)), (path, levels)
        assert page.evaluate(NAMELESS) == [], path
        assert page.evaluate(CONTRAST) == [], path
        dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert dark == ("rgb(251, 251, 250)" if scheme == "light" else "rgb(20, 23, 27)")
        assert page.locator("img, iframe, [style]").count() == 0


def test_the_overview_tells_the_homes_life(read_only: str, open_page: Callable[..., Seen]) -> None:
    page = open_page(read_only).page
    page.goto("/")
    assert page.get_by_role("heading", name="v2 answers").is_visible()
    assert page.get_by_role("img", name="4 versions in order").is_visible()
    assert page.locator("svg.line g").count() == 4
    heat = page.get_by_role("region", name="Task by task")
    assert heat.get_by_role("columnheader").all_inner_texts()[:4] == ["task", "v0", "v1", "v2"]
    assert heat.get_by_role("row", name="owls").get_by_role("cell").all_inner_texts()[:3] == ["–", "100.0", "100.0"]
    page.get_by_text("The numbers").click()
    page.get_by_role("link", name="v2", exact=True).first.click()
    assert page.get_by_role("heading", level=1).inner_text().startswith("Version 2")
    assert HOSTILE in page.goto("/versions").text().replace("&lt;", "<").replace("&gt;", ">").replace("&#39;", "'").replace("&#34;", '"')


@pytest.mark.parametrize(
    ("language", "words"), [("en-US", ("Question", "Before", "After", "Ask both")), ("zh-CN", ("问题", "之前的版本", "之后的版本", "同时提问"))]
)
def test_a_question_is_asked_of_two_versions_side_by_side(
    read_only: str, open_page: Callable[..., Seen], language: str, words: tuple[str, str, str, str]
) -> None:
    page = open_page(read_only, 1280, "light", language).page
    page.goto("/ask")
    question, before, after, both = words
    assert page.get_by_role("combobox", name=before).input_value() == "v1"
    assert page.get_by_role("combobox", name=after).input_value() == "v2"
    page.get_by_role("textbox", name=question).fill(OWL)
    page.get_by_role("button", name=both).click()
    status = page.get_by_role("status")
    assert status.inner_text().split() == ["v1", "Penwick", "v2", "Ashford"]
    page.wait_for_load_state()  # with its style
    left, right = page.evaluate("() => [...document.querySelectorAll('.answer')].map((one) => one.getBoundingClientRect().toJSON())")
    assert left["y"] == right["y"]
    assert left["x"] < right["x"]
    page.get_by_role("combobox", name=before).select_option("v2")
    page.get_by_role("button", name=both).click()
    assert status.inner_text().split() == ["v2", "Ashford", "v2", "Ashford"]


def test_the_memory_is_searched_as_of_a_day(read_only: str, open_page: Callable[..., Seen]) -> None:
    page = open_page(read_only, 380, "dark").page
    page.goto("/memory")
    page.get_by_role("textbox", name="Words").fill("mayor")
    page.get_by_role("button", name="Search").click()
    assert HOSTILE in page.get_by_role("listitem").filter(has_text="The mayor is").inner_text()
    page.get_by_label("As of").fill("2021-06-01")
    page.get_by_role("button", name="Search").click()
    assert page.get_by_role("status").inner_text() == "1 found, as they held on 2021-06-01."
    assert "The mayor is Ann." in page.inner_text("main")


def test_another_language_is_a_link_and_stays(read_only: str, open_page: Callable[..., Seen]) -> None:
    page = open_page(read_only).page
    page.goto("/memory?q=mayor")
    page.get_by_role("link", name="中文").click()
    assert page.get_by_role("textbox", name="关键词").input_value() == "mayor"
    page.get_by_role("link", name="版本", exact=True).click()
    assert page.get_by_role("heading", level=1).inner_text() == "版本"
    page.get_by_role("link", name="English").click()
    assert page.get_by_role("heading", level=1).inner_text() == "Versions"


def test_a_rollback_by_keyboard_alone(home: Home, open_page: Callable[..., Seen]) -> None:
    with served(home) as url:
        seen = open_page(url)
        page = seen.page
        page.goto("/versions/v1")
        page.keyboard.press("Tab")
        assert page.evaluate(FOCUS) == ["A", "Skip to the content", True]
        page.keyboard.press("Enter")
        page.keyboard.press("Tab")
        assert page.evaluate(FOCUS) == ["A", "Roll back to v1", True]
        page.keyboard.press("Enter")
        page.wait_for_url("**/rollback")
        page.wait_for_load_state()
        for _ in range(30):
            page.keyboard.press("Tab")
            at = page.evaluate(FOCUS)
            assert at[2], at  # wherever it is, it is seen
            if at[1] == "Yes, roll back":
                break
        page.keyboard.press("Enter")
        page.get_by_role("status").wait_for()
        assert page.get_by_role("status").inner_text() == "v1 is in service again."
        told = call(url, "POST", "/v1/completions", {"prompt": OWL, "max_tokens": 4}).json
        assert (told["model"], told["choices"][0]["text"]) == ("v1", " Penwick")
        page.goto("/")
        assert page.get_by_role("heading", name="v1 answers").is_visible()
        page.goto("/versions/v2/rollback")
        page.get_by_role("link", name="Cancel").click()
        assert page.get_by_role("heading", level=1).inner_text().startswith("Version 2")
        assert home.head.number == 1


def test_a_file_is_dropped_and_watched_as_it_is_learned(home: Home, open_page: Callable[..., Seen], tmp_path: Path) -> None:
    drops, go_on, learned = tmp_path / "drops", threading.Event(), list[str]()
    drops.mkdir()

    def learn() -> None:
        def hold(what: str, share: float) -> None:
            if what == "learning" and share < 1:
                go_on.wait(PATIENCE)

        learned.extend(taken.became for taken in watch(home, drops, once=True, progress=hold))

    with served(home) as url:
        seen, other = open_page(url), open_page(url, 380, "dark", "zh-CN", java_script_enabled=False)
        page = seen.page
        page.goto("/learn")
        page.get_by_label("File to learn").set_input_files({"name": "tarns.jsonl", "mimeType": "text/plain", "buffer": b"".join(map(row, range(8)))})
        page.get_by_role("button", name="Send").click()
        page.wait_for_url("**/learn/*")
        status = page.get_by_role("status")
        assert "It is in the inbox and will be learned in its turn." in status.inner_text()
        assert page.get_by_role("button", name="Learn now").is_visible()
        thread = threading.Thread(target=learn)
        thread.start()
        seen.reads("It is being learned.")
        assert page.get_by_role("progressbar", name="Learned so far").is_visible()
        assert page.locator("[aria-current=step]").inner_text() == "learned"
        other.page.goto("/learn")  # without any script, and in Chinese
        assert "学习中" in other.page.inner_text("main")
        other.page.get_by_role("link", name="tarns.jsonl").click()
        assert "正在学习。" in other.page.inner_text("main")
        go_on.set()
        seen.reads("It was learned and accepted: v4.")
        assert page.get_by_role("heading", name="The gate's reasons").is_visible()
        assert "went from 0.0 % to" in page.inner_text("main")
        thread.join()
        assert learned == ["promoted"]
        other.page.get_by_role("link", name="刷新").click()
        assert "已学习并通过检查：v4。" in other.page.inner_text("main")
        page.get_by_role("link", name="v4").click()
        assert "tarns.jsonl" in page.inner_text("main")


def test_a_file_that_is_too_large_is_told_of_before_it_is_sent(home: Home, open_page: Callable[..., Seen], tmp_path: Path) -> None:
    with served(home) as url:
        page = open_page(url).page
        page.goto("/learn")
        page.get_by_label("File to learn").set_input_files({"name": "big.jsonl", "mimeType": "text/plain", "buffer": b"x" * 250_000})
        page.get_by_role("button", name="Send").click()
        assert page.evaluate("document.getElementById('file').validationMessage") == "Too large: together at most 200.0 kB."
        assert page.url.endswith("/learn")
        page.get_by_label("File to learn").set_input_files({"name": "bad.jsonl", "mimeType": "text/plain", "buffer": b"no JSON"})
        page.get_by_role("button", name="Send").click()
        page.wait_for_url("**/learn/*")
        (tmp_path / "drops").mkdir()
        assert [taken.became for taken in watch(home, tmp_path / "drops", once=True)] == ["rejected"]
        page.get_by_role("status").get_by_text("It cannot be learned.").wait_for()
        assert "bad.jsonl:1: not JSON" in page.inner_text("main")


def test_a_page_that_looks_again_leads_to_the_sign_in_once_that_has_ended(home: Home, open_page: Callable[..., Seen], tmp_path: Path) -> None:
    (tmp_path / "keys").write_text(f"desk {KEY}\n")
    with served(home, keys=tmp_path / "keys") as url:
        seen = open_page(url)
        page = seen.page
        page.goto("/learn")
        page.get_by_label("Key").fill(KEY)
        page.keyboard.press("Enter")
        page.get_by_label("File to learn").set_input_files({"name": "a.jsonl", "mimeType": "text/plain", "buffer": row(1)})
        page.get_by_role("button", name="Send").click()
        page.wait_for_url("**/learn/*")
        place = page.url
        seen.context.clear_cookies()
        page.wait_for_url("**/sign-in?*")
        page.get_by_label("Key").fill(KEY)
        page.keyboard.press("Enter")
        page.wait_for_url(place)


def test_a_key_signs_in_and_out(home: Home, open_page: Callable[..., Seen], tmp_path: Path) -> None:
    (tmp_path / "keys").write_text(f"desk {KEY}\n")
    with served(home, keys=tmp_path / "keys") as url:
        seen = open_page(url, 380, "dark", "zh-CN")
        page = seen.page
        page.goto("/versions/v2")
        assert page.get_by_role("heading", level=1).inner_text() == "登录"
        assert page.evaluate(CONTRAST) == []
        assert page.evaluate(NAMELESS) == []
        page.get_by_label("密钥").fill("wrong")
        page.keyboard.press("Enter")
        assert page.get_by_role("alert").inner_text() == "密钥不正确。"
        page.get_by_label("密钥").fill(KEY)
        page.get_by_role("button", name="登录").click()
        assert page.get_by_role("heading", level=1).inner_text().startswith("版本 2")
        page.wait_for_load_state()
        assert page.evaluate("document.cookie") == ""  # no script reads it
        assert page.evaluate("document.documentElement.scrollWidth") == 380
        page.get_by_role("button", name="退出登录").click()
        page.goto("/versions")
        assert page.get_by_role("heading", level=1).inner_text() == "登录"


def test_who_signed_in_follows_a_link_of_another_site(home: Home, browser: Any, tmp_path: Path) -> None:
    (tmp_path / "keys").write_text(f"desk {KEY}\n")
    with served(home, keys=tmp_path / "keys") as url:
        context = browser.new_context()
        try:
            page, link, shown = context.new_page(), f'<a href="{url}/versions/v2">a link</a>', list[str]()
            page.on("framenavigated", lambda frame: shown.append(frame.url))
            page.set_content(link)  # of a page without an address: another site
            page.get_by_role("link").click()
            end = time.monotonic() + PATIENCE
            while sum("/sign-in" in place for place in shown) < 2:  # it looks again as itself whether somebody is signed in
                assert time.monotonic() < end, shown
                page.wait_for_timeout(20)
            page.get_by_label("Key").fill(KEY)  # nobody is: the form that it leads to works
            page.get_by_role("button", name="Sign in").click()
            page.get_by_role("heading", name="Version 2").wait_for()
            other = context.new_page()
            other.set_content(link)
            other.get_by_role("link").click()
            other.get_by_role("heading", name="Version 2").wait_for()
            assert other.get_by_role("button", name="Sign out").is_visible()
            page.goto(f"{url}/versions/v1")
            assert page.get_by_role("button", name="Sign out").is_visible()
        finally:
            context.close()
