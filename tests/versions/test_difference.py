"""What flipped, told in text and JSON."""

from __future__ import annotations

from everlearn import Example
from everlearn.evaluate.scores import Answer
from everlearn.versions.difference import VersionDifference, compare_answers

ROWS = [Example(prompt=f"Question {n}?", completion=" yes", id=str(n)) for n in range(5)]


def said(*values: float) -> dict[str, Answer]:
    return {str(n): Answer(value, " yes" if value else " no", False) for n, value in enumerate(values)}


def test_only_rows_that_both_answered_count_and_each_flip_has_both_answers() -> None:
    found = compare_answers("news", ROWS, said(1, 1, 0, 0), said(1, 0, 0, 1, 1))
    assert found is not None
    assert (found.rows, found.before, found.after, found.p) == (4, 0.5, 0.5, 1.0)
    assert [(flip.id, flip.asked, flip.right, flip.said_before, flip.said_after) for flip in found.lost] == [("1", "Question 1?", "yes", "yes", "no")]
    assert [flip.id for flip in found.gained] == ["3"]
    assert compare_answers("news", ROWS, said(1), {}) is None


def test_the_text_shows_the_worst_first_and_how_many_more_there_are() -> None:
    found = compare_answers("news", ROWS, said(1, 1, 1, 0), said(0, 0.5, 0, 1))
    assert found is not None
    lines = list(VersionDifference((1, "a" * 16), (2, "b" * 16), (found,), ("old",)).lines(most=2))
    assert lines == [
        "Version 1 (aaaaaaaa) to version 2 (bbbbbbbb)",
        "",
        "news: 75.0 % to 37.5 % of 4 rows, 3 worse, 1 better (p = 0.62)",
        "  - Question 0?  right: 'yes'   'yes' (1) -> 'no' (0)",
        "  - Question 2?  right: 'yes'   'yes' (1) -> 'no' (0)",
        "  - and 1 more; --json and --page show all",
        "  + Question 3?  right: 'yes'   'no' (0) -> 'yes' (1)",
        "",
        "Not compared, as only one of the two was asked: old.",
    ]
