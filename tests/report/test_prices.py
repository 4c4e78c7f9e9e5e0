"""Costs: steps and tokens beside seconds, and a word where seconds cannot be believed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from everlearn.report.sections import read_sections
from everlearn.report.tables import cost_columns, costs
from everlearn.report.verdict import verdict

Make = Callable[..., Path]
PLAIN = [[38, 0, 0, 0], [30, 40, 0, 0], [20, 22, 40, 0], [12, 10, 20, 40]]
GOOD = [[38, 0, 0, 0], [38, 40, 0, 0], [37, 38, 40, 0], [36, 37, 38, 39]]
JOINT = [[38, 0, 0, 0], [None] * 4, [None] * 4, [39, 40, 40, 40]]


def folder(make: Make, **cost: float) -> Path:
    """Plain took 10 s, 50 steps and 1,000 tokens; replay what is given."""
    place = make(right={"plain": PLAIN, "replay": GOOD, "joint": JOINT}, answers=False)
    saved: dict[str, Any] = json.loads((place / "results.json").read_text())
    for run, own in zip(saved["runs"], ({}, cost, {}), strict=True):
        run["cost"] |= {"steps": 50, "learned_tokens": 1000} | own
    (place / "results.json").write_text(json.dumps(saved))
    return place


def told(place: Path) -> str:
    return dict(verdict(read_sections([place])[0]).sentences)["What it costs"]


def test_steps_tokens_and_memory_stand_beside_seconds(make: Make) -> None:
    text = told(folder(make, learned_tokens=19115))
    assert "It took 50 steps (plain 50) and 19,115 learned tokens (plain 1,000)." in text
    assert "At most 640.0 MB of memory were in use at once (plain 640.0 MB)." in text
    assert "disturbed" not in text


def test_more_work_in_less_time_is_called_disturbed(make: Make) -> None:
    assert "Times were disturbed: replay took less time than plain" in told(folder(make, learn_seconds=5.0))


def test_less_work_in_less_time_is_not(make: Make) -> None:
    assert "disturbed" not in told(folder(make, learn_seconds=5.0, steps=20))


def test_joint_has_its_cost_in_the_table_too(make: Make) -> None:
    (section,) = read_sections([folder(make)])
    lines = {line.method.label: [cell.text for cell in line.cells] for line in costs(section)}
    assert [column.head for column in cost_columns(section)] == ["learning", "of plain's", "steps", "learned tokens", "keeps", "memory"]
    assert lines["joint"] == ["25 s", "2.5×", "50", "1,000", "120.0 kB", "640.0 MB"]
