from __future__ import annotations

from collections import Counter

import pytest

from everlearn.errors import SettingError
from everlearn.streams.orders import ORDERS, Blurred, Bursts, Imbalanced, Recurring, Sequential, Shuffled

SIZES = [40, 60, 20, 0, 80]
WHOLE = [(number, at) for number, size in enumerate(SIZES) for at in range(size)]


@pytest.mark.parametrize("name", [name for name in ORDERS if name != "imbalanced"])
def test_every_row_comes_exactly_once(name: str) -> None:
    assert sorted(ORDERS[name]().places(SIZES)) == WHOLE


@pytest.mark.parametrize("name", list(ORDERS))
def test_an_order_is_its_seed_and_its_last_end_is_its_length(name: str) -> None:
    order, other = ORDERS[name](), ORDERS[name](seed=1)  # type: ignore[call-arg]
    assert order.places(SIZES) == ORDERS[name]().places(SIZES) != other.places(SIZES)
    ends = order.ends(SIZES)
    assert ends[-1] == len(order.places(SIZES))
    assert ends == sorted(set(ends))
    assert ends[0] > 0


def test_sequential_keeps_experiences_apart() -> None:
    assert [number for number, _ in Sequential().places(SIZES)] == [number for number, _ in WHOLE]
    assert Sequential().ends(SIZES) == [40, 100, 120, 200]


def test_a_linear_blend_rises_evenly_and_a_random_one_is_even() -> None:
    sizes = [2000, 2000]
    for shape, shares in (("linear", (0.125, 0.375, 0.625, 0.875)), ("random", (0.5, 0.5, 0.5, 0.5))):
        places = Blurred(overlap=0.8, shape=shape).places(sizes)  # type: ignore[arg-type]
        assert {number for number, _ in places[:1200]} == {0}
        assert {number for number, _ in places[2800:]} == {1}
        for quarter, share in enumerate(shares):
            part = places[1200 + 400 * quarter : 1600 + 400 * quarter]
            assert sum(number for number, _ in part) / 400 == pytest.approx(share, abs=0.07)


def test_no_overlap_is_sequential() -> None:
    assert Blurred(overlap=0).places(SIZES) == Sequential().places(SIZES)


def test_recurring_comes_back_with_other_rows() -> None:
    places = Recurring(times=3).places([30, 30])
    assert [number for number, _ in places] == [0] * 10 + [1] * 10 + [0] * 10 + [1] * 10 + [0] * 10 + [1] * 10
    assert Recurring(times=3).ends([30, 30]) == [10, 20, 30, 40, 50, 60]


def test_shuffled_rows_are_mixed_throughout() -> None:
    first = Counter(number for number, _ in Shuffled().places([100, 100])[:100])
    assert 30 < first[0] < 70


def test_imbalanced_keeps_shares_from_one_to_one_over_the_ratio() -> None:
    kept = Counter(number for number, _ in Imbalanced(ratio=10).places([100, 100, 100]))
    assert sorted(kept.values()) == [10, 32, 100]
    assert Imbalanced(ratio=1).places(SIZES) == Sequential().places(SIZES)


def test_bursts_are_short_runs() -> None:
    numbers = [number for number, _ in Bursts(length=5).places([20, 20])]
    assert all(len(set(numbers[at : at + 5])) == 1 for at in range(0, 40, 5))
    assert numbers != [0] * 20 + [1] * 20


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: Blurred(overlap=1.5), "overlap must be between 0 and 1, got 1.5"),
        (lambda: Blurred(shape="square"), "shape must be 'linear' or 'random', got 'square'"),  # type: ignore[arg-type]
        (lambda: Recurring(times=1), "times must be at least 2, got 1"),
        (lambda: Imbalanced(ratio=0.5), "ratio must be at least 1, got 0.5"),
        (lambda: Bursts(length=0), "length must be at least 1, got 0"),
    ],
)
def test_what_no_order_can_be_is_refused(make, told: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(SettingError, match=told):
        make()
