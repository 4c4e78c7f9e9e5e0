"""What even the best loses: nothing said twice, nothing left out, no number that needs a second thought."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from everlearn.report.sections import read_sections
from everlearn.report.verdict import Verdict, verdict

Make = Callable[..., Path]
PLAIN = [[38, 0, 0, 0], [30, 40, 0, 0], [20, 22, 40, 0], [12, 10, 20, 40]]
GOOD = [[38, 0, 0, 0], [38, 40, 0, 0], [37, 38, 40, 0], [36, 37, 38, 39]]


def of(make: Make, change: Callable[[list[dict[str, Any]]], object]) -> Verdict:
    folder = make(right={"plain": PLAIN, "replay": GOOD}, answers=False)
    saved = json.loads((folder / "results.json").read_text())
    change(saved["runs"])
    (folder / "results.json").write_text(json.dumps(saved))
    return verdict(read_sections([folder])[0])


def lost(found: Verdict) -> str:
    return dict(found.sentences)["What even it loses"]


def test_damage_to_untaught_text_is_told_with_plain_beside_it(make: Make) -> None:
    def moved(runs: list[dict[str, Any]]) -> None:
        for run, end, distance in ((runs[0], 25925.3, 2.539), (runs[1], 15468.0, 2.246)):
            run["divergence"] = {"kl": [4.3e-10, 1.0, 1.0, distance], "perplexity": [1705.4, 2000.0, 3000.0, end]}

    text = lost(of(make, moved))
    assert "On text the stream does not teach perplexity rises from 1,705 to 15,468, 9.1 times (plain: 25,925, 15.2 times)" in text
    assert "the KL divergence from the untouched model is 2.25 nats per token at the end (plain: 2.54)." in text


def test_probes_that_fell_are_told_and_others_are_not(make: Make) -> None:
    def probes(runs: list[dict[str, Any]]) -> None:
        runs[0]["probes"] = {"arithmetic": [0.5, None, None, 0.1]}
        runs[1]["probes"] = {"arithmetic": [0.5, None, None, 0.4], "refusals": [0.5, None, None, 0.6]}

    text = lost(of(make, probes))
    assert "Of the probes, arithmetic (from 50.0 % to 40.0 %; plain to 10.0 %) fell." in text
    assert "refusals" not in text


def test_where_tasks_gained_nothing_is_called_lost(make: Make) -> None:
    found = of(make, lambda runs: runs[1]["metrics"].update(forgetting=-0.027))
    assert lost(found).startswith("On average nothing was lost (tasks gained 2.7 points). The one that fell most is first (from 100.0 % to 92.5 %).")
    assert ("lost on average", "none", "tasks gained 2.7 points, plain 63.3") in found.figures
    assert "loses less" not in lost(found)


def test_nothing_lost_is_said_so(make: Make) -> None:
    def still(runs: list[dict[str, Any]]) -> None:
        runs[1]["metrics"]["forgetting"] = 0.0
        runs[1]["matrix"]["rows"] = [[0.0] * 4] * 3 + [[1.0] * 4]

    assert lost(of(make, still)).startswith("On average nothing was lost. No task ends below its best.")
