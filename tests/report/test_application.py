"""The page of an application: its chart, its numbers, and that nothing it shows is taken for markup."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from everlearn import SettingError
from everlearn.report.application import write_application_page


def record(**more: object) -> dict[str, object]:
    lines = [
        {"name": name, "role": role, "curves": {"right": curve}, "totals": {"right": curve[-1]}, "intervals": {}, "against": {}, "seconds": {"learning": 1.5}}
        for name, role, curve in (
            ("frozen", "frozen", [0.1, None, 0.1]),
            ("plain", "plain", [0.2, 0.3, 0.4]),
            ("<b>mine</b>", "everlearn", [0.5, 1.0, 1.0]),
            ("kNN", "baseline", [None, None, None]),
        )
    ]
    told = {"application": "support", "data": "shop", "about": "", "model": "tiny", "settings": {"rate": 1e-3}, "command": "", "created": "2026-01-01"}
    periods = [{"name": name, "learned": 3, "asked": 4} for name in ("one", "two", "a very long name of a period")]
    examples = [{"asked": "</td><script>alert(1)</script>", "plain": "no"}]
    return {**told, "periods": periods, "measures": {"right": "answered right"}, "lines": lines, "examples": examples, "notes": ["a & b"], **more}


def test_a_line_a_run_with_gaps_where_nothing_was_asked(tmp_path: Path) -> None:
    page = write_application_page(tmp_path / "a.html", record()).read_text(encoding="utf-8")
    assert page.count("<circle") == 2 + 3 + 3
    assert page.count("<polyline") == 2  # the frozen model's two numbers have a gap between them
    assert "frozen, one: 10.0" in page
    assert "a very long…" in page
    assert "<dt>right</dt><dd>answered right</dd>" in page


def test_what_is_shown_is_no_markup_and_nothing_is_fetched(tmp_path: Path) -> None:
    page = write_application_page(tmp_path / "a.html", record()).read_text(encoding="utf-8")
    assert "<b>mine</b>" not in page
    assert "<script" not in page
    assert "default-src 'none'" in page
    assert not re.search(r"https?://", page)


def test_one_period_has_no_chart(tmp_path: Path) -> None:
    page = write_application_page(tmp_path / "a.html", record(periods=[{"name": "one", "learned": 0, "asked": 1}])).read_text(encoding="utf-8")
    assert '<svg class="chart"' not in page


def test_a_page_is_an_html_file(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"ending in .html, got '.*a.txt'"):
        write_application_page(tmp_path / "a.txt", record())
