"""The bootstrap against statistics known in closed form."""

from __future__ import annotations

import numpy as np
import pytest

from everlearn.evaluate.intervals import Sample, at_ends, counts, drawn_by_fact, independent, interval, mean_interval, over_runs, resampled
from everlearn.evaluate.matrix import Matrix

RANDOM = np.random.default_rng(0)


def flips(share: float, size: int) -> np.ndarray:
    return (np.arange(size) < share * size).astype(float)


def two_tasks(first_kept: float) -> Sample:
    """Two tasks of 400 rows learned one after the other; of the first, `first_kept` is left at the end."""
    a = np.stack([flips(0, 400), flips(0.9, 400), flips(first_kept, 400)])
    b = np.stack([flips(0.1, 400), flips(0.1, 400), flips(0.8, 400)])
    return Sample({"a": a, "b": b}, {"a": 1, "b": 2})


def test_the_interval_of_a_mean_is_the_normal_one() -> None:
    low, high = mean_interval(flips(0.3, 1000).tolist())
    half = 1.96 * (0.3 * 0.7 / 1000) ** 0.5
    assert (low, high) == (pytest.approx(0.3 - half, abs=0.006), pytest.approx(0.3 + half, abs=0.006))


def test_the_metrics_lie_within_their_intervals() -> None:
    sample = two_tasks(0.5)
    rows = tuple(tuple(float(sample.values[task][i].mean()) for task in ("a", "b")) for i in range(3))
    truth = Matrix(("a", "b"), ("1", "2"), rows, (1, 2), ("exact", "exact")).metrics()
    for metric, draws in resampled(sample, ["a", "b"]).items():
        found = interval(draws)
        value = truth[metric]
        assert found is not None
        assert value is not None
        assert found[0] <= value <= found[1]
        assert np.median(draws) == pytest.approx(value, abs=0.01)


def test_a_paired_difference_is_narrower_than_two_intervals() -> None:
    """The second run has the answers of the first but for 8 rows lost: paired, that is certain; each alone is not."""
    one, other = (resampled(two_tasks(kept), ["a", "b"])["average_accuracy"] for kept in (0.5, 0.48))
    paired, alone = interval(one - other), interval(one)
    assert paired is not None
    assert alone is not None
    assert paired[0] > 0
    assert paired[1] - paired[0] < (alone[1] - alone[0]) / 3


def test_equal_seeds_draw_alike_and_others_do_not() -> None:
    one, same, other = (resampled(two_tasks(0.5), ["a", "b"], seed)["forgetting"] for seed in (0, 0, 1))
    assert (one == same).all()
    assert (one != other).any()


def test_rows_that_do_not_count_are_left_out() -> None:
    values = np.array([[1.0, np.nan, np.nan], [1.0, 0.0, np.nan]])
    draws = resampled(Sample({"a": values}, {"a": 1}), ["a"])["average_accuracy"]
    assert np.nanmean(draws) == pytest.approx(0.5, abs=0.1)
    assert interval(np.full(10, np.nan)) is None


def test_shares_are_means_over_all_tasks_rows() -> None:
    shares = {"kept": {"a": flips(0.5, 100), "b": np.full(300, np.nan)}, "new": {"a": flips(1, 100), "b": flips(0, 300)}, "none": {}}
    found = resampled(Sample({"a": flips(1, 100)[None].repeat(2, 0)}, {"a": 1}, shares), ["a"])
    assert found["kept"].mean() == pytest.approx(0.5, abs=0.01)
    assert found["new"].mean() == pytest.approx(0.25, abs=1e-9)  # each task keeps its size
    assert np.isnan(found["none"]).all()


def test_several_runs_widen_what_one_run_shows() -> None:
    draws = [RANDOM.normal(mean, 0.001, 1000) for mean in (0.4, 0.5, 0.6)]
    three, one = interval(over_runs(draws)), interval(over_runs(draws[:1]))
    assert three is not None
    assert one is not None
    assert (over_runs(draws[:1]) == draws[0]).all()
    assert three[1] - three[0] > 0.1 > 10 * (one[1] - one[0])
    assert three[0] < 0.5 < three[1]


def test_the_interval_of_forgetting_stands_around_its_number() -> None:
    """Nine experiences that change nothing but noise: the best of them is drawn too high, and again in every draw."""
    noise = np.random.default_rng(1)
    sample = Sample({f"t{j}": (noise.random((9, 50)) < 0.6).astype(float) for j in range(4)}, {f"t{j}": 1 for j in range(4)})
    rows = tuple(tuple(float(sample.values[f"t{j}"][i].mean()) for j in range(4)) for i in range(9))
    value = Matrix(tuple("abcd"), tuple("12345678"), rows, (1,) * 4, ("exact",) * 4).metrics()["forgetting"]
    draws = resampled(sample, [f"t{j}" for j in range(4)])["forgetting"]
    assert value is not None
    assert np.mean(draws) == pytest.approx(value, abs=0.01)


def test_forgetting_has_an_interval_where_its_best_was_not_measured() -> None:
    values = np.stack([flips(0.2, 100), np.full(100, np.nan), flips(0.8, 100), flips(0.5, 100)])
    draws = resampled(Sample({"a": values}, {"a": 1}), ["a"])["forgetting"]
    assert np.mean(draws) == pytest.approx(0.3, abs=0.01)


@pytest.mark.parametrize("answers", [1, 4, 60, 1000])
def test_all_right_or_all_wrong_is_no_certainty(answers: int) -> None:
    """The end is the share at which so clean a sample comes in 2.5 % of all cases."""
    low, high = at_ends((1.0, 1.0), answers) or (0, 0)
    assert (low**answers, high) == (pytest.approx(0.025), 1.0)
    assert at_ends((0.0, 0.0), answers) == (0.0, pytest.approx(1 - low))


def test_the_end_is_that_of_scipys_exact_interval() -> None:
    exact = pytest.importorskip("scipy.stats").binomtest(37, 37).proportion_ci(0.95, "exact")
    assert at_ends((1.0, 1.0), 37) == (pytest.approx(exact.low), exact.high)


@pytest.mark.parametrize("found", [None, (0.0, 0.1), (0.9, 1.0), (0.5, 0.5), (-0.1, 0.0)])
def test_every_other_interval_stays_as_it_was(found: tuple[float, float] | None) -> None:
    assert at_ends(found, 10) == found


def test_a_mean_of_tasks_stands_on_its_smallest() -> None:
    small, large = np.array([[np.nan] * 3, [1, 1, 1], [1, 1, np.nan]]), np.ones((3, 50))
    shares = {"kept": {"a": np.array([1, np.nan, 1.0]), "b": np.ones(50)}, "none": {}}
    found = independent(Sample({"a": small, "b": large}, {"a": 1, "b": 2}, shares), ["a", "b"])
    assert found == {"average_accuracy": 4, "learning_accuracy": 6, "kept": 52, "none": 0}


def test_rows_that_each_ask_for_a_fact_of_their_own_are_drawn_as_ever() -> None:
    sample = two_tasks(0.5)
    own = Sample(sample.values, sample.learned, facts={"a": range(400), "b": range(400, 800)})
    found, before = (resampled(of, ["a", "b"]) for of in (own, sample))
    assert all((found[metric] == before[metric]).all() for metric in before)


def test_two_tasks_that_ask_for_the_same_facts_are_as_sure_as_one() -> None:
    row = np.stack([flips(0, 300), flips(0.5, 300)])
    alone = resampled(Sample({"a": row}, {"a": 1}), ["a"])["average_accuracy"]
    both = Sample({"a": row, "b": row}, {"a": 1, "b": 1}, facts={"a": range(300), "b": range(300)})
    assert (resampled(both, ["a", "b"])["average_accuracy"] == alone).all()
    assert np.std(resampled(Sample(both.values, both.learned), ["a", "b"])["average_accuracy"]) < 0.8 * np.std(alone)
    assert independent(both, ["a", "b"])["average_accuracy"] == 300


def test_five_phrasings_of_a_fact_are_one_draw() -> None:
    """The spread of the mean of 80 facts, each asked five times: sqrt(0.25 / 80), not sqrt(0.25 / 400)."""
    values, facts = np.tile(flips(0.5, 80), 5)[None].repeat(2, 0), [*range(80)] * 5
    sample = Sample({"a": values}, {"a": 1}, {"kept": {"a": values[0]}}, {"a": facts})
    for metric in ("average_accuracy", "kept"):
        assert np.std(resampled(sample, ["a"])[metric]) == pytest.approx((0.25 / 80) ** 0.5, rel=0.1)
    assert independent(sample, ["a"]) == {"average_accuracy": 80, "learning_accuracy": 80, "kept": 80}


def test_no_task_is_without_a_row_in_any_draw() -> None:
    found = drawn_by_fact({"a": 50, "b": 1}, {"a": range(50), "b": [7]}, 0, 400)
    assert (found["a"] == counts("a", 50, 0, 400)).all()
    assert (found["b"] == np.maximum(1, found["a"][:, 7:8])).all()
