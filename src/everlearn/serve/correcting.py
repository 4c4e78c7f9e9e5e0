"""What feedback teaches, as the row of a file that will be learned: a row that would spoil its file is refused at the door."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

from everlearn.serve.bodies import FeedbackBody
from everlearn.serve.opening import Served
from everlearn.streams.rows import to_example
from everlearn.types import Example


def corrected(body: FeedbackBody, question: Example | None, source: str) -> Example | None:
    """What is to be learned from feedback; None where it only counts. Raises DataError, naming the field, for what no file of rows may hold."""
    answer = body.correction or body.chosen
    if answer is None:
        return None
    if body.messages is not None:
        question = Example(messages=(*(turn.message() for turn in body.messages), {"role": "assistant", "content": ""}))
    elif body.prompt is not None:
        question = Example(prompt=body.prompt, completion="")
    assert question is not None
    answered = question.answered(answer)
    choices = tuple(dict.fromkeys((answer, *body.shown))) if body.chosen is not None and answered.prompt is not None else ()
    told = replace(answered, source=source, time=body.time, choices=choices if len(choices) > 1 else ())
    return to_example(json.loads(json.dumps(told.to_json())))


def check_taught(served: Served, example: Example) -> None:
    """Raise ModelError or DataError for a row that this version's model cannot be taught: messages without a chat template, turns that it refuses."""
    served.model.encoder.rows([example])


def agreeing(rows: Sequence[Example]) -> list[Example]:
    """The rows as one file may hold them, which says the same choices of equal content: those that were chosen among different others are chosen among all.

    >>> two = [Example(prompt="Next?", completion=" b", choices=(" b", other)) for other in (" a", " c")]
    >>> [row.choices for row in agreeing(two)]
    [(' b', ' a', ' c'), (' b', ' a', ' c')]
    """
    shown: dict[tuple[str, ...], tuple[str, ...]] = {}
    for row in rows:
        shown[row.content] = tuple(dict.fromkeys((*shown.get(row.content, ()), *row.choices)))
    return [replace(row, choices=shown[row.content]) for row in rows]
