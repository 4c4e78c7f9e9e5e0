"""The metrics against cases worked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from everlearn import DataError, Matrix

# Three experiences; tasks a, b, c are taught at 1, 2, 3 and `never` is not taught.
ROWS = (
    (0.10, 0.20, 0.30, 0.90),
    (0.80, 0.25, 0.35, 0.95),
    (0.85, 0.70, 0.40, 0.60),
    (0.50, 0.60, 0.90, 0.70),
)
MATRIX = Matrix(("a", "b", "c", "never"), ("1", "2", "3"), ROWS, (1, 2, 3, 0), ("exact",) * 4)


def test_every_metric_of_a_matrix_worked_by_hand() -> None:
    found = MATRIX.metrics()
    assert found["average_accuracy"] == pytest.approx((0.50 + 0.60 + 0.90 + 0.70) / 4)
    # a: best of rows 1, 2 is 0.85; b: row 2; never: best of rows 0, 1, 2 is 0.95; c is learned last and does not count.
    assert found["forgetting"] == pytest.approx(((0.85 - 0.50) + (0.70 - 0.60) + (0.95 - 0.70)) / 3)
    assert found["forgetting_from_learned"] == pytest.approx(((0.80 - 0.50) + (0.70 - 0.60) + (0.90 - 0.70)) / 3)
    assert found["backward_transfer"] == pytest.approx(((0.50 - 0.80) + (0.60 - 0.70) + (0.90 - 0.90) + (0.70 - 0.90)) / 4)
    # b was 0.25 before it was learned, c 0.40; against the start 0.20 and 0.30.
    assert found["forward_transfer"] == pytest.approx(((0.25 - 0.20) + (0.40 - 0.30)) / 2)
    assert found["learning_accuracy"] == pytest.approx((0.80 + 0.70 + 0.90 + 0.90) / 4)


def test_forgetting_divides_by_the_tasks_that_could_be_forgotten() -> None:
    """Not by the number of all tasks, nor by more than are summed: LibContinual sums T - 2 tasks and divides by T - 1."""
    matrix = Matrix(("a", "b"), ("1", "2"), ((0, 0), (1, 0), (0, 1)), (1, 2), ("exact", "exact"))
    assert matrix.metrics()["forgetting"] == 1.0


def test_a_gain_is_negative_forgetting() -> None:
    matrix = Matrix(("a", "b"), ("1", "2"), ((0.0, 0.0), (0.5, 0.0), (0.8, 1.0)), (1, 2), ("exact", "exact"))
    assert matrix.metrics()["forgetting"] == pytest.approx(-0.3)


def test_kinds_of_score_are_never_averaged_together() -> None:
    matrix = Matrix(("a", "b", "text"), ("1", "2"), ((0, 0, 0.5), (1, 0, 0.4), (1, 1, 0.3)), (1, 2, 1), ("exact", "exact", "loss"))
    assert matrix.main_kind == "exact"
    assert matrix.metrics()["average_accuracy"] == 1.0
    assert matrix.metrics("loss")["average_accuracy"] == 0.3
    assert matrix.metrics("choice")["average_accuracy"] is None


def test_what_was_not_measured_is_left_out_of_every_mean() -> None:
    """Joint training has its last row alone."""
    matrix = Matrix(("a", "b"), ("1", "2"), ((0.1, 0.2), (None, None), (0.7, 0.9)), (1, 2), ("exact", "exact"))
    found = matrix.metrics()
    assert found["average_accuracy"] == pytest.approx(0.8)
    assert found["forgetting"] is None
    assert found["forgetting_from_learned"] is None
    assert found["learning_accuracy"] == pytest.approx(0.9)


def test_a_matrix_survives_json() -> None:
    assert Matrix.from_json(MATRIX.to_json()) == MATRIX  # type: ignore[arg-type]


def test_a_row_too_few_is_refused() -> None:
    with pytest.raises(DataError, match="needs 3 rows.*got 2"):
        Matrix(("a",), ("1", "2"), ((0,), (1,)), (1,), ("exact",))


def test_a_ragged_row_is_refused() -> None:
    with pytest.raises(DataError, match="one entry for each of the 2 tasks"):
        Matrix(("a", "b"), ("1",), ((0, 0), (1,)), (1, 1), ("exact", "exact"))


def test_learned_beyond_the_stream_is_refused() -> None:
    with pytest.raises(DataError, match=r"learned=\(3,\)"):
        Matrix(("a",), ("1",), ((0,), (1,)), (3,), ("exact",))


def test_an_answer_that_expired_is_not_forgotten() -> None:
    """Two rows of task a, both right when learned; one expires at experience 2, the other is wrong from the start: nothing counted was lost."""
    rows, lasting = ((0.0, 0.0), (0.5, 0.0), (0.0, 1.0)), ((0.0, 0.0), (0.0, 0.0), (0.0, 1.0))
    found = Matrix(("a", "b"), ("1", "2"), rows, (1, 2), ("exact", "exact"), lasting).metrics()
    assert (found["forgetting"], found["forgetting_from_learned"], found["backward_transfer"]) == (0, 0, 0)
    assert (found["learning_accuracy"], found["average_accuracy"]) == (0.75, 0.5)
    assert Matrix.from_json(Matrix(("a", "b"), ("1", "2"), rows, (1, 2), ("exact", "exact"), lasting).to_json()).lasting == lasting  # type: ignore[arg-type]
    with pytest.raises(DataError, match="`lasting` needs as many rows as the matrix, 3, or none, got 2"):
        Matrix(("a", "b"), ("1", "2"), rows, (1, 2), ("exact", "exact"), lasting[:2])


def test_the_bootstrap_knows_what_expired() -> None:
    from everlearn.evaluate.intervals import Sample, resampled

    values = np.array([[0, 0], [1, 0], [np.nan, 0]], dtype=float).repeat(20, 1)
    found = resampled(Sample({"a": values}, {"a": 1}), ["a"])
    assert (found["forgetting"] == 0).all()
    assert found["learning_accuracy"].mean() == pytest.approx(0.5, abs=0.03)
