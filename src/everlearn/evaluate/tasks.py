"""Tasks: examples and a score; one number per example."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from everlearn.errors import DataError
from everlearn.evaluate.scores import SCORERS, Answer, guess, right, same
from everlearn.models.language import LanguageModel
from everlearn.types import Example, Experience, Score

ALMANAC = "almanac/"  # how the source of a row begins that is about one of its facts


@dataclass(frozen=True, slots=True)
class Task:
    """Test examples of one name and the kind of score they get.

    learned: the first experience (1-based) with training rows of this task, 0 if there is none.   since: the first with its training or
    test rows; from there on an old answer is stale.   chance: the score of a guess, None where that says nothing.
    """

    name: str
    examples: tuple[Example, ...]
    score: Score
    learned: int = 0
    since: int = 1
    chance: float | None = None


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
    for name, of in rows.items():
        _checked(name, scores[name], of.values())
    given = {name: chance[name] if name in chance else guess(scores[name], tuple(of.values())) for name, of in rows.items()}
    return [Task(name, tuple(of.values()), scores[name], taught.get(name, 0), since[name], given[name]) for name, of in rows.items()]


def _checked(task: str, kind: Score, examples: Collection[Example]) -> None:
    if kind not in SCORERS:
        raise DataError(f"there is no such score (task={task!r}, score={kind!r}). Allowed are {', '.join(SCORERS)}.")
    if not examples:
        raise DataError(f"a task has no test rows (task={task!r}, examples=0). Give it at least one, or leave it out.")
    for example in examples:
        if kind != "loss" and right(example) is None:
            raise DataError(f"a test row has no answer (task={task!r}, score={kind!r}, id={example.id!r}). Give a completion, or score it by loss.")
        if kind == "exact" and "\n" in (right(example) or "").rstrip():
            raise DataError(
                f"an exact answer ends at a line break, so this one can never be given (task={task!r}, id={example.id!r}). Score it by rouge or loss."
            )
        if kind in ("choice", "ranking") and (len(example.choices) < 2 or right(example) not in example.choices or not all(example.choices)):
            raise DataError(
                f"a test row's choices must be two or more with the completion among them (task={task!r}, id={example.id!r}, choices={example.choices!r})."
            )


def same_facts(tasks: Iterable[Task]) -> dict[str, tuple[int, ...]]:
    """By task, the number of the fact that each row asks for, equal where rows, in any task, ask for the same; empty where no two rows do.

    A row asks for what its question asks for; a row of the almanac for its fact as it holds from a time on, in whichever of its phrasings.
    """
    numbers: dict[object, int] = {}
    found = {task.name: tuple(numbers.setdefault(_fact(e), len(numbers)) for e in task.examples) for task in tasks}
    return found if len(numbers) < sum(map(len, found.values())) else {}


def _fact(example: Example) -> object:
    return (example.source, example.time) if example.source.startswith(ALMANAC) else example.question or example.id


def answers(model: LanguageModel, task: Task) -> list[Answer]:
    """One Answer an example, in order; the model stays as it was."""
    return SCORERS[task.score](model, task.examples)


def cell(task: Task, given: Iterable[Answer], experience: int) -> tuple[float | None, float | None]:
    """(score, staleness) of a task after an experience (0: before the stream); None where no row counts.

    The score is the mean over rows whose `until` has not come. Staleness is the share of outdated answers among the rows that could
    show one: those past their `until` (stale if they still get their completion) and, from `since` on, those with an `old_completion`.
    """
    values, stale = [], []
    for example, answer in zip(task.examples, given, strict=True):
        if example.until is not None and experience >= example.until:
            stale.append(same(answer.said, right(example)))
        else:
            values.append(answer.value)
            if example.old_completion is not None and experience >= task.since:
                stale.append(answer.old)
    told = stale and task.score != "loss"  # of a likelihood alone nobody can say which answer would have come
    return (sum(values) / len(values) if values else None, sum(stale) / len(stale) if told else None)
