"""Test, then train: every new row is a test of the model that has not learned it yet."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal, get_args

from everlearn.errors import DataError, SettingError
from everlearn.evaluate.scores import right
from everlearn.evaluate.tasks import Task, answers
from everlearn.models.language import LanguageModel
from everlearn.types import Example

Kind = Literal["exact", "loss"]
WINDOW = 50  # rows in one windowed score


def scored(model: LanguageModel, rows: Sequence[Example], kind: Kind) -> list[float]:
    """The score of each row, 0 to 1, in the order they came; the model stays as it was. The rows' own answers are the right ones."""
    return [answer.value for answer in answers(model, Task("new rows", tuple(rows), kind))]


def check_prequential(kind: str | None, rows: Iterable[Example]) -> None:
    """Raise SettingError for a kind of score that new rows cannot have, DataError for a row that has no answer to be right about."""
    if kind is None:
        return
    if kind not in get_args(Kind):
        raise SettingError(f"prequential must be one of {', '.join(get_args(Kind))}, or None, got {kind!r}.")
    for row in rows if kind == "exact" else ():
        if right(row) is None:
            raise DataError(f"a row has no answer that could be exact (id={row.id!r}, prequential={kind!r}). Test new rows by loss.")


def prequential_record(parts: Sequence[Sequence[float]], kind: str) -> dict[str, Any]:
    """The course of test-then-train as JSON. parts: by experience, the score of each of its rows.

    ends: rows that had come at the end of each window.   windowed: the mean score of the window.   anytime: of all rows up to there.
    updates: rows after which the model learned.

    >>> prequential_record([[0.0] * 50, [1.0] * 25], "exact")["windowed"]
    [0.0, 1.0]
    """
    values = [value for part in parts for value in part]
    ends = [min(start + WINDOW, len(values)) for start in range(0, len(values), WINDOW)]
    windowed = [sum(values[end - 1 - (end - 1) % WINDOW : end]) / ((end - 1) % WINDOW + 1) for end in ends]
    anytime = [sum(values[:end]) / end for end in ends]
    updates = [sum(map(len, parts[: at + 1])) for at in range(len(parts))]
    return {"score": kind, "window": WINDOW, "ends": ends, "windowed": windowed, "anytime": anytime, "updates": updates}
