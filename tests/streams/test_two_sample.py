from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from everlearn.streams.two_sample import Likeness, difference


def test_mean_and_deviation_are_those_of_every_choice_of_rows() -> None:
    likeness = difference(np.random.default_rng(0).normal(size=(7, 3)).astype(np.float32))
    sums = []
    for order in permutations(range(7), 3):
        sums.append(likeness.matrix[np.ix_(order, order)].sum())
    assert np.mean(sums) == pytest.approx(0, abs=1e-5 * float(np.std(sums)))
    assert likeness.z(3) == pytest.approx(likeness.matrix[-3:, -3:].sum() / np.std(sums), rel=1e-4)


def test_p_is_about_uniform_where_nothing_changes_also_for_skewed_and_repeated_rows() -> None:
    random = np.random.default_rng(1)
    pool = random.exponential(size=(30, 6)) * [1, 1, 1, 1, 1, 20]  # few rows, one direction far wider
    ps = [difference(pool[random.integers(0, 30, 80)].astype(np.float32)).p(24) for _ in range(1500)]
    assert np.mean(np.array(ps) < 0.05) == pytest.approx(0.05, abs=0.02)
    assert np.mean(np.array(ps) < 0.005) == pytest.approx(0.005, abs=0.005)
    assert min(ps) > 1e-5


def test_a_shift_in_a_narrow_direction_is_seen_beneath_a_wide_one() -> None:
    random = np.random.default_rng(2)
    rows = random.normal(size=(120, 5)).astype(np.float32) * [5, 1, 1, 1, 1]
    rows[80:, 1] += 3
    assert difference(rows.astype(np.float32)).p(40) < 1e-6


@pytest.mark.parametrize("unit", [1e-9, 1e7])
def test_the_unit_of_the_vectors_does_not_matter(unit: float) -> None:
    rows = np.random.default_rng(3).normal(size=(60, 5)).astype(np.float32)
    rows[40:] += 0.8
    assert difference(rows * np.float32(unit)).p(20) == pytest.approx(difference(rows).p(20), rel=0.01)


def test_single_precision_is_enough() -> None:
    """Beside the same in double precision, with a plain inverse."""
    rows = np.random.default_rng(4).normal(size=(192, 64)).astype(np.float32)
    rows[144:] += 0.2
    centred = rows.astype(np.float64) - rows.mean(0, dtype=np.float64)
    inner = centred @ centred.T
    near = np.linalg.inv(inner + 0.3 * np.trace(inner) / 64 * np.eye(192)) * -1
    np.fill_diagonal(near, 0.0)
    sums = near.sum(1)
    near -= (sums[:, None] + sums) / 190 - sums.sum() / (191 * 190)
    np.fill_diagonal(near, 0.0)
    exact, found = Likeness(near), difference(rows)  # type: ignore[arg-type]
    assert 1e-12 < exact.p(48) < 1e-2
    assert found.z(48) == pytest.approx(exact.z(48), rel=1e-4)
    assert found.p(48) == pytest.approx(exact.p(48), rel=1e-3)


def test_rows_that_are_all_equal_say_nothing() -> None:
    likeness = difference(np.ones((20, 3), np.float32))
    assert (likeness.z(8), likeness.p(8)) == (0.0, 1.0)


def test_without_skew_p_is_the_normal_one() -> None:
    matrix = np.zeros((6, 6))
    matrix[0, 1] = matrix[1, 0] = matrix[2, 3] = matrix[3, 2] = 1.0
    matrix[0, 3] = matrix[3, 0] = matrix[1, 2] = matrix[2, 1] = -1.0
    assert Likeness(matrix).p(2) == pytest.approx(0.5)
