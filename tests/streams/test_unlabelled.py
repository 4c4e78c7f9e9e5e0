from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import ClassVar, Literal

import numpy as np
import pytest

from everlearn.errors import SettingError
from everlearn.streams.drift import Change, Embedding, Value
from everlearn.streams.unlabelled import cuts, unlabelled
from everlearn.types import Example

ROWS = [Example(text=f"{'old' if number < 20 else 'new'} {number}", time=f"20{number:02}") for number in range(40)]


class Says:
    """A detector that finds the changes it is made with: {rows seen: rows before}."""

    signal: ClassVar[Literal["vector", "loss"]] = "loss"

    def __init__(self, found: dict[int, int]) -> None:
        self.found, self.seen = found, 0

    def update(self, value: Value) -> Change | None:
        self.seen += 1
        return Change(self.seen, self.found[self.seen], "p-value", 1e-9, 1e-5) if self.seen in self.found else None


def nothing(rows: Sequence[Example]) -> list[Value]:
    return [None] * len(rows)


def test_rows_are_cut_where_the_change_began_and_not_where_it_was_noticed() -> None:
    found = list(cuts(ROWS, detector=Says({28: 20}), signal=nothing))
    assert [(cut.start, len(cut.rows)) for cut in found] == [(0, 20), (20, 20)]
    assert [event.at for event in found[0].events] == [20]
    assert "new" in found[0].events[0].more
    assert found[1].events == ()


def test_without_an_event_every_so_many_tokens_is_a_boundary() -> None:
    assert [len(cut.rows) for cut in cuts(ROWS, every=15)] == [15, 15, 10]
    assert [len(cut.rows) for cut in cuts(ROWS, every=30, length=lambda row: 2, detector=Says({28: 20}), signal=nothing, late=0)] == [15, 5, 15, 5]


def test_a_change_that_began_before_the_tokens_were_full_is_told_and_nothing_is_cut_twice() -> None:
    found = list(cuts(ROWS, every=22, detector=Says({28: 20}), signal=nothing, late=0))
    assert [(cut.start, len(cut.rows)) for cut in found] == [(0, 22), (22, 18)]
    assert [event.at for cut in found for event in cut.events] == [20]


def test_all_rows_come_once_and_in_order_whatever_the_cuts() -> None:
    for late in (0, 3, 48):
        found = list(cuts(ROWS, every=7, detector=Says({9: 3, 28: 20, 31: 30}), signal=nothing, late=late))
        assert [row for cut in found for row in cut.rows] == ROWS
        assert [cut.start for cut in found] == [0, *accumulate(len(cut.rows) for cut in found)][:-1]


@pytest.mark.parametrize(
    ("every", "late", "lengths"),
    [
        (18, 8, [20, 20]),  # full two rows before the change, which is noticed in time: no part of two rows
        (18, 3, [18, 2, 20]),  # noticed too late
        (22, 8, [20, 20]),  # full two rows after it began
        (12, 8, [12, 8, 12, 8]),  # held back for half of the tokens more and no longer
        (9, 8, [9, 9, 2, 9, 11]),  # the end, within half of nine rows, is no part of its own
        (36, 8, [20, 20]),
    ],
)
def test_a_cut_by_tokens_waits_whether_a_change_is_noticed(every: int, late: int, lengths: list[int]) -> None:
    found = list(cuts(ROWS, every=every, detector=Says({25: 20}), signal=nothing, late=late))
    assert [len(cut.rows) for cut in found] == lengths
    assert [event.at for cut in found if cut.start + len(cut.rows) == 20 for event in cut.events] == [20]


def test_a_detector_over_vectors_cuts_a_stream_into_experiences() -> None:
    random = np.random.default_rng(0)
    rows = [Example(text=f"{number}") for number in range(240)]
    vectors = {row.id: random.normal(size=8).astype(np.float32) + (3 if at >= 120 else 0) for at, row in enumerate(rows)}
    found = list(unlabelled(rows, detector=Embedding(), signal=lambda given: [vectors[row.id] for row in given]))
    assert [experience.name for experience in found] == ["1", "2"]
    assert abs(len(found[0].train) - 120) <= 3


def test_an_experience_has_the_time_of_its_first_dated_row() -> None:
    assert [experience.time for experience in unlabelled(ROWS, every=20)] == ["2000", "2020"]


def test_a_part_has_at_most_half_again_of_what_was_asked_for() -> None:
    for every in (1, 2, 3, 10):
        found = list(cuts(ROWS, every=every, detector=Says({30: 24}), signal=nothing))
        assert max(len(cut.rows) for cut in found) <= every + every // 2


def test_long_rows_after_short_ones_do_not_gather() -> None:
    """Tokens bound a part, whatever its rows are: half again of what was asked for, and the row that reaches it."""
    sizes = {row.id: 1 if at < 20 else 20 for at, row in enumerate(ROWS)}
    found = list(cuts(ROWS, every=20, length=lambda row: sizes[row.id], detector=Says({}), signal=nothing))
    assert [row for cut in found for row in cut.rows] == ROWS
    assert max(sum(sizes[row.id] for row in cut.rows) for cut in found) <= 30 + 20


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ({"every": 5, "late": -1}, "late must be at least 0, got -1"),
        ({}, "nothing says where to cut the rows"),
        ({"every": 0}, "every must be at least 1, got 0"),
        ({"every": 5, "signal": nothing}, "a detector needs a signal"),
    ],
)
def test_a_cut_that_nothing_decides_is_refused(how, told: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(SettingError, match=told):
        list(cuts(ROWS, **how))
