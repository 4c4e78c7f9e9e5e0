"""Pages are whole, escaped, in the reader's language, and keep to themselves."""

from __future__ import annotations

import html
import re
from types import SimpleNamespace

import pytest

from everlearn import Example, Home, Passage, load_model
from everlearn.serve.documents import Documents
from everlearn.serve.pages.looking import asked
from everlearn.serve.running import served
from tests.serve.calling import call
from tests.serve.pages.conftest import HOSTILE, NAMES, PATHS, Visitor


def shown(page: str) -> str:
    """What a reader reads or hears: without tags, commands, and what is marked as English."""
    page = re.sub(r"<(code|title|textarea|option)\b.*?</\1>|<span lang=\"en\">.*?</span>|<a [^>]*hreflang=\"en\".*?</a>", " ", page, flags=re.DOTALL)
    page = re.sub(r"(<td data-head=[^>]*>).*?</td>", r"\1", page, flags=re.DOTALL)  # answers, in whatever language they were given
    heard = re.findall(r'(?:aria-label|title|data-over|data-head|alt|placeholder)="([^"]*)"', page)
    return html.unescape(re.sub(r"<[^>]*>", "\n", page) + "\n" + "\n".join(heard))


@pytest.mark.parametrize("path", PATHS)
def test_a_chinese_page_has_no_fixed_text_in_english(read_only: str, path: str) -> None:
    told = Visitor(read_only).get(path, Accept_Language="zh-CN,zh;q=0.9,en;q=0.8")
    assert told.status == (404 if path == "/nowhere" else 200)
    assert '<html lang="zh-CN">' in told.text
    assert told.headers["content-language"] == "zh"
    text = shown(told.text).replace(HOSTILE, " ")
    data = {"home", "first", "second", "owls", "gazette", "mayor", "The", "Ann", "jsonl", "csv"}
    assert set(re.findall(r"[A-Za-z]{3,}", text)) - data <= NAMES


@pytest.mark.parametrize("path", PATHS)
def test_hostile_text_stays_text_and_nothing_is_loaded_from_elsewhere(read_only: str, path: str) -> None:
    told = Visitor(read_only).get(path)
    assert "<script>" not in told.text
    assert "<img" not in told.text
    assert set(re.findall(r'<script src="([^"]*)"', told.text)) <= {"/pages/live.js"}
    assert re.findall(r'\b(?:src|href|action)="(?!/|#)([^"]*)"', told.text) == []
    assert " style=" not in told.text
    assert " on" not in re.sub(r'"[^"]*"', "", "".join(re.findall(r"<[^>]*>", told.text)))
    policy = told.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert told.headers["x-content-type-options"] == "nosniff"
    assert told.headers["cache-control"] == "no-store"


def test_the_hostile_texts_are_there_to_be_read(read_only: str) -> None:
    for path in ("/", "/versions", "/versions/v3", "/memory?q=mayor"):
        assert HOSTILE in html.unescape(Visitor(read_only).get(path).text)
    assert HOSTILE in html.unescape(Visitor(read_only).get("/ask?q=" + "%3Cscript%3Ealert('x')%3C/script%3E%22%3E%3Cimg%20src=x%20onerror=alert(1)%3E").text)


def test_the_language_is_chosen_by_a_link_and_remembered(read_only: str) -> None:
    visitor = Visitor(read_only)
    assert '<html lang="en">' in visitor.get("/versions").text
    assert "/versions?lang=zh" in visitor.page
    told = visitor.get("/versions?lang=zh")
    assert '<html lang="zh-CN">' in told.text
    assert "SameSite=Strict" in told.headers["set-cookie"]
    assert '<html lang="zh-CN">' in visitor.get("/ask").text
    assert '<html lang="en">' in visitor.get("/ask?lang=en").text
    assert '<html lang="en">' in visitor.get("/ask?lang=xx", Accept_Language="fr").text
    assert 'href="/memory?q=a%26b&amp;lang=zh"' in visitor.get("/memory?q=a%26b").text


def test_what_cannot_be_done_is_told_as_a_page_to_whoever_reads_pages(read_only: str) -> None:
    visitor = Visitor(read_only)
    for path, status, words in (
        ("/versions/v9", 404, "There is no version of that name."),
        ("/versions/v3/rollback", 400, "Only a version that was in service before"),
        ("/learn/77", 404, "There is no file of that name."),
        ("/learn/..%2f..%2fhome.json", 404, "No page lies"),
        ("/memory?q=mayor&as_of=soon", 400, "This is no date."),
        ("/ask?q=x&before=v9", 400, "no such model"),
        ("/ask?q=" + "x" * 5000, 400, "This cannot be done"),
        ("/v1/nothing", 404, "There is nothing here"),
        ("/pages/..", 404, "No page lies"),
    ):
        told = visitor.get(path)
        assert told.status == status, path
        assert words in told.text
        assert told.headers["content-type"].startswith("text/html")
    assert call(read_only, "GET", "/v1/nothing").error.startswith("There is no such address")
    assert call(read_only, "GET", "//evil.example/x", None, None, Accept="text/html").text.count('href="//') == 0


def test_style_script_and_mark_are_there(read_only: str) -> None:
    for name, kind in (("style.css", "text/css"), ("live.js", "text/javascript"), ("mark.svg", "image/svg+xml")):
        told = call(read_only, "GET", f"/pages/{name}")
        assert told.status == 200
        assert told.headers["content-type"].startswith(kind)
    assert call(read_only, "GET", "/pages/words.py").status == 404
    assert 'route="/pages/{name}"' in call(read_only, "GET", "/metrics").text


def test_the_pages_tell_the_home_as_it_is(read_only: str) -> None:
    visitor = Visitor(read_only)
    assert "<b>v2</b> answers" in visitor.get("/").text
    assert "The newest 4 versions" not in visitor.page
    assert visitor.get("/versions").text.count('<li class="card ') == 4
    page = visitor.get("/versions/v2").text
    assert "Enough was learned" not in page  # this home asks for no gain
    assert "went from 0.0 % to 100.0 %" in page
    assert "from v1 to v2" in re.sub("From", "from", page)
    other = visitor.get("/versions/v2?with=v0").text
    assert "From v0 to v2" in other
    refused = visitor.get("/versions/v3").text
    assert "Why it was refused" in refused
    assert "Roll back" not in refused
    ask = visitor.get("/ask?q=Where+does+the+owl+number+3+live%3F").text
    assert [text.split() for text in re.findall(r'<div class="answer"><h3>(.*?)</h3><p>', ask)] == [["v1"], ["v2"]]


def test_a_question_shows_what_was_read_before_the_answer(home: Home) -> None:
    Documents(home).add([Passage("What is the owl of Ashford? Tawny.", "owl of Ashford", "2024", source="bird book")])
    with served(home) as url:
        told = Visitor(url).get("/ask?q=What%20is%20the%20owl%20of%20Ashford%3F").text
        assert "Read before the answer" in told
        assert "What is the owl of Ashford? Tawny." in told
        assert "bird book" in told
        assert "Read before the answer" not in Visitor(url).get("/ask?q=Once%20upon%20a%20time").text


def test_a_prompt_in_the_templates_own_form_is_not_framed_twice() -> None:
    served_version = SimpleNamespace(model=load_model("tiny"))
    framed = "Question: Who keeps the lamp?\nAnswer:"
    assert asked(served_version, f"{framed}\n") == Example(prompt=framed, completion="")  # type: ignore[arg-type]
    assert asked(served_version, "Who keeps the lamp?").messages is not None  # type: ignore[arg-type]
    served_version.model.tokenizer.chat_template = None
    assert asked(served_version, "Who?") == Example(prompt="Who?", completion="")  # type: ignore[arg-type]
