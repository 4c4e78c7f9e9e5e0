"""How sure a number is: paired bootstrap over examples, and over seeds and task orders. Numpy alone."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from everlearn.evaluate.matrix import metrics_of, peaks_of

Array = NDArray[np.float64]
Interval = tuple[float, float]
DRAWS = 1000  # the ends of a 95 % interval then move by about a tenth of its width from one seed to another
SURE = 0.95


@dataclass(frozen=True, slots=True)
class Sample:
    """The numbers of one run by example.

    values: by task, (T + 1, n), the score of each example after each experience, NaN where it does not count or was not measured.
    learned: by task, the first experience that teaches it, 0 if there is none.   shares: by metric and task, (n,), numbers whose mean over
    all tasks is the metric, NaN where an example is no part of it.   facts: by task, which fact each example asks for, as `same_facts` numbers
    them; a task that is not in it asks for another with each.
    """

    values: Mapping[str, Array]
    learned: Mapping[str, int]
    shares: Mapping[str, Mapping[str, Array]] = field(default_factory=dict)
    facts: Mapping[str, Sequence[int]] = field(default_factory=dict)


def resampled(sample: Sample, tasks: Sequence[str], seed: int = 0, draws: int = DRAWS) -> dict[str, Array]:
    """Each metric over `tasks` (of one kind of score) and each share, (draws,), with the examples of every task drawn anew with replacement.

    The draws depend on the seed, the tasks, their sizes and their facts alone, so two runs over the same questions are resampled alike: their
    difference is the paired one. Forgetting takes its best from the experience that is the best on all examples: the largest of several noisy means lies
    above the truth, in a draw once more than in the sample, and the interval would slide off its number.
    """
    learned = [sample.learned[task] for task in tasks]
    sizes = {task: values.shape[1] for task, values in sample.values.items()}
    sizes |= {task: len(values) for by_task in sample.shares.values() for task, values in by_task.items()}
    drawn = drawn_by_fact(sizes, sample.facts, seed, draws)
    stays = {task: np.where(np.isnan(sample.values[task][-1]), np.nan, sample.values[task]) for task in tasks}  # what still counts at the end
    whole = np.stack([means(np.ones((1, stays[task].shape[1])), stays[task])[0] for task in tasks], axis=1)  # (T + 1, J)
    rows, lasting = (np.stack([means(drawn[task], of[task]) for task in tasks], axis=2) for of in (sample.values, stays))  # (draws, T + 1, J)
    found = dict(metrics_of(rows, learned, peaks_of(whole, learned), lasting))
    for metric, by_task in sample.shares.items():
        total = sum((drawn[task] @ np.nan_to_num(values) for task, values in by_task.items()), np.zeros(draws))
        many = sum((drawn[task] @ ~np.isnan(values) for task, values in by_task.items()), np.zeros(draws))
        found[metric] = np.divide(total, many, out=np.full(draws, np.nan), where=many > 0)
    return found


def drawn_by_fact(sizes: Mapping[str, int], facts: Mapping[str, Sequence[int]], seed: int, draws: int) -> dict[str, Array]:
    """How often each example of every task is drawn, by task (draws, size): as often as the first one, in any task, that asks for the same fact.

    Questions about one fact are right or wrong together, so to draw them one by one would count a fact once for each of its phrasings (the bootstrap
    by cluster: Davison and Hinkley 1997, Bootstrap Methods and their Application, 3.8). Where every example asks for a fact of its own these are `counts`.
    A task of which a draw would then have nothing is drawn by itself there.
    """
    first: dict[int, Array] = {}
    found = {}
    for task, size in sizes.items():
        own = counts(task, size, seed, draws)
        if task in facts:
            together = np.stack([first.setdefault(fact, own[:, place]) for place, fact in enumerate(facts[task])], axis=1)
            own = np.where(together.any(axis=1, keepdims=True), together, own)
        found[task] = own
    return found


def counts(task: str, size: int, seed: int, draws: int) -> Array:
    """How often each of `size` examples is drawn, (draws, size); every row sums to size."""
    key = int.from_bytes(hashlib.sha256(f"{seed}/{task}/{size}".encode()).digest()[:8])
    drawn = np.random.default_rng(key).integers(size, size=(draws, size)) + size * np.arange(draws)[:, None]
    return np.bincount(drawn.ravel(), minlength=draws * size).reshape(draws, size).astype(float)


def means(drawn: Array, values: Array) -> Array:
    """The mean of each row of `values` (T + 1, n) in each draw, (draws, T + 1); NaN of nothing."""
    many = drawn @ ~np.isnan(values).T
    return np.asarray(np.divide(drawn @ np.nan_to_num(values).T, many, out=np.full(many.shape, np.nan), where=many > 0))


def over_runs(runs: Sequence[Array], seed: int = 0) -> Array:
    """The mean over runs (seeds, task orders) in each draw, (draws,), the runs themselves drawn anew with replacement: one run stays itself.

    With few runs this is too narrow, as every bootstrap of few things is: three seeds say little of a fourth.
    """
    stacked = np.stack(list(runs))  # (S, draws)
    picked = np.random.default_rng(seed).integers(len(stacked), size=stacked.shape)
    return np.asarray(np.take_along_axis(stacked, picked, axis=0).mean(axis=0))


def interval(draws: Array, sure: float = SURE) -> Interval | None:
    """The percentiles between which `sure` of the draws lie; None if the metric is not defined."""
    if np.isnan(draws).any():
        return None
    low, high = np.quantile(draws, [(1 - sure) / 2, (1 + sure) / 2])
    return float(low), float(high)


def at_ends(found: Interval | None, answers: int, sure: float = SURE) -> Interval | None:
    """The interval of a mean of scores of 0 to 1, its other end opened where every draw is 0 or every draw is 1.

    answers: how many independent ones the mean is of, at least 1.

    What is always right in the sample is right in all its draws, so a bootstrap says that it is certain; n right answers say no more than that the
    share is not below ((1 - sure) / 2) ** (1 / n): less would show so clean a sample too seldom. That is the interval of Clopper and Pearson (1934,
    Biometrika 26:404) at its ends. Of the usual ones it alone is never surer than it says, and there it needs no table. It holds as well for
    scores between 0 and 1 that are all 0 or all 1, and for answers of unequal difficulty. Any other interval stays as it was.

    >>> at_ends((1.0, 1.0), 100)
    (0.9637833073548235, 1.0)
    """
    if found not in ((0.0, 0.0), (1.0, 1.0)):
        return found
    least = ((1 - sure) / 2) ** (1 / answers)
    return (least, 1.0) if found == (1.0, 1.0) else (0.0, 1 - least)


def independent(sample: Sample, tasks: Sequence[str]) -> dict[str, int]:
    """How many facts stand behind each metric over `tasks` that is a mean of scores, and each share; differences have no entry.

    A mean over J tasks stands on J times the facts of its smallest (every task weighs the same, so few answers in one leave much open), and on no
    more than there are.
    """
    rows = {"average_accuracy": dict.fromkeys(tasks, -1), "learning_accuracy": {task: sample.learned[task] for task in tasks}}
    found = {}
    for metric, of in rows.items():
        each = [asked for task, row in of.items() if (asked := _asked(sample, task, sample.values[task][row]))]
        found[metric] = min(len(each) * min(map(len, each), default=0), len(set().union(*each)))
    return found | {metric: len(set().union(*(_asked(sample, task, of[task]) for task in of))) for metric, of in sample.shares.items()}


def _asked(sample: Sample, task: str, values: Array) -> set[object]:
    """The facts of a task's examples that have a number here."""
    facts = sample.facts.get(task)
    return {(task, place) if facts is None else facts[place] for place in np.flatnonzero(~np.isnan(values)).tolist()}


def mean_interval(values: Sequence[float], seed: int = 0) -> Interval:
    """The 95 % bootstrap interval of a mean over examples.

    >>> low, high = mean_interval([0, 1, 1, 1] * 25)
    >>> round(low, 1), round(high, 1)
    (0.7, 0.8)
    """
    found = interval(means(counts("", len(values), seed, DRAWS), np.array([values], dtype=float))[:, 0])
    assert found is not None
    return found
