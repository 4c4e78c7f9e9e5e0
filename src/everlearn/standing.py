"""Where the methods of a comparison stand: intervals, and differences from plain."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from everlearn.evaluate.intervals import Array, Interval, Sample, at_ends, independent, interval, over_runs, resampled
from everlearn.evaluate.matrix import Matrix
from everlearn.records import AnswerRecord
from everlearn.results import Difference, Results, Run

# Each metric of a run in every draw of the bootstrap; alike for runs over the same questions.
Draws = dict[str, Array]


# By task, which fact each question asks for.
Facts = Mapping[str, Sequence[int]]


def sample_of(run: Run, record: AnswerRecord, facts: Facts) -> Sample:
    """A run's scores by example."""
    matrix = Matrix.from_json(run.matrix)  # type: ignore[arg-type]
    sizes = {answered.task: len(answered.values) for answered in record.answered}
    values = {task: np.full((len(matrix.rows), sizes[task]), np.nan) for task in matrix.tasks}
    for answered in record.answered:
        values[answered.task][answered.experience] = np.array(answered.values, dtype=float)
    shares = {metric: {task: np.array(of, dtype=float) for task, of in by_task.items()} for metric, by_task in record.shares.items()}
    return Sample(values, dict(zip(matrix.tasks, matrix.learned, strict=True)), shares, facts)


def drawn(run: Run, record: AnswerRecord, facts: Facts) -> Draws:
    """The run's metrics in every draw; its own intervals are filled in.   facts: as `same_facts` numbers them, which are drawn as one."""
    matrix = Matrix.from_json(run.matrix)  # type: ignore[arg-type]
    tasks = [task for task, kind in zip(matrix.tasks, matrix.kinds, strict=True) if kind == run.main_kind]
    sample = sample_of(run, record, facts)
    draws = {metric: values for metric, values in resampled(sample, tasks).items() if run.metrics.get(metric) is not None}
    many = independent(sample, tasks)
    ends = {metric: at_ends(interval(values), many[metric]) if metric in many else interval(values) for metric, values in draws.items()}
    run.intervals = {metric: list(found) for metric, found in ends.items() if found is not None}
    return draws


def stand(results: Results, draws: Sequence[Draws]) -> None:
    """Fill in the cost over plain, each method's intervals, and its paired differences from plain.

    draws: those of each run, empty where the answers are not at hand: a method of such runs alone keeps the intervals that are there, one of
    which only some have their answers has none, since they would be of other runs than its numbers.
    """
    results.against_plain()
    by_method: dict[str, dict[tuple[int, int], Draws]] = {}
    for run, found in zip(results.runs, draws, strict=True):
        if found:
            by_method.setdefault(run.method, {})[run.seed, run.order] = found
    partly = {run.method for run, found in zip(results.runs, draws, strict=True) if not found and run.method in by_method}
    by_method = {method: runs for method, runs in by_method.items() if method not in partly}
    results.intervals = {method: of for method, of in results.intervals.items() if method not in partly}
    results.differences = [d for d in results.differences if not partly & {d.method, d.against}]
    for method, runs in by_method.items():
        shared = set.intersection(*(set(found) for found in runs.values()))
        alone = [run.intervals for run in results.runs if run.method == method]
        metrics = {metric: _together(metric, list(runs.values()), alone) for metric in next(iter(runs.values())) if metric in shared}
        results.intervals[method] = {metric: list(ends) for metric, ends in metrics.items() if ends is not None}
    plain = by_method.get("plain", {})
    kept = [d for d in results.differences if d.method not in by_method]
    results.differences = kept + [d for method, runs in by_method.items() if method != "plain" for d in differences(results, method, runs, plain)]


def _together(metric: str, draws: Sequence[Draws], alone: Sequence[Mapping[str, Sequence[float]]]) -> Interval | None:
    """The interval over runs; of a share at 0 or at 1 in every run, theirs (`alone`): more seeds ask no more questions."""
    found = interval(over_runs([of[metric] for of in draws]))
    if found not in ((0.0, 0.0), (1.0, 1.0)):
        return found
    ends = [of[metric] for of in alone if metric in of]
    return min(low for low, _ in ends), max(high for _, high in ends)


def prints(runs: Iterable[tuple[str, str]]) -> dict[str, set[str]]:
    """The fingerprints of each method's runs, from (method, fingerprint)."""
    found: dict[str, set[str]] = {}
    for method, print_of in runs:
        found.setdefault(method, set()).add(print_of)
    return found


def still_true(earlier: Results, asked: Mapping[str, set[str]]) -> tuple[dict[str, dict[str, list[float]]], list[Difference]]:
    """The intervals and differences of an earlier comparison of those methods that have just these runs in it.   asked: as `prints` gives them."""
    had = prints((run.method, run.fingerprint) for run in earlier.runs)
    same = {method for method, of in asked.items() if had.get(method) == of}
    intervals = {method: of for method, of in earlier.intervals.items() if method in same}
    return intervals, [found for found in earlier.differences if {found.method, found.against} <= same]


def differences(results: Results, method: str, runs: dict[tuple[int, int], Draws], plain: dict[tuple[int, int], Draws]) -> list[Difference]:
    """The method less plain in every metric that both have, over the seeds and orders that both ran."""
    values = {(run.method, run.seed, run.order): run.metrics for run in results.runs}
    both = [key for key in runs if key in plain]
    found = []
    for metric in next(iter(runs.values())) if both else ():
        pairs = [(values[(method, *key)].get(metric), values[("plain", *key)].get(metric)) for key in both]
        means = [mine - other for mine, other in pairs if mine is not None and other is not None]
        if len(means) < len(both) or any(metric not in runs[key] or metric not in plain[key] for key in both):
            continue
        if (ends := interval(over_runs([runs[key][metric] - plain[key][metric] for key in both]))) is not None:
            found.append(Difference(method, "plain", metric, float(np.mean(means)), *ends, len(both)))
    return found
