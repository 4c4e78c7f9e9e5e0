"""What the score at the end would have been on other questions: draws that pair two methods where no record holds their difference."""

from __future__ import annotations

import numpy as np

from everlearn.evaluate.intervals import DRAWS, Array, drawn_by_fact, means
from everlearn.report.saved import Batch, RunRecord


def end_draws(run: RunRecord, batch: Batch, kind: str) -> Array | None:
    """The mean at the end over tasks of one kind of score, (draws,), questions drawn anew; None where answers were not kept.

    Draws are the same for the same questions, so the difference of two runs' draws is the paired one.
    """
    last, kinds = len(run.matrix.experiences), dict(zip(run.matrix.tasks, run.matrix.kinds, strict=True))
    ends = {record.task: np.array([record.values], dtype=float) for record in batch.answers(run) if record.experience == last and record.values}
    sizes = {task: values.shape[1] for task, values in ends.items()}
    drawn = drawn_by_fact(sizes, {task: facts for task, facts in batch.facts.items() if len(facts) == sizes.get(task)}, 0, DRAWS)
    columns = [means(drawn[task], values)[:, 0] for task, values in ends.items() if kinds.get(task) == kind]
    return np.nanmean(np.stack(columns), axis=0) if columns and not np.isnan(columns).all(axis=0).any() else None
