"""What a reader finds in a file, and what it becomes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from everlearn.evaluate.matrix import Cell, Matrix

Scale = Literal["percent", "share"]
Formula = Callable[[NDArray[np.float64]], float]
ENOUGH = 2e-4  # two numbers rounded to 4 digits, or to 2 in per cent, are the same within this
UNKNOWN = "for a reason that the file does not show"


@dataclass(frozen=True, slots=True)
class Stated:
    """A number that a framework states of its own run.

    name: as the file has it.   value: as a share.   metric: ours that means the same, or the nearest.   how: where their definition differs.
    formula: their definition, of the rows after each experience (T, J), in shares; None where it needs what the file has not.
    """

    name: str
    value: float
    metric: str
    how: str = ""
    formula: Formula | None = None


@dataclass(frozen=True, slots=True)
class Beside:
    """Their number and ours, and why they differ; `why` is empty where they agree."""

    name: str
    theirs: float
    metric: str
    ours: Cell
    why: str


@dataclass(frozen=True, slots=True)
class Found:
    """One run as a file has it, in the file's own scale.

    rows: one an experience, the first of them before training if `before`; None leaves that to be told from their number.
    learned: for each task its experience, 0 for none; None for one task an experience.   kinds: of score, by default accuracy.
    scales: of each kind, where the framework is known to write it; else told from the numbers.
    """

    name: str
    rows: Sequence[Sequence[Cell]]
    tasks: tuple[str, ...] = ()
    experiences: tuple[str, ...] = ()
    before: bool | None = None
    learned: tuple[int, ...] | None = None
    kinds: tuple[str, ...] = ()
    scales: Mapping[str, Scale] = field(default_factory=dict)
    stated: tuple[Stated, ...] = ()
    seed: int | None = None
    stream: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Imported:
    """A run of another framework.

    layout: whose.   file: its name.   notes: what was read into it, in sentences.

    >>> matrix = Matrix(("a", "b"), ("1", "2"), ((None, None), (0.9, None), (0.3, 0.8)), (1, 2), ("accuracy",) * 2)
    >>> run = Imported("er", 0, "mammoth", "logs.pyd", matrix, (Stated("bwt", -0.6, "backward_transfer", "theirs leaves out the last task"),))
    >>> [(row.theirs, round(row.ours, 2), row.why) for row in run.beside()]
    [(-0.6, -0.3, 'likely because theirs leaves out the last task')]
    """

    name: str
    seed: int
    layout: str
    file: str
    matrix: Matrix
    stated: tuple[Stated, ...] = ()
    stream: str = ""
    notes: tuple[str, ...] = ()

    def beside(self) -> list[Beside]:
        """What the framework states, ours beside it."""
        ours = self.matrix.metrics()
        after = np.array([[np.nan if cell is None else cell for cell in row] for row in self.matrix.rows[1:]], dtype=float)
        return [Beside(s.name, s.value, s.metric, ours[s.metric], why(s, ours[s.metric], after)) for s in self.stated]


def why(stated: Stated, ours: Cell, after: NDArray[np.float64]) -> str:
    """The cause of a difference: proved where their formula gives their number on these rows, else said to be likely."""
    if ours is None:
        return f"ours needs a row before training{'; ' + stated.how if stated.how else ''}"
    if abs(ours - stated.value) <= ENOUGH:
        return ""
    again = stated.formula(after) if stated.formula else None
    if again is None or np.isnan(again):
        return f"likely because {stated.how}" if stated.how else UNKNOWN
    if abs(again - stated.value) <= ENOUGH:
        return f"{stated.how}: on this matrix that is {100 * again:.2f}"
    return f"{UNKNOWN}: {stated.how}, but on this matrix that is {100 * again:.2f}"


def numbered(count: int) -> tuple[str, ...]:
    """Names for tasks that have none, the same for every layout, so that runs of several frameworks stand in one table."""
    return tuple(f"task {number}" for number in range(1, count + 1))
