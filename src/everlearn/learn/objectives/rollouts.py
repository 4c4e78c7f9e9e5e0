"""Learning from what the model itself says: what the objectives with rollouts share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from random import Random

from everlearn.errors import DataError
from everlearn.learn.objectives.base import Objective, Supervised
from everlearn.methods.base import at_least
from everlearn.models.sampling import Sampling
from everlearn.models.weights import TrainedModel
from everlearn.types import Example, Row

SPARE = 8  # tokens an answer may have beyond the longest given one


class Rollouts(Objective):
    """An objective whose rows are answers that the model draws to the step's prompts.

    temperature: of the drawing, in [0.01, 100].   limit: most tokens of an answer, 0 for the step's longest given answer and 8 more.
    """

    def __init__(self, temperature: float, limit: int, name: str) -> None:
        at_least(f"{name} limit", limit, 0)
        self.sampling, self.limit = Sampling(temperature), limit

    def check(self, examples: Sequence[Example]) -> None:
        super().check(examples)
        for example in examples:
            if example.question is None:
                raise DataError(f"plain text asks nothing that could be answered (id={example.id!r}). Give prompt + completion or messages, or imitate it.")

    def still(self) -> Objective:
        return Supervised()

    def drawn(self, model: TrainedModel, rows: Sequence[Row], times: int, random: Random) -> list[list[Row]]:
        """`times` answers to each row's prompt, from memory or with its weight where the row is."""
        if not rows:
            return []
        limit = self.limit or max(len(row.learned) for row in rows) + SPARE
        flat = iter(model.rollouts([row.example for row in rows for _ in range(times)], limit, self.sampling, random))
        return [[_own(next(flat), row) for _ in range(times)] for row in rows]


def _own(drawn: Row, asked: Row) -> Row:
    """With an id of its own: what methods keep of a given row by its id is not for the same text drawn in other tokens, or without its end."""
    return replace(drawn, example=replace(drawn.example, id=f"{drawn.id}/drawn"), from_memory=asked.from_memory, weight=asked.weight)


def once(rows: Sequence[Row]) -> list[Row]:
    """Rows with different prompts, the first of each."""
    return list({row.example.question: row for row in rows}.values())
