"""The stream's time line: what came, where it changed, and how new rows fared before they were learned."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from everlearn.report.page import render
from everlearn.report.sections import read_sections
from everlearn.report.timeline import timeline_figures

Make = Callable[..., Path]
SENTENCE = "After row 90 (2021-05-01) rows are unlike before (p-value 2e-09, threshold 1e-05): more 'oven', fewer '<loan>'."
EXPERIENCES = [
    {"name": "1", "train": 90, "start": 0, "rows_of": {"banking": 90}, "events": [{"at": 90, "noticed": 120, "sentence": SENTENCE}]},
    {"name": "2", "train": 60, "start": 90, "rows_of": {"banking": 6, "<kitchen>": 54}, "events": []},
    {"name": "3", "train": 50, "start": 150, "rows_of": {"<kitchen>": 50}, "events": []},
]
TRIED = {"score": "loss", "window": 50, "ends": [50, 100, 150], "windowed": [0.5, 0.25, 0.75], "anytime": [0.5, 0.375, 0.5], "updates": [90, 150, 200]}


@pytest.fixture
def folder(make: Make) -> Path:
    made = make(experiences=EXPERIENCES)
    saved = json.loads((made / "results.json").read_text())
    for run in saved["runs"][:2]:
        run["prequential"] = TRIED
    (made / "results.json").write_text(json.dumps(saved))
    return made


def test_windowed_scores_and_the_anytime_average_have_a_line_a_method(folder: Path) -> None:
    windowed, anytime, _ = timeline_figures(read_sections([folder])[0])
    assert windowed.heads == ("method", "50", "100", "150")
    assert windowed.rows == (("plain", "50.0 %", "25.0 %", "75.0 %"), ("replay(share=1)", "50.0 %", "25.0 %", "75.0 %"))
    assert anytime.rows[0] == ("plain", "50.0 %", "37.5 %", "50.0 %")
    assert windowed.methods == (0, 1)
    assert [shape["x0"] for shape in windowed.layout["shapes"]] == [90]  # type: ignore[index, union-attr, call-overload]
    assert "the last 50 new rows. Upright lines: 1 change found." in windowed.about


def test_what_came_is_shown_part_by_part(folder: Path) -> None:
    figure = timeline_figures(read_sections([folder])[0])[-1]
    assert figure.title == "What came"
    assert figure.rows == (("1", "0", "90", "0"), ("2", "90", "6", "54"), ("3", "150", "0", "50"))
    assert [trace["y"] for trace in figure.data] == [[1.0, 0.1, 0.0], [0.0, 0.9, 1.0]]  # type: ignore[index, call-overload]


def test_the_page_tells_each_event_in_words_escaped(folder: Path) -> None:
    text = render(read_sections([folder]))
    assert "Changes found in it (1)" in text
    assert "more &#39;oven&#39;, fewer &#39;&lt;loan&gt;&#39;" in text
    assert "As time went on" in text


def test_a_stream_whose_boundaries_were_told_has_no_time_line(make: Make) -> None:
    sections = read_sections([make()])
    assert timeline_figures(sections[0]) == []
    assert "As time went on" not in render(sections)
    assert "Changes found in it" not in render(sections)
