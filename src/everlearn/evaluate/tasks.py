"""Tasks: examples and a score; one number per example."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from everlearn.errors import DataError
from everlearn.models.language import LanguageModel
from everlearn.types import Example, Experience, Score

SPARE_TOKENS = 8  # an answer may be this much longer than the longest right one


@dataclass(frozen=True, slots=True)
class Task:
    """Test examples of one name and the kind of score they get.

    learned: the first experience (1-based) with training rows of this task, 0 if there is none.   since: the first with its training or
    test rows; from there on an old answer is stale.   chance: the score of a guess.
    """

    name: str
    examples: tuple[Example, ...]
    score: Score
    learned: int = 0
    since: int = 1
    chance: float | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model made of one test example.

    value: the score, 0 to 1, higher is better.   said: the text it gave or chose ("" for loss).   old: it gave what was true before.
    """

    value: float
    said: str
    old: bool


def tasks_of(experiences: Sequence[Experience], only: str = "tests") -> list[Task]:
    """Every task of the stream in order of first appearance, its rows from all experiences once each.

    only: "tests" or "valid".   Raises DataError for a task without a score, or rows its score cannot use.
    """
    taught: dict[str, int] = {}
    for number, experience in enumerate(experiences, 1):
        for example in experience.train:
            taught.setdefault(example.task or "", number)
    rows: dict[str, dict[str, Example]] = {}
    since: dict[str, int] = {}
    scores: dict[str, Score] = {}
    chance: dict[str, float] = {}
    for number, experience in enumerate(experiences, 1):
        for task, examples in (experience.tests if only == "tests" else experience.valid).items():
            rows.setdefault(task, {}).update({e.id: e for e in examples})
            since.setdefault(task, taught.get(task, number))
            if task not in experience.scores:
                raise DataError(f"a task has no score (task={task!r}, experience={experience.name!r}). Name one of {', '.join(SCORERS)} for it.")
            scores[task] = experience.scores[task]
            chance |= {task: experience.chance[task]} if task in experience.chance else {}
    tasks = [Task(name, tuple(of.values()), scores[name], taught.get(name, 0), since[name], chance.get(name)) for name, of in rows.items()]
    for found in tasks:
        _checked(found)
    return tasks


def _checked(task: Task) -> None:
    if task.score not in SCORERS:
        raise DataError(f"there is no such score (task={task.name!r}, score={task.score!r}). Allowed are {', '.join(SCORERS)}.")
    for example in task.examples:
        if task.score != "loss" and right(example) is None:
            raise DataError(f"a test row has no answer (task={task.name!r}, score={task.score!r}, id={example.id!r}). Give a completion, or score it by loss.")
        if task.score == "exact" and "\n" in (right(example) or "").rstrip():
            raise DataError(
                f"an exact answer ends at a line break, so this one can never be given (task={task.name!r}, id={example.id!r}). Score it by loss or choice."
            )
        if task.score == "choice" and (len(example.choices) < 2 or right(example) not in example.choices or not all(example.choices)):
            raise DataError(
                f"a test row's choices must be two or more with the completion among them (task={task.name!r}, id={example.id!r}, choices={example.choices!r})."
            )


def right(example: Example) -> str | None:
    """The right answer of a test row, None for plain text."""
    return example.messages[-1]["content"] if example.messages else example.completion


def asked(example: Example) -> Example:
    """What the model under test is shown: the prompt alone, or the conversation before its last turn; no answer, task, id or source."""
    if example.messages:
        return Example(messages=(*example.messages[:-1], {"role": "assistant", "content": ""}))
    return Example(prompt=example.prompt, completion="") if example.text is None else Example(text="")


def answers(model: LanguageModel, task: Task) -> list[Answer]:
    """One Answer an example, in order; the model stays as it was."""
    return SCORERS[task.score](model, task.examples)


def _exact(model: LanguageModel, examples: Sequence[Example]) -> list[Answer]:
    """1 where the greedy answer is the right one, white space collapsed and case kept."""
    longest = max(map(len, model.encoder.tokens([right(e) or "" for e in examples])))
    said = model.generate([asked(e) for e in examples], longest + SPARE_TOKENS)
    return [Answer(float(same(text, right(e))), text, same(text, e.old_completion)) for e, text in zip(examples, said, strict=True)]


def _choice(model: LanguageModel, examples: Sequence[Example]) -> list[Answer]:
    """1 where the right choice is the likeliest per UTF-8 byte."""
    found = []
    for example, nats in zip(examples, model.score([asked(e) for e in examples], [e.choices for e in examples]), strict=True):
        best = max(zip(nats, example.choices, strict=True), key=lambda pair: pair[0] / size(pair[1]))[1]
        found.append(Answer(float(best == right(example)), best, best == example.old_completion))
    return found


def _loss(model: LanguageModel, examples: Sequence[Example]) -> list[Answer]:
    """exp(-nats per UTF-8 byte) of the text, or of the completion after its prompt."""
    texts = [right(e) or e.text or "" for e in examples]
    nats = model.score([asked(e) for e in examples], [[text] for text in texts])
    return [Answer(math.exp(value / size(text)), "", False) for (value,), text in zip(nats, texts, strict=True)]


SCORERS: Mapping[str, Callable[[LanguageModel, Sequence[Example]], list[Answer]]] = {"exact": _exact, "choice": _choice, "loss": _loss}


def same(said: str, wanted: str | None) -> bool:
    """Equal up to white space.

    >>> same(" New  Delhi", "New Delhi "), same("delhi", "Delhi"), same("", None)
    (True, False, False)
    """
    return wanted is not None and said.split() == wanted.split()


def size(text: str) -> int:
    """Its length in UTF-8 bytes, at least 1."""
    return len(text.encode("utf-8", "replace")) or 1


def cell(task: Task, given: Iterable[Answer], experience: int) -> tuple[float | None, float | None]:
    """(score, staleness) of a task after an experience (0: before the stream); None where no row counts.

    The score is the mean over rows whose `until` has not come. Staleness is the share of outdated answers among the rows that could
    show one: those past their `until` (stale if they still get their completion) and, from `since` on, those with an `old_completion`.
    """
    values, stale = [], []
    for example, answer in zip(task.examples, given, strict=True):
        if example.until is not None and experience >= example.until:
            stale.append(answer.value == 1 and task.score != "loss")
        else:
            values.append(answer.value)
            if example.old_completion is not None and experience >= task.since:
                stale.append(answer.old)
    return (sum(values) / len(values) if values else None, sum(stale) / len(stale) if stale else None)
