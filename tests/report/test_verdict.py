"""The verdict: the right method, what it loses, and nothing claimed that the numbers do not hold."""

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
FROZEN = [[38, 0, 0, 0]] * 4
JOINT = [[38, 0, 0, 0], [None] * 4, [None] * 4, [39, 40, 40, 40]]


def of(folder: Path) -> Verdict:
    return verdict(read_sections([folder])[0])


def said(found: Verdict, about: str) -> str:
    return dict(found.sentences)[about]


def test_the_best_usable_method_is_recommended_and_bounds_never_are(make: Make) -> None:
    found = of(make(right={"joint": JOINT, "frozen": FROZEN, "plain": PLAIN, "replay": GOOD}))
    assert found.headline == "Use replay"
    assert found.figures[0] == ("known at the end", "93.8 %", "plain 51.2 %")
    bounds = said(found, "References")
    assert "joint (trained once on everything at the same time: it keeps all data" in bounds
    assert "reaches 99.4 %" in bounds
    assert "frozen (the untouched model" in bounds
    assert "replay closes 88 % of the gap between plain and joint" in bounds  # (93.75 - 51.25) / (99.375 - 51.25)


def test_what_even_the_best_loses_is_named(make: Make) -> None:
    found = of(make(right={"plain": PLAIN, "replay": GOOD}))
    assert said(found, "What even it loses").startswith("From its best to the end a task falls by 5.8 points on average.")
    assert "first (from 100.0 % to 92.5 %)" in said(found, "What even it loses")
    assert said(found, "What it costs") == (
        "Learning took 20 s, 2.0 times plain's 10 s. It keeps 120.0 kB beside the model. At most 640.0 MB of memory were in use at once (plain 640.0 MB)."
    )
    assert "keeping the old cost it 0.8 points of learning" in said(found, "What it learns")


def test_the_interval_of_the_paired_difference_decides(make: Make) -> None:
    found = of(make(right={"plain": PLAIN, "replay": GOOD}))
    assert "42.5 points ahead of plain (95 % interval of the paired difference 38.5 to 46.5): clearly above it." in said(found, "How sure")


def test_a_lead_within_its_interval_is_no_recommendation(make: Make) -> None:
    nearly = [*PLAIN[:3], [13, 10, 20, 40]]
    found = of(make(right={"plain": PLAIN, "l2": nearly}))
    assert found.headline == "l2 is ahead of plain, but not clearly"
    assert "that interval holds 0" in said(found, "How sure")


def test_plain_is_named_when_nothing_beats_it(make: Make) -> None:
    found = of(make(right={"plain": GOOD, "l2": PLAIN}))
    assert found.headline == "Plain fine-tuning is not beaten here"
    assert not any("plain's" in what for what, _, _ in found.figures)


def test_a_cheaper_method_that_is_not_told_apart_is_offered(make: Make) -> None:
    nearly = [*GOOD[:3], [37, 37, 38, 39]]
    found = of(make(right={"plain": PLAIN, "ewc(strength=1)": GOOD, "replay(share=1)": nearly}))
    assert found.headline == "replay(share=1) or ewc(strength=1): a tie"
    assert "ewc(strength=1) is not told apart from it and learns in 36 % less time." in said(found, "What it costs")  # 14 s of 22 s


def test_the_second_is_paired_by_its_answers_and_without_them_by_the_intervals(make: Make) -> None:
    right = {"plain": PLAIN, "replay": GOOD, "ewc": [*GOOD[:3], [30, 30, 30, 30]]}
    with_answers, without = (said(of(make(name, right, answers)), "How sure") for name, answers in (("a", True), ("b", False)))
    assert "the second, ewc (95 % interval of the paired difference" in with_answers
    assert "the second, ewc; the two 95 % intervals do not overlap." in without


def test_without_intervals_nothing_is_called_sure(make: Make) -> None:
    folder = make(right={"plain": PLAIN, "replay": GOOD}, answers=False, differences=[])
    saved = json.loads((folder / "results.json").read_text())
    for run in saved["runs"]:
        del run["intervals"]
    (folder / "results.json").write_text(json.dumps(saved))
    found = of(folder)
    assert "without intervals" in found.headline
    assert "nobody can say whether that is chance" in said(found, "How sure")


def test_one_run_alone_is_compared_with_nothing(make: Make) -> None:
    assert of(make("a", right={"plain": PLAIN})).headline == "Only plain fine-tuning was run: there is nothing to compare it with"
    assert of(make("b", right={"l2": PLAIN})).headline == "Only l2 was run: there is nothing to compare it with"
    assert of(make("c", right={"l2": PLAIN, "replay": GOOD})).headline == "replay knows most at the end"
    only = of(make("d", right={"joint": JOINT, "frozen": FROZEN}))
    assert only.headline == "Only references were run"
    assert "Run plain and a method" in said(only, "Next")


def test_a_method_that_loses_less_but_knows_less_is_told(make: Make) -> None:
    stiff = [[38, 0, 0, 0], [38, 10, 0, 0], [38, 10, 10, 0], [38, 10, 10, 10]]
    text = said(of(make(right={"plain": PLAIN, "replay": GOOD, "l2": stiff})), "What even it loses")
    assert "l2 loses less (0.0 points) but knows 42.5 % at the end." in text


def test_the_almanac_has_its_own_sentences(make: Make) -> None:
    folder = make(right={"plain": PLAIN, "replay": GOOD})
    saved = json.loads((folder / "results.json").read_text())
    for run, kept in zip(saved["runs"], (0.32, 0.984), strict=True):
        run["metrics"] |= {"kept": kept, "kept_never_rehearsed": 0.833, "stale": 0.034, "changed": 0.993, "new": 0.99}
    (folder / "results.json").write_text(json.dumps(saved))
    found = of(folder)
    assert "Of the facts that never changed it still answers 98.4 %, plain 32.0 %." in said(found, "Result")
    assert "Of the old facts that memory never brought back it keeps 83.3 % (plain 83.3 %)." in said(found, "What even it loses")
    assert "3.4 % of the changed facts get the outdated answer (plain 3.4 %)." in said(found, "What even it loses")
    assert "99.3 % of the changed facts and 99.0 % of the new ones, plain" in said(found, "What it learns")


def edited(folder: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    saved = json.loads((folder / "results.json").read_text())
    change(saved)
    (folder / "results.json").write_text(json.dumps(saved))
    return folder


def test_a_lead_that_turns_on_the_seeds_that_both_ran_is_no_recommendation(make: Make) -> None:
    """Plain ran with more seeds; where both ran, the paired difference is below 0 beyond chance."""
    told = {"method": "replay", "against": "plain", "metric": "average_accuracy", "mean": -0.03, "low": -0.05, "high": -0.01, "runs": 1}
    found = of(make(right={"plain": PLAIN, "replay": GOOD}, differences=[told]))
    assert not found.headline.startswith("Use")
    assert "is 3.0 points behind plain (95 % interval" in said(found, "How sure")


def test_what_ran_once_beside_what_ran_three_times_is_named(make: Make) -> None:
    def again(saved: dict[str, Any]) -> None:
        saved["runs"] += [{**saved["runs"][0], "seed": seed, "fingerprint": f"again{seed}"} for seed in (1, 2)]

    found = of(edited(make(right={"plain": PLAIN, "replay": GOOD}), again))
    assert "replay ran once, so how much the seed matters to it was not measured." in said(found, "How sure")
    assert "Each method ran once" not in said(found, "How sure")


def test_no_share_of_a_gap_that_may_be_chance(make: Make) -> None:
    nearly = [[38, 0, 0, 0], [None] * 4, [None] * 4, [13, 10, 20, 40]]
    found = of(make(right={"plain": PLAIN, "replay": GOOD, "joint": nearly}))
    assert "closes" not in said(found, "References")


def with_chance(saved: dict[str, Any], *levels: float) -> None:
    for task, level in zip(saved["tasks"], levels, strict=True):
        task["chance"] = level


def test_chance_stands_beside_the_score_and_a_score_that_does_not_clear_it_is_told(make: Make) -> None:
    low = edited(make("low", right={"plain": PLAIN, "replay": GOOD}), lambda saved: with_chance(saved, 0.2, 0.1, 0.1, 0.1))
    assert of(low).figures[0] == ("known at the end", "93.8 %", "plain 51.2 %, chance 12.5 %")
    assert said(of(low), "Chance") == "Always giving each task's commonest right answer would score 12.5 %."
    high = of(edited(make("high", right={"plain": PLAIN, "replay": GOOD}), lambda saved: with_chance(saved, 0.9, 0.9, 1.0, 0.9)))
    assert high.headline == "replay is clearly above plain, but not above chance"  # 90.8 to 96.8, chance 92.5
    assert "The interval of replay does not clear that" in said(high, "Chance")
    assert "In second the commonest answer is always right (chance 100 %), so this task says nothing" in said(high, "Chance")


def test_without_every_chance_level_nothing_is_said_of_chance(make: Make) -> None:
    assert "Chance" not in dict(of(make(right={"plain": PLAIN, "replay": GOOD})).sentences)


def test_a_tie_is_a_tie_and_says_what_decides(make: Make) -> None:
    """b is 1.3 points behind, which the paired interval does not tell apart: it is quicker, and loses less."""
    near = [[38, 0, 0, 0], [38, 30, 0, 0], [38, 30, 30, 0], [40, 40, 38, 30]]
    found = of(make(right={"plain": PLAIN, "replay(share=1)": GOOD, "ewc(strength=1)": near}))
    assert found.headline == "replay(share=1) or ewc(strength=1): a tie"
    text = said(found, "What decides")
    assert "ewc(strength=1) learns fastest (14 s)" in text
    assert "replay(share=1) learns the newest best (99.2 % right after teaching)" in text  # (40 + 40 + 39) / 120
    assert "ewc(strength=1) keeps the old best (nothing lost on average)" in text


def test_where_one_is_ahead_nothing_has_to_decide(make: Make) -> None:
    assert "What decides" not in dict(of(make(right={"plain": PLAIN, "replay": GOOD})).sentences)


def test_many_that_are_level_are_counted(make: Make) -> None:
    right = {"plain": PLAIN} | {name: [*GOOD[:3], [36, 37, 38, 39 - less]] for less, name in enumerate("abcd")}
    assert of(make(right=right)).headline == "a, b or 2 more: a tie"


def test_joint_is_a_reference_with_a_paired_difference_from_the_best(make: Make) -> None:
    text = said(of(make(right={"plain": PLAIN, "replay": GOOD, "joint": JOINT})), "References")
    assert "replay less joint: −5.6 points (95 % interval of the paired difference " in text
    assert "clearly below it." in text
    assert "paired" not in said(of(make("b", right={"plain": PLAIN, "replay": GOOD, "joint": JOINT}, answers=False)), "References")
