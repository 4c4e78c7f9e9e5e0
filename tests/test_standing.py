"""Intervals and differences of runs, from their answers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from everlearn import Results, Run
from everlearn.evaluate.matrix import Matrix
from everlearn.records import Answered, AnswerRecord
from everlearn.standing import drawn, stand


def record(after_one: list[int], at_end: list[int]) -> AnswerRecord:
    """Task a is learned first and asked three times; b is learned last and always right in the end."""
    rows = {"a": [[0] * 50, after_one, at_end], "b": [[0] * 50, [0] * 50, [1] * 50]}
    return AnswerRecord(
        tuple(Answered(i, task, tuple(map(float, row)), ("",) * 50, (False,) * 50) for task, of in rows.items() for i, row in enumerate(of)), {}
    )


def run_of(method: str, answers: AnswerRecord, seed: int = 0) -> Run:
    rows = tuple(tuple(sum(next(x for x in answers.answered if (x.task, x.experience) == (t, i)).values) / 50 for t in "ab") for i in range(3))  # type: ignore[arg-type]
    matrix = Matrix(("a", "b"), ("1", "2"), rows, (1, 2), ("exact", "exact"))
    return Run(method, seed, matrix.to_json(), "exact", [], matrix.metrics(), {}, {"learn_seconds": 1.0, "evaluate_seconds": 1.0}, {})


def test_a_method_is_compared_with_plain_on_the_same_questions() -> None:
    lost, kept = record([1] * 50, [1] * 20 + [0] * 30), record([1] * 50, [1] * 22 + [0] * 28)
    runs = [run_of("plain", lost), run_of("replay", kept)]
    results = Results("towns", "tiny", runs)
    stand(results, [drawn(run, answers, {}) for run, answers in zip(runs, (lost, kept), strict=True)])
    found = {d.metric: d for d in results.differences}
    assert (found["average_accuracy"].method, found["average_accuracy"].against, found["average_accuracy"].runs) == ("replay", "plain", 1)
    assert found["average_accuracy"].mean == pytest.approx(0.02)
    assert 0 <= found["average_accuracy"].low <= 0.02 <= found["average_accuracy"].high < 0.06  # two rows gained, none lost
    assert found["forgetting"].mean == pytest.approx(-0.04)
    low, high = results.intervals["plain"]["average_accuracy"]
    assert low < 0.7 < high
    assert runs[0].intervals["average_accuracy"] == [low, high]


def test_only_runs_with_the_same_seed_are_paired() -> None:
    answers = record([1] * 50, [1] * 20 + [0] * 30)
    runs = [run_of("plain", answers, 0), run_of("plain", answers, 1), run_of("l2", answers, 1), run_of("ewc", answers, 2)]
    results = Results("towns", "tiny", runs)
    stand(results, [drawn(run, answers, {}) for run in runs])
    assert {d.method for d in results.differences} == {"l2"}
    assert all((d.mean, d.low, d.high) == (0, 0, 0) for d in results.differences)


def test_runs_without_answers_leave_what_an_earlier_comparison_found() -> None:
    answers = record([1] * 50, [1] * 20 + [0] * 30)
    runs = [run_of("plain", answers), run_of("l2", answers)]
    results = Results("towns", "tiny", runs)
    stand(results, [drawn(run, answers, {}) for run in runs])
    again = replace(results)
    stand(again, [{}, {}])
    assert (again.intervals, again.differences) == (results.intervals, results.differences)


def test_an_interval_is_of_the_same_runs_as_its_number() -> None:
    """Of seed 0 the answers are gone: an interval of seed 1 alone would stand beside the mean of both."""
    good, bad = record([1] * 50, [1] * 50), record([1] * 50, [0] * 50)
    runs = [run_of("plain", good, 0), run_of("plain", bad, 1)]
    results = Results("towns", "tiny", runs)
    stand(results, [{}, drawn(runs[1], bad, {})])
    assert "plain" not in results.intervals


def test_a_method_that_is_always_right_is_not_certain_to_be() -> None:
    """In the end all of 2 x 50 answers are right: 0.025 ** (1 / 100) is 0.9638, for one run and for two that were asked the same."""
    perfect, less = record([1] * 50, [1] * 50), record([1] * 50, [1] * 49 + [0])
    runs = [run_of("plain", perfect, 0), run_of("plain", perfect, 1), run_of("ewc", perfect, 0), run_of("ewc", less, 1)]
    results = Results("towns", "tiny", runs)
    stand(results, [drawn(run, answers, {}) for run, answers in zip(runs, (perfect, perfect, perfect, less), strict=True)])
    assert runs[0].intervals["average_accuracy"] == runs[0].intervals["learning_accuracy"] == [pytest.approx(0.9638, abs=1e-4), 1.0]
    assert results.intervals["plain"]["average_accuracy"] == runs[0].intervals["average_accuracy"]
    assert 0.97 < results.intervals["ewc"]["average_accuracy"][0] < 1
    assert results.intervals["plain"]["forgetting"] == [0.0, 0.0]  # a difference


def test_questions_about_the_same_facts_are_as_sure_as_one_of_them() -> None:
    answers = record([1] * 50, [1] * 25 + [0] * 25)
    run, same = run_of("plain", answers), {"a": range(50), "b": range(50)}
    drawn(run, answers, {})
    apart = run.intervals["learning_accuracy"]
    drawn(run, answers, same)
    assert (apart, run.intervals["learning_accuracy"]) == ([pytest.approx(0.9638, abs=1e-4), 1.0], [pytest.approx(0.9289, abs=1e-4), 1.0])
