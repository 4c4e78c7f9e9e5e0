"""The examples behind the numbers: what was lost and gained, question by question."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from everlearn.errors import StateError
from everlearn.report.saved import AnswersRecord, Batch, QuestionRecord, RunRecord
from everlearn.report.sections import Method, Section

SHOWN = 20  # examples a list; the count says how many there are
STEP = 0.5  # a score that moves by this much is worth showing; exact and choice move by 1
LONG = 400  # letters of a question or answer that are shown


@dataclass(frozen=True, slots=True)
class Given:
    """An answer as the page shows it..   outdated: it is what was true before."""

    said: str
    value: float
    outdated: bool

    @property
    def mark(self) -> str:
        """In a word, so that no colour is needed."""
        if self.outdated:
            return "outdated"
        return {0.0: "wrong", 1.0: "right"}.get(self.value, f"{100 * self.value:.0f} %")


@dataclass(frozen=True, slots=True)
class Change:
    """A question with its right answer and two given ones."""

    task: str
    prompt: str
    answer: str
    first: Given
    second: Given


@dataclass(frozen=True, slots=True)
class ChangeList:
    """Some of the `count` questions of one sort.   heads: over the two answers."""

    title: str
    heads: tuple[str, str]
    count: int
    changes: tuple[Change, ...]


Told = Mapping[str, Sequence[Given | None]]  # by task, in the order of the questions; None where nothing counts


def change_lists(section: Section, method: Method, plain: Method | None) -> list[ChangeList]:
    """What the method's first run lost and gained over the stream, and against plain at the end; empty where answers were not kept."""
    found = _told(method)
    if found is None or section.questions is None:
        return []
    learned, end = found
    ways = ("right after teaching", "at the end")
    lists = [
        _list(section.questions, "Lost: answered correctly right after teaching, wrong at the end", ways, learned, end, -1),
        _list(section.questions, "Gained: wrong right after teaching, right at the end", ways, learned, end, 1),
    ]
    other = _told(plain) if plain is not None and plain is not method else None
    if other is not None and plain is not None:
        names = (f"{plain.label}, at the end", f"{method.label}, at the end")
        lists += [
            _list(section.questions, f"Better than {plain.label} at the end", names, other[1], end, 1),
            _list(section.questions, f"Worse than {plain.label} at the end", names, other[1], end, -1),
        ]
    return [changes for changes in lists if changes.count]


def _told(method: Method) -> tuple[Told, Told] | None:
    """Answers right after learning (or before the stream, for what it never teaches) and at the end."""
    run, batch = method.runs[0], method.sources[0]
    if batch.questions is None:
        return None
    shape, last = run.matrix, len(run.matrix.experiences)
    at = dict(zip(shape.tasks, shape.learned, strict=True))
    kinds = dict(zip(shape.tasks, shape.kinds, strict=True))
    learned: dict[str, Sequence[Given | None]] = {}
    end: dict[str, Sequence[Given | None]] = {}
    for record in batch.answers(run):
        if kinds.get(record.task, "loss") == "loss":
            continue  # nothing is said where only the likelihood of a text is measured
        if record.experience in (at[record.task], last):
            given = _given(record, batch.questions.get(record.task, ()), run, batch)
            if record.experience == at[record.task]:
                learned[record.task] = given
            if record.experience == last:
                end[record.task] = given
    return (learned, end) if end else None


def _given(record: AnswersRecord, questions: Sequence[QuestionRecord], run: RunRecord, batch: Batch) -> list[Given | None]:
    if not len(record.values) == len(record.said) == len(questions):
        raise StateError(
            f"a run's answers do not fit the questions (folder={str(batch.folder)!r}, run={run.name!r}, task={record.task!r}):"
            f" {len(record.values)} scores and {len(record.said)} answers to {len(questions)} questions. Delete this run and repeat the comparison."
        )
    outdated = record.old or (False,) * len(record.values)
    rows = zip(questions, record.values, record.said, outdated, strict=True)
    return [
        None if value is None or (question.until is not None and record.experience >= question.until) else Given(_short(said), value, old)
        for question, value, said, old in rows
    ]


def _list(questions: Mapping[str, Sequence[QuestionRecord]], title: str, heads: tuple[str, str], first: Told, second: Told, way: int) -> ChangeList:
    """way: 1 for what got better from first to second, -1 for what got worse."""
    found = []
    for task, asked in questions.items():
        for question, a, b in zip(asked, first.get(task, ()), second.get(task, ()), strict=False):
            if a is not None and b is not None and way * (b.value - a.value) >= STEP:
                found.append(Change(task, _short(question.prompt), _short(question.answer), a, b))
    return ChangeList(title, heads, len(found), tuple(_spread(found)))


def _spread(found: Sequence[Change]) -> Iterable[Change]:
    """At most SHOWN, evenly over all, so that every task has its part."""
    if len(found) <= SHOWN:
        return found
    return (found[place * len(found) // SHOWN] for place in range(SHOWN))


def _short(text: str) -> str:
    """Its beginning and end, where it is long: the question often stands last.

    >>> len(_short("x" * 1000)) < 420
    True
    """
    text = text.strip()
    return text if len(text) <= LONG else f"{text[: LONG // 4]} … {text[-3 * LONG // 4 :]}"
