"""A plan: what is counted is exact, what is kept grows as the method keeps it, and what does not fit is not recommended."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from everlearn import DataError, Example, Experience, SettingError, Settings, Stream
from everlearn.cli import app
from everlearn.plan import BEST, METHODS, Planned, plan_runs, recommended
from everlearn.probing import Part, Probe

ROWS = tuple(Example(prompt=f"Question: What is {n} plus 5?\nAnswer:", completion=f" {n + 5}", task="sums") for n in range(48))
TESTS = tuple(Example(prompt=f"Question: What is 3 plus {n}?\nAnswer:", completion=f" {n + 3}") for n in range(6))
SUMS = Stream("sums", (Experience("1", ROWS[:24], {"sums": TESTS}, {"sums": "exact"}), Experience("2", ROWS[24:])))


def test_what_is_kept_and_the_steps_are_those_of_the_run() -> None:
    found = plan_runs(SUMS, "tiny", "plain,ewc(samples=2),replay(rows=10),frozen", Settings(passes=2, batch=8), probe=1)
    plain, ewc, replay, frozen = found.methods
    weights = 931_584 * 4
    assert [one.steps for one in found.methods] == [12, 12, 12, 0]
    assert plain.extra_bytes == frozen.extra_bytes == 0
    assert ewc.extra_bytes == 2 * weights
    a_row = len(json.dumps(ROWS[0].to_json()))
    assert 6 * a_row < replay.extra_bytes < 14 * a_row
    assert plain.memory > frozen.memory > weights
    assert ewc.memory - plain.memory == 2 * weights
    assert plain.learn_seconds > 100 * frozen.learn_seconds
    assert plain.test_seconds == frozen.test_seconds > 0
    assert found.recommended
    assert found.why.startswith(f"Begin with {found.recommended}")


PART = Part(rows=10, tokens=100, begin=1.0, steps=4.0, end=2.0, held=50, kept=0)


def probe(*kept: int, samples: float = float("inf"), most: float = float("inf")) -> Probe:
    twice = replace(PART, rows=20, tokens=200, begin=2.0, steps=8.0, end=4.0)
    parts = tuple(replace(part, kept=of) for part, of in zip((PART, PART, twice), kept, strict=True))
    return Probe(parts, 0.0, 0, 0, samples, most)


def test_time_goes_with_tokens_and_passes_and_a_measured_sample_is_bounded() -> None:
    assert probe(0, 0, 0).seconds(rows=100, tokens=1000, passes=3, first=False) == pytest.approx(10 + 3 * 40 + 20)
    assert probe(0, 0, 0, samples=20).seconds(rows=100, tokens=1000, passes=3, first=False) == pytest.approx(10 + 3 * 40 + 4)


def test_what_is_kept_is_fixed_or_grows_with_experiences_or_with_rows_up_to_a_bound() -> None:
    assert probe(80, 80, 80).extra(rows=1000, experiences=9) == 80
    assert probe(80, 160, 240).extra(rows=1000, experiences=9) == 9 * 80
    assert probe(100, 200, 400).extra(rows=1000, experiences=9) == 10_000
    assert probe(100, 200, 400, most=50).extra(rows=1000, experiences=9) == 500


def test_a_teachers_answers_grow_with_the_rows_of_an_experience() -> None:
    one, two = replace(PART, held=50), replace(PART, rows=20, held=90)
    assert Probe((one, one, two), 0.0, 0, 7, float("inf"), float("inf")).held(100) == 7 + 10 + 4 * 100
    assert Probe((PART, PART, replace(PART, rows=20)), 0.0, 0, 7, float("inf"), float("inf")).held(100) == 57


def test_what_does_not_fit_is_not_recommended() -> None:
    every = [Planned(name, 8, 60.0 * (len(BEST) - at), 0.0, 10**9 * (len(BEST) - at), 0) for at, name in enumerate(BEST)]
    assert recommended(every, 10**10, float("inf"))[0] == BEST[0]
    assert recommended(every, 10**10, 2.5)[0] == BEST[-2]
    chosen, why = recommended(every, 5 * 10**9, float("inf"))
    assert chosen == BEST[1]
    assert f"Too large or too slow here: {BEST[0]}." in why
    chosen, why = recommended(every, 10**8, float("inf"))
    assert chosen == ""
    assert "plain is nearest, and there is too little memory" in why
    assert set(BEST) == set(METHODS.split(","))


def test_data_without_rows_to_learn_and_an_empty_probe_are_refused() -> None:
    with pytest.raises(DataError, match="nothing to learn .data='none'"):
        plan_runs(Stream("none", (Experience("1", (), {"sums": TESTS}, {"sums": "exact"}),)))
    with pytest.raises(SettingError, match="got probe=0"):
        plan_runs(SUMS, probe=0)
    with pytest.raises(SettingError, match="minutes=0"):
        plan_runs(SUMS, minutes=0)


def test_the_command_prints_a_table_and_a_recommendation(tmp_path) -> None:  # type: ignore[no-untyped-def]
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps({"prompt": row.prompt, "completion": row.completion}) + "\n" for row in ROWS[:8]))
    given = ["plan", str(file), "--methods", "plain", "--probe", "1", "--batch", "2"]
    shown = CliRunner().invoke(app, given)
    assert shown.exit_code == 0, shown.output
    assert "Begin with plain" in shown.output
    told = json.loads(CliRunner().invoke(app, [*given, "--json"]).output)
    assert [one["method"] for one in told["methods"]] == ["plain"]
