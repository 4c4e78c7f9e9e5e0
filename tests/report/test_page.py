"""The page: everything in one file, nothing loaded, nothing of the data run as HTML."""

from __future__ import annotations

import builtins
import json
import re
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest

from everlearn import MissingExtra, SettingError, write_report
from everlearn.report.page import embedded, render
from everlearn.report.sections import read_sections

HOSTILE = "<script>alert('x')</script>\"><img src=x onerror=alert(1)>"
Make = Callable[..., Path]
RIGHT = {"plain": [[38, 0, 0, 0], [30, 40, 0, 0], [20, 22, 40, 0], [12, 10, 20, 40]], "replay": [[38, 0, 0, 0]] + [[38, 40, 40, 40]] * 3}


class Reader(HTMLParser):
    """Every element with its attributes, and the text of every script."""

    def __init__(self) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.text: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self.open.append(tag)
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        while self.open and self.open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            self.scripts[-1] += data
        elif "style" not in self.open:
            self.text.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [found for name, found in self.elements if name == tag]


def read(path: Path) -> Reader:
    reader = Reader()
    reader.feed(path.read_text(encoding="utf-8"))
    return reader


def words(reader: Reader) -> str:
    return " ".join("".join(reader.text).split())


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Reader:
    """The page of one ordinary comparison, read once."""
    made = request.getfixturevalue("make_in")(tmp_path_factory.mktemp("page"))
    return read(write_report(made("run")))


def test_the_page_loads_nothing_from_anywhere(page: Reader) -> None:
    for tag, attributes in page.elements:
        for name in ("src", "href", "data", "action", "srcset", "poster"):
            value = attributes.get(name)
            assert value is None or value.startswith("#"), f"<{tag} {name}={value!r}>"
    assert not {"link", "iframe", "object", "embed", "base", "form"} & {tag for tag, _ in page.elements}
    policy = next(found["content"] for found in page.all("meta") if found.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert "default-src 'none'" in policy


def test_plotly_is_inside_once_and_figures_are_json(page: Reader) -> None:
    assert sum("plotly.js v" in script for script in page.scripts) == 1
    figures = json.loads(next(script for script, found in zip(page.scripts, page.all("script"), strict=True) if found.get("id") == "figures"))
    assert set(figures) == {found["id"] for found in page.all("div") if found.get("class") == "plot"}
    assert len(figures) == 7


def test_every_section_of_the_page_is_there(page: Reader) -> None:
    text = words(page)
    for part in ("Verdict", "Summary", "The stream", "How sure it is", "Over the stream", "What it costs", "What else moved", "Task by task"):
        assert part in text
    assert "Examples lost and gained" in text
    assert "Task ids are hidden from the learner and at test." in text
    assert "everlearn compare towns --methods plain,replay" in text
    assert "chance5.05.05.0" in text
    assert "chrF2" in text


def test_the_page_can_be_read_without_seeing_it(page: Reader) -> None:
    assert page.all("html")[0]["lang"] == "en"
    assert {"header", "main", "nav", "footer"} <= {tag for tag, _ in page.elements}
    assert len(page.all("table")) == len(page.all("caption"))
    assert all(found.get("scope") in ("col", "row") for found in page.all("th"))
    assert all(found.get("role") == "img" and found.get("aria-label") for found in page.all("div") if found.get("class") == "plot")
    ids = [found["id"] for _, found in page.elements if found.get("id")]
    assert len(ids) == len(set(ids))
    named = [found["aria-labelledby"] for _, found in page.elements if found.get("aria-labelledby")]
    assert set(named) <= set(ids)
    scrolling = [found for _, found in page.elements if (found.get("class") or "") == "scroll"]
    assert scrolling
    assert all(found.get("tabindex") == "0" and found.get("aria-label") for found in scrolling)


def test_examples_show_the_question_and_both_answers(page: Reader) -> None:
    text = words(page)
    assert "Lost: answered correctly right after teaching, wrong at the end 76, 20 shown" in text
    assert "What is the river of town 39?" in text
    assert "Exe wrong" in text
    assert "outdated" in text


def test_hostile_text_stays_text(make: Make) -> None:
    hostile = {HOSTILE: RIGHT["replay"], "plain": RIGHT["plain"]}
    folder = make(right=hostile, said=HOSTILE, prompt=HOSTILE, stream=HOSTILE, about=HOSTILE, command=HOSTILE, model=HOSTILE)
    saved = json.loads((folder / "results.json").read_text())
    for run in saved["runs"]:
        run["matrix"]["experiences"][0] = HOSTILE
        run["probes"] = {HOSTILE: [1.0, None, None, 0.9]}
        run["divergence"] = {HOSTILE: [0.0, 0.1, 0.1, 0.1]}
        run["metrics"][HOSTILE] = 0.5
        run["settings"] = {HOSTILE: HOSTILE}
    for part in (*saved["experiences"], *saved["tasks"]):
        part["name"] = part["name"] if "score" in part else HOSTILE
    saved["tasks"][0]["score"] = HOSTILE
    (folder / "results.json").write_text(json.dumps(saved))
    page = read(write_report(folder))
    assert len(page.scripts) == 3
    assert not page.all("img")
    assert not [name for _, found in page.elements for name in found if name.startswith("on")]
    assert "alert('x')" in words(page)


def test_hostile_task_names_stay_text_too(make: Make) -> None:
    folder = make(answers=False)
    text = (folder / "results.json").read_text().replace('"first"', json.dumps(HOSTILE))
    (folder / "results.json").write_text(text)
    page = read(write_report(folder))
    assert len(page.scripts) == 3
    assert not page.all("img")


def test_embedded_json_cannot_end_its_script() -> None:
    assert "<" not in embedded({"</script>": ["<!--", "a\u2028b"]})
    assert json.loads(embedded({"</script>": ["<!--", "a\u2028b", "&"]})) == {"</script>": ["<!--", "a\u2028b", "&"]}


def test_half_a_surrogate_pair_does_not_stop_the_page(make: Make) -> None:
    path = write_report(make(said="Exe \ud83d"))
    assert "Exe ?" in path.read_text(encoding="utf-8")


def test_numbers_alone_make_a_page_that_says_what_is_missing(make: Make) -> None:
    text = words(read(write_report(make(answers=False))))
    assert "Only the numbers of these runs were kept, not the questions" in text


def test_an_old_file_makes_a_shorter_page(make: Make) -> None:
    folder = make(answers=False)
    saved = json.loads((folder / "results.json").read_text())
    keep = ("method", "seed", "matrix", "main_kind", "staleness", "metrics", "metrics_by_kind", "cost", "settings")
    runs = [{key: run[key] for key in keep} for run in saved["runs"]]
    (folder / "results.json").write_text(json.dumps({"stream": "towns", "model": "tiny", "runs": runs}))
    text = words(read(write_report(folder)))
    assert "These records hold no intervals." in text
    assert "These records hold no paired differences from plain." in text
    assert "These records do not hold the command." in text


def test_the_page_says_what_computed_it(make: Make) -> None:
    folder = make(answers=False)
    saved = json.loads((folder / "results.json").read_text())
    for run in saved["runs"]:
        run["hardware"] = {"device": "AMD <EPYC>", "threads": 2, "torch": "2.9.0"}
    (folder / "results.json").write_text(json.dumps(saved))
    assert "Computed on AMD <EPYC>, 2 threads, torch 2.9.0. Records:" in words(read(write_report(folder)))


def test_answers_that_were_not_kept_are_said_to_be_missing(make: Make) -> None:
    folder = make()
    for path in (folder / "runs").glob("*.answers.jsonl.gz"):
        path.unlink()
    assert "not the answers (runs/*.answers.jsonl.gz are not there)" in words(read(write_report(folder)))


def test_task_ids_that_were_given_are_said_to_be(make: Make) -> None:
    assert "Task ids are given to the learner and at test." in words(read(write_report(make(task_ids=True, answers=False))))


def test_several_streams_have_an_overview_with_ranks(make: Make) -> None:
    page = read(write_report([make("one", answers=False), make("two", answers=False, stream="rivers")], make("three", answers=False) / "both.html"))
    text = words(page)
    assert "Overview" in text
    assert "mean rank" in text
    assert len([found for found in page.all("section") if found.get("class") == "stream"]) == 2


def test_where_the_page_goes(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = make("one", answers=False), make("two", answers=False, stream="rivers")
    monkeypatch.chdir(tmp_path)
    assert write_report(one) == one / "report.html"
    assert write_report(one / "results.json") == one / "report.html"
    assert write_report([one, two]) == Path("report.html")
    assert write_report(one, tmp_path / "new" / "page.html").is_file()
    assert not list(one.glob(".*"))


@pytest.mark.parametrize("out", ["page.txt", "."])
def test_a_page_that_is_no_html_file_is_refused(make: Make, out: str) -> None:
    with pytest.raises(SettingError, match=rf"out must be the page's own file, ending in .html, got '{re.escape(out)}'"):
        write_report(make(answers=False), out)


def test_a_report_about_nothing_is_refused() -> None:
    with pytest.raises(SettingError, match=r"at least one run folder, got none .folders=\[\]."):
        write_report([])


@pytest.mark.parametrize("library", ["jinja2", "plotly"])
def test_a_missing_library_names_the_extra(make: Make, library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    usual = builtins.__import__

    def without(name: str, *more: object) -> object:
        if name.split(".")[0] == library:
            raise ImportError(name)
        return usual(name, *more)  # type: ignore[arg-type]

    sections = read_sections([make(answers=False)])
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtra, match=rf"library='{library}'.*pip install \"everlearn\[report\]\""):
        render(sections)


def test_the_report_never_imports_pytorch(make: Make) -> None:
    code = "import sys; from everlearn.report import write_report, write_picture; write_report(sys.argv[1]); print('torch' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code, str(make())], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "False"


def test_words_about_references_stand_only_where_one_ran(make: Make) -> None:
    without = words(read(write_report(make("a", right=RIGHT, answers=False))))
    assert "References" not in without
    assert "joint" not in without
    both = words(read(write_report(make("b", answers=False))))
    assert "References: joint, trained once on everything at the same time" in both
    assert "upper bound" not in both


def test_every_metric_that_has_a_word_is_defined(page: Reader) -> None:
    assert "points lost: the mean fall of a task from its best to the end" in words(page)
