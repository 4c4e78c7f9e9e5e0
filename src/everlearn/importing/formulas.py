"""How other frameworks define their metrics, where that is not our definition; of rows (T, J), one task an experience."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.float64]

WITHOUT_LAST = "theirs leaves out the last task and divides by one less"
BEST_WITH_END = "theirs takes the best over all rows, the last one too, so that a gain counts as 0"
BEST_OF_ALL = "theirs takes the best over all rows before the last, also those from before the task was taught"
WITHOUT_TWO = "theirs sums the tasks but the last two and divides by one less than all"
PAIRS = "theirs is the mean over every earlier row too, each without the two newest tasks, over T (T - 1) / 2 pairs"
LESS_CONSTANT = "theirs is the learning accuracy less the constant 50.94, whatever the model and the tasks"
BY_EXAMPLES = "theirs weighs the tasks by their numbers of examples"


def transfer_without_last(rows: Rows) -> float:
    """Mean over j < T of R[T,j] - R[j,j]."""
    return _mean(rows[-1, :-1] - np.diag(rows)[:-1])


def forgetting_with_end(rows: Rows) -> float:
    """Mean over j < T of (max over all i of R[i,j]) - R[T,j]; what was not measured counts as 0."""
    full = np.nan_to_num(rows)
    return _mean((full.max(0) - full[-1])[:-1])


def forgetting_of_all(rows: Rows) -> float:
    """Mean over j < T of (max over i < T of R[i,j]) - R[T,j]; what was not measured counts as 0."""
    full = np.nan_to_num(rows)
    return _mean((full[:-1].max(0) - full[-1])[:-1]) if len(rows) > 1 else float("nan")


def forgetting_without_two(rows: Rows) -> float:
    """Sum over j <= T - 2 of R[j,j] - R[T,j], over T - 1; 0 for two tasks."""
    last = len(rows) - 1
    return float(np.sum(np.diag(rows)[: last - 1] - rows[-1, : last - 1]) / last) if last > 1 else 0.0


def transfer_of_pairs(rows: Rows) -> float:
    """Sum over i >= 3 and j <= i - 2 of R[i,j] - R[j,j], over T (T - 1) / 2; 0 for two tasks."""
    many = len(rows)
    total = sum(rows[i, j] - rows[j, j] for i in range(2, many) for j in range(i - 1))
    return float(total / (many * (many - 1) / 2)) if many > 2 else 0.0


def learned_less_constant(rows: Rows) -> float:
    """Mean of R[j,j], less 0.5094."""
    return _mean(np.diag(rows)) - 0.5094


def _mean(values: Rows) -> float:
    return float(values.mean()) if len(values) else float("nan")
