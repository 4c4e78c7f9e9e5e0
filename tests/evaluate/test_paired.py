"""Paired tests against scipy-like cases worked by hand."""

from __future__ import annotations

from itertools import product

import pytest

from everlearn.evaluate.paired import more_likely, sign_test


def test_the_sign_test_is_exact_and_two_sided() -> None:
    assert sign_test(0, 0) == 1
    assert sign_test(3, 1) == sign_test(1, 3) == 2 * (1 + 4) / 16
    assert sign_test(10, 0) == 2 / 1024
    assert sign_test(4000, 4000) == 1.0
    assert 0 < sign_test(2600, 2400) < 0.01


def test_right_and_wrong_are_compared_by_the_one_sided_sign_test() -> None:
    assert more_likely([1, 1, 1, -1]) == (1 + 4) / 16
    assert more_likely([-1, -1, -1]) == 1.0
    assert more_likely([]) == more_likely([0.0]) == 1.0


def test_few_graded_differences_are_flipped_in_every_way() -> None:
    given = [0.3, 0.1, -0.2, 0.4]
    ways = [sum(s * abs(d) for s, d in zip(signs, given, strict=True)) for signs in product((1, -1), repeat=4)]
    assert more_likely(given) == sum(way >= sum(given) - 1e-12 for way in ways) / 16


def test_many_graded_differences_agree_with_all_flips() -> None:
    given = [0.3, 0.1, -0.2, 0.4, 0.05, -0.33, 0.21, 0.17, -0.08, 0.02, 0.11, 0.3, -0.25, 0.19]
    exact = sum(sum(s * abs(d) for s, d in zip(signs, given, strict=True)) >= sum(given) - 1e-12 for signs in product((1, -1), repeat=14)) / 2**14
    assert more_likely(given) == pytest.approx(exact, abs=0.015)
    assert more_likely(given) == more_likely(given)
