"""The translator: terms and placeholders, a glossary that holds at once, loaders, the record."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from everlearn import DataError, Example, load_model
from everlearn.applications.following import Start
from everlearn.applications.glossary import Glossary, Term, keeps, placeholders, read_glossary, uses
from everlearn.applications.obeying import PROMPT, ObedientModel
from everlearn.applications.pairs import glossary_rows, read_translations
from everlearn.applications.phrases import TERMS, phrases
from everlearn.applications.translation import translate
from everlearn.learn.settings import Settings
from everlearn.report.application import write_application_page


class Literal:
    """Says a fixed text, and finds a continuation the likelier the closer its length is to `best` words."""

    def __init__(self, said: str) -> None:
        self.said, self.encoder = said, None

    def generate(self, prompts: Sequence[Example], limit: int, lines: bool = False) -> list[str]:
        return [self.said] * len(prompts)

    def score(self, prompts: Sequence[Example], continuations: Sequence[Sequence[str]]) -> list[list[float]]:
        return [[0.0 if text == " das Leiden ist akut" else -1.0 for text in given] for given in continuations]


def ask(source: str, language: str = "German") -> Example:
    return Example(prompt=PROMPT.format(language=language, source=source), completion="")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("%(count)s of %s: %d", ["%(count)s", "%s", "%d"]),
        ("Hi {name}, ${x} and {}", ["{name}", "${x}", "{}"]),
        ('<a href="x">here</a> <br/>', ['<a href="x">', "</a>", "<br/>"]),
        ("5 % so, 100 %sure, a < b > c", []),
    ],
)
def test_placeholders_are_told_from_text(text: str, expected: list[str]) -> None:
    assert placeholders(text) == expected
    assert keeps(text, f"{text} x")


def test_a_missing_term_goes_where_the_model_finds_it_likeliest() -> None:
    model = ObedientModel(Literal(" das Weh ist akut"), Glossary([Term("disease", "Leiden", "German")]))  # type: ignore[arg-type]
    assert model.generate([ask("The disease is acute")], 9) == [" das Leiden ist akut"]
    assert model.generate([ask("The disease is acute", "French")], 9) == [" das Weh ist akut"]
    assert model.generate([Example(prompt="The disease?", completion="")], 9) == [" das Weh ist akut"]


def test_the_tiny_model_obeys_every_term_and_keeps_every_placeholder_untrained() -> None:
    stream, glossary = phrases(tests=10, rows=10)
    model = ObedientModel(load_model("tiny"), glossary)
    tests = [e for experience in stream for rows in experience.tests.values() for e in rows]
    said = model.generate(tests, 24)
    wanted = [model.wanted(e) for e in tests]
    assert sum(map(len, wanted)) > 20
    for text, of in zip(said, wanted, strict=True):
        assert all(uses(text, one) for one in of)
        assert sorted(placeholders(text)) == sorted(one for one in of if placeholders(one))
    other = [Example(prompt="Question: What is 7 plus 5?\nAnswer:", completion="")]
    assert model.generate(other, 4) == [" 12"]


def test_two_terms_and_a_placeholder_hold_together_in_chinese_too() -> None:
    terms = [Term("tea", "茶叶"), Term("honey", "蜂蜜")]
    said = ObedientModel(load_model("tiny"), Glossary(terms)).obeying([ask("{name} sells tea and honey", "Chinese")] * 2, [" 上海卖米", " "])
    for text in said:
        assert uses(text, "茶叶")
        assert uses(text, "蜂蜜")
        assert placeholders(text) == ["{name}"]


def test_terms_never_stand_in_what_the_default_teaches() -> None:
    stream, _ = phrases()
    taught = " ".join(f"{e.prompt} {e.completion}" for experience in stream for e in experience.train)
    assert not [word for word, *_ in TERMS if word in taught]
    asked = {e.prompt for experience in stream for rows in experience.tests.values() for e in rows}
    assert not asked & {e.prompt for experience in stream for e in experience.train}


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("terms.jsonl", '{"source": "flu", "target": ""}\n', r"terms.jsonl:1: a term has two sides \(source='flu', target=''\)"),
        ("terms.tsv", "source\ttarget\nflu\tGrippe\n\tx\n", r"terms.tsv:3: a term has two sides"),
        ("terms.csv", "source,target,language,since\nflu,Grippe,de,soon\n", r"terms.csv:2: a date cannot be read \(since='soon'\)"),
    ],
)
def test_a_bad_glossary_is_named_by_file_and_line(tmp_path: Path, name: str, text: str, expected: str) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=expected):
        read_glossary(tmp_path / name)
    with pytest.raises(DataError, match="there is no glossary \\(file='.*none.csv'"):
        read_glossary(tmp_path / "none.csv")


def test_a_glossary_of_each_form_is_the_same(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"src": "flu", "tgt": "Grippe", "tgt_lang": "de"}\n', encoding="utf-8")
    (tmp_path / "a.csv").write_text("source,target,language\nflu,Grippe,German\n", encoding="utf-8")
    (tmp_path / "a.tsv").write_text("source\ttarget\tlanguage\nflu\tGrippe\tde\n", encoding="utf-8")
    assert {read_glossary(tmp_path / f"a.{form}").terms for form in ("jsonl", "csv", "tsv")} == {(Term("flu", "Grippe", "German"),)}


def test_pairs_become_domains_in_name_order(tmp_path: Path) -> None:
    for name, language in (("1-news", "de"), ("2-shop", "fr")):
        lines = [json.dumps({"src": f"Word {at}", "tgt": f"Wort {at}", "tgt_lang": language}) for at in range(20)]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines), encoding="utf-8")
    stream = read_translations(tmp_path)
    assert [(e.name, len(e.train), len(e.tests[e.name])) for e in stream] == [("1-news", 18, 2), ("2-shop", 18, 2)]
    assert stream.experiences[1].train[0].prompt == "Translate to French: Word 0\nTranslation:"
    (tmp_path / "2-shop.jsonl").write_text('{"src": "x", "tgt": "y"}\n', encoding="utf-8")
    with pytest.raises(DataError, match=r"2-shop.jsonl:1: tgt_lang must be text \(tgt_lang=None\)"):
        read_translations(tmp_path)
    (tmp_path / "2-shop.jsonl").write_text('{"src": "x", "tgt": "y", "tgt_lang": "de"}\n', encoding="utf-8")
    with pytest.raises(DataError, match="2-shop.jsonl has too few pairs to test any \\(1\\)"):
        read_translations(tmp_path)
    with pytest.raises(DataError, match="there are no translations \\(folder='.*none'"):
        read_translations(tmp_path / "none")


def test_the_record_tells_terms_before_and_after(tmp_path: Path) -> None:
    stream, glossary = phrases(tests=6, rows=8)
    record = translate(stream, glossary, "plain", Start("tiny", Settings(rate=3e-4, passes=1, batch=8)))
    free, obeyed = record.lines
    assert [period["name"] for period in record.periods] == ["before", "market-harbour", "market-hill", "program-harbour", "terms learned"]
    assert record.periods[-1]["learned"] == len(glossary_rows(glossary, ["Harbour", "Hill"])) == 8
    assert obeyed.curves["terms"] == [1.0] * 5
    assert obeyed.curves["placeholders"] == [1.0] * 5
    assert (free.totals["terms"] or 0) < 1
    assert set(obeyed.against) == {"chrF", "terms", "placeholders"}
    page = write_application_page(tmp_path / "page.html", record.to_json()).read_text(encoding="utf-8")
    assert "plain with glossary" in page
