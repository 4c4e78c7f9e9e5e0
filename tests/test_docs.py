"""The pages: links lead somewhere, every method has its page, the tables are those of the results."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

from everlearn.learn.registry import LEARNERS, OBJECTIVES
from everlearn.methods import BY_NAME

ROOT = Path(__file__).parents[1]
EVERY = {**BY_NAME, **LEARNERS, **OBJECTIVES}
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_link_leads_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    missing = [target for target in targets if not target.startswith("http") and not (page.parent / target).exists()]
    assert missing == []


@pytest.mark.parametrize("name", EVERY)
def test_every_method_has_a_page_with_its_paper_and_settings(name: str) -> None:
    text = (ROOT / "docs" / "methods" / f"{name}.md").read_text(encoding="utf-8")
    for number in re.findall(r"arXiv:[\d.]+\d", EVERY[name].paper):
        assert number in text
    assert f"{name}(" in text


def test_no_page_has_a_table_left_to_be_written() -> None:
    for page in PAGES:
        for name, body in re.findall(r"<!-- ([\w ]+) -->(.*?)<!-- /\1 -->", page.read_text(encoding="utf-8"), flags=re.DOTALL):
            assert "|" in body or "Not measured" in body, f"{page.name}: {name}"


def test_every_measured_method_has_a_place_for_its_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    methods = runpy.run_path(str(ROOT / "benchmarks" / "methods.py"))["METHODS"]
    pages = {"bounds" if name in ("plain", "joint") else name for name in (re.split(r"[(+]", method)[0] for method in methods)}
    missing = [page for page in sorted(pages) if "<!-- measured -->\n" not in (ROOT / "docs" / "methods" / f"{page}.md").read_text(encoding="utf-8")]
    assert missing == []


def test_the_chinese_readme_has_the_english_ones_numbers_and_links() -> None:
    english, chinese = ((ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "README.zh.md"))
    for method in ("plain", "keep_current"):
        rows = [next(line for line in text.splitlines() if line.startswith(f"| {method} |")) for text in (english, chinese)]
        assert re.findall(r"[\d.]+", rows[0]) == re.findall(r"[\d.]+", rows[1])
    links = [sorted(re.findall(r"\]\(([^)]+)\)", text)) for text in (english, chinese)]
    assert [link for link in links[0] if link != "README.zh.md"] == [link for link in links[1] if link != "README.md"]
    code = [re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL) for text in (english, chinese)]
    assert code[0] == code[1]
