"""Every text is there in both languages, says the same with the same names, and is used."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from everlearn.serve.pages import words
from everlearn.serve.pages.history import WHYS
from everlearn.serve.pages.words import LANGUAGES, WORDS
from tests.serve.pages.conftest import NAMES

FOLDER = Path(words.__file__).parent


@pytest.mark.parametrize("key", WORDS)
def test_a_text_is_in_both_languages_with_the_same_names(key: str) -> None:
    english, chinese = WORDS[key]
    assert english.strip() == english != ""
    assert chinese.strip() == chinese != ""
    assert sorted(re.findall(r"{\w+}", english)) == sorted(re.findall(r"{\w+}", chinese))
    assert sorted(re.findall(r"</?\w+>", english)) == sorted(re.findall(r"</?\w+>", chinese))
    plain = re.sub(r"{\w+}|</?\w+>", " ", chinese)
    assert set(re.findall(r"[A-Za-z][A-Za-z0-9]*", plain)) <= NAMES
    assert re.search("[\u4e00-\u9fff]", plain)


def test_no_text_is_named_that_is_not_there_and_none_is_there_for_nothing() -> None:
    sources = [path.read_text(encoding="utf-8") for path in FOLDER.iterdir() if path.suffix in (".html", ".py") and path.name != "words.py"]
    named = {word for text in sources for word in re.findall(r"['\"](\w+)['\"]", text)} | set(WHYS.values())
    made = {"state_", "says_", "problem_", "done_"}  # beginnings that are joined to what is known when the page is made
    assert {key for key in WORDS if key not in named and not key.startswith(tuple(made))} == set()
    said = {word for text in sources for word in re.findall(r"say\(['\"](\w+)['\"][,)]", text)}
    assert said - set(WORDS) == set()
    assert set(LANGUAGES) == {"en", "zh"}
