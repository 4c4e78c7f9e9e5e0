"""Batches of runs joined into sections: one a stream and model, its runs grouped by method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from statistics import fmean

from everlearn.errors import StateError
from everlearn.evaluate.intervals import Array
from everlearn.evaluate.matrix import Cell, mean
from everlearn.evaluate.timing import on_device, timed_on
from everlearn.report.pairs import end_draws
from everlearn.report.saved import Batch, DifferenceRecord, ExperienceRecord, QuestionRecord, RunRecord, TaskRecord, read_batch

BOUNDS = {
    "joint": "trained once on everything at the same time: it keeps all data and waits for the end",
    "frozen": "the untouched model: what is known without learning anything",
}
QUALITY = "average_accuracy"
TIMED = ("seconds", "learn_seconds", "evaluate_seconds", "end_seconds", "learned_tokens_per_second", "peak_bytes")  # of one device alone
# What compares moments of the stream; joint is measured at its end alone, so of it these numbers would mean something else.
OVER_TIME = ("forgetting", "forgetting_from_learned", "backward_transfer", "forward_transfer", "learning_accuracy")


@dataclass(frozen=True)
class Method:
    """All runs of one method over a section's stream; numbers are means over them.

    number: its place in the section, which decides its colour.   sources: the batch of each run.   device: on which the section's methods are timed.
    """

    label: str
    number: int
    runs: tuple[RunRecord, ...]
    sources: tuple[Batch, ...]
    device: str | None = None

    @property
    def bound(self) -> str:
        """The bound it is, "" for a method one can use."""
        return next((part for part in parts_of(self.label) if part in BOUNDS), "")

    @property
    def plain(self) -> bool:
        """Fine-tuning with nothing against forgetting."""
        return set(parts_of(self.label)) - {"settings"} == {"plain"}

    def metric(self, name: str, kind: str | None = None) -> Cell:
        """The mean over runs, None for what joint has no meaning in; kind: another kind of score than the main one."""
        if self.bound == "joint" and name in OVER_TIME:
            return None
        return mean((run.metrics if kind is None else run.metrics_by_kind.get(kind, {})).get(name) for run in self.runs)

    def interval(self, name: str) -> tuple[float, float] | None:
        """The 95 % interval over test questions and runs; where runs of several batches are joined, the mean of their ends."""
        if self.metric(name) is None:
            return None
        together = self.sources[0].results.intervals.get(self.runs[0].method, {})
        if together and all(source is self.sources[0] for source in self.sources):
            return _ends(together.get(name))
        known = [ends for run in self.runs if (ends := _ends(run.intervals.get(name))) is not None]
        return (fmean(low for low, _ in known), fmean(high for _, high in known)) if len(known) == len(self.runs) else None

    def spread(self, name: str) -> tuple[float, float] | None:
        """The least and the most of several runs."""
        values = [value for run in self.runs if self.metric(name) is not None and (value := run.metrics.get(name)) is not None]
        return (min(values), max(values)) if len(values) > 1 else None

    def cost(self, name: str) -> Cell:
        """The mean over runs; of seconds and memory over those on the section's device, None where none is."""
        here = on_device(self.runs, self.device) if name in TIMED and self.device is not None else self.runs
        return mean(run.cost.get(name) for run in here)

    @cached_property
    def draws(self) -> dict[tuple[int, int, bool], Array]:
        """The score at the end on other draws of the questions, (draws,), by seed, order and whether facts were drawn; empty without answers."""
        runs = zip(self.runs, self.sources, strict=True)
        found = {(run.seed, run.order, bool(batch.facts)): end_draws(run, batch, run.main_kind) for run, batch in runs}
        return {key: drawn for key, drawn in found.items() if drawn is not None}

    @cached_property
    def shares(self) -> dict[str, int]:
        """By metric, the questions behind it in the first run."""
        return self.sources[0].shares(self.runs[0])

    @cached_property
    def orders(self) -> dict[int, list[RunRecord]]:
        """The runs of each order of the stream, the given one first."""
        found: dict[int, list[RunRecord]] = {}
        for run in sorted(self.runs, key=lambda run: run.order):
            found.setdefault(run.order, []).append(run)
        return found


@dataclass(frozen=True)
class Section:
    """Everything known of one stream and model. methods are in the order in which they were asked for."""

    stream: str
    model: str
    batches: tuple[Batch, ...]
    methods: tuple[Method, ...]
    differences: tuple[DifferenceRecord, ...] = field(default=())

    @property
    def about(self) -> str:
        return next((batch.results.about for batch in self.batches if batch.results.about), "")

    @property
    def task_ids(self) -> bool | None:
        """None where that is not known of a batch, and of no other that they were given."""
        told = [batch.results.task_ids for batch in self.batches]
        return True if any(told) else None if None in told else False

    @property
    def questions(self) -> Mapping[str, tuple[QuestionRecord, ...]] | None:
        return next((batch.questions for batch in self.batches if batch.questions is not None), None)

    @cached_property
    def first(self) -> RunRecord:
        """A run in the given order, where there is one: it names the experiences and tasks."""
        return min((run for method in self.methods for run in method.runs), key=lambda run: run.order)

    @property
    def main_kind(self) -> str:
        return self.first.main_kind or self.first.scores.main_kind

    @property
    def kinds(self) -> tuple[str, ...]:
        """Every kind of score, the main one first."""
        return tuple(dict.fromkeys((self.main_kind, *self.first.matrix.kinds)))

    @cached_property
    def tasks(self) -> tuple[TaskRecord, ...]:
        """From the file, or what the matrix says of them."""
        told = next((batch.results.tasks for batch in self.batches if batch.results.tasks), ())
        shape = self.first.matrix
        return told or tuple(TaskRecord(name=n, score=k, learned=at) for n, k, at in zip(shape.tasks, shape.kinds, shape.learned, strict=True))

    @cached_property
    def chance(self) -> Cell:
        """The mean chance level behind the score at the end; None unless every task of the main kind of score has one."""
        levels = [task.chance for task in self.tasks if task.score == self.main_kind]
        return None if None in levels else mean(levels)

    @property
    def saying_nothing(self) -> list[str]:
        """Tasks in which the commonest answer is always right."""
        return [task.name for task in self.tasks if task.chance is not None and task.chance > 0.9995]

    @cached_property
    def asked_at_end(self) -> dict[str, int]:
        """By task, the questions that still count at the end: the right answer to the others has changed since."""
        last = len(self.first.matrix.experiences)
        found = {task.name: task.examples for task in self.tasks if task.examples is not None}
        if self.questions is not None:
            found |= {task: sum(q.until is None or q.until > last for q in asked) for task, asked in self.questions.items()}
        run, batch = next(((run, batch) for m in self.methods for run, batch in zip(m.runs, m.sources, strict=True) if batch.answers_file(run)), (None, None))
        if run is not None and batch is not None:
            ends = (record for record in batch.answers(run) if record.experience == last)
            found |= {record.task: sum(value is not None for value in record.values) for record in ends}
        return found

    @property
    def experiences(self) -> tuple[ExperienceRecord, ...]:
        told = next((batch.results.experiences for batch in self.batches if batch.results.experiences), ())
        return told or tuple(ExperienceRecord(name=name) for name in self.first.matrix.experiences)

    @property
    def baseline(self) -> Method | None:
        """The plain run that others are held against."""
        plain = [method for method in self.methods if method.plain]
        return min(plain, key=lambda method: len(method.label), default=None)

    @cached_property
    def ranked(self) -> tuple[Method, ...]:
        """What can be used, the best at the end first; bounds are never among them."""
        usable = [method for method in self.methods if not method.bound]
        return tuple(sorted(usable, key=lambda method: -(-1.0 if (score := method.metric(QUALITY)) is None else score)))


def read_sections(folders: Sequence[str | Path]) -> list[Section]:
    """One section a stream and model, in the order given. Raises StateError where two folders of one stream were tested differently."""
    grouped: dict[tuple[str, str], list[Batch]] = {}
    for batch in map(read_batch, dict.fromkeys(folders)):
        grouped.setdefault((batch.results.stream, Path(batch.results.model).name), []).append(batch)
    by_stream: dict[str, Batch] = {}
    for (stream, _), batches in grouped.items():
        for batch in batches:
            _comparable(by_stream.setdefault(stream, batch), batch)
    return [_joined(stream, model, batches) for (stream, model), batches in grouped.items()]


def _ends(told: tuple[Cell, Cell] | None) -> tuple[float, float] | None:
    return None if told is None or told[0] is None or told[1] is None else (told[0], told[1])


def parts_of(label: str) -> list[str]:
    """The names joined in a method's label.

    >>> parts_of("replay(share=1)+distill(on='a+b')"), parts_of("plain [second]")
    (['replay', 'distill'], ['plain'])
    """
    parts, depth = [""], 0
    for letter in label:
        depth += (letter == "(") - (letter == ")")
        if letter == "+" and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.split("(")[0].split(" [")[0].strip() for part in parts]


def _joined(stream: str, model: str, batches: Sequence[Batch]) -> Section:
    runs: dict[str, list[tuple[RunRecord, Batch]]] = {}
    differences: list[DifferenceRecord] = []
    for batch in batches:
        labels: dict[str, str] = {}
        for run in batch.results.runs:
            label = labels.setdefault(run.method, _label(run, batch, runs))
            if not any(_same(run, other) for other, _ in runs.get(label, [])):
                runs.setdefault(label, []).append((run, batch))
        told = [
            d.model_copy(update={"method": labels[d.method], "against": labels[d.against]})
            for d in batch.results.differences
            if {d.method, d.against} <= set(labels)
        ]
        known = {(d.method, d.against, d.metric) for d in differences}
        differences += [d for d in told if (d.method, d.against, d.metric) not in known]
    device = timed_on([run for found in runs.values() for run, _ in found])
    methods = tuple(
        Method(label, number, tuple(run for run, _ in found), tuple(batch for _, batch in found), device) for number, (label, found) in enumerate(runs.items())
    )
    return Section(stream, model, tuple(batches), methods, tuple(differences))


def _label(run: RunRecord, batch: Batch, known: Mapping[str, Sequence[tuple[RunRecord, Batch]]]) -> str:
    """The method's own, or with its folder where another batch ran the same method in another way."""
    names = (run.method, f"{run.method} [{batch.folder.name}]", f"{run.method} [{batch.folder}]")
    return next((name for name in names if not any(_clash(run, other) for other, source in known.get(name, []) if source is not batch)), names[-1])


def _clash(run: RunRecord, other: RunRecord) -> bool:
    again = (other.seed, other.order) == (run.seed, run.order) and not _same(run, other)
    return again or other.settings != run.settings


def _same(run: RunRecord, other: RunRecord) -> bool:
    return bool(run.fingerprint) and (run.fingerprint, run.seed, run.order) == (other.fingerprint, other.seed, other.order)


def _comparable(first: Batch, other: Batch) -> None:
    """Raises StateError unless both were asked the same questions about the same stream."""
    if first is other:
        return
    what = _unlike(first, other)
    if what:
        raise StateError(
            f"two folders of one stream were tested differently (stream={first.results.stream!r}, folders={str(first.folder)!r} and"
            f" {str(other.folder)!r}): {what}. Only scores on the same questions can stand in one table. Make a page for each, or repeat one comparison."
        )


def _unlike(first: Batch, other: Batch) -> str:
    one, two = (batch.results.runs[0].matrix for batch in (first, other))
    if dict(zip(one.tasks, one.kinds, strict=True)) != dict(zip(two.tasks, two.kinds, strict=True)):
        return f"their tasks or scores differ ({', '.join(sorted(set(one.tasks) ^ set(two.tasks))) or 'in the kind of score'})"
    if sorted(one.experiences) != sorted(two.experiences):
        return f"their experiences differ ({len(one.experiences)} and {len(two.experiences)})"
    if first.questions is not None and other.questions is not None:
        mine, theirs = ({(q.task, q.id, q.prompt, q.answer) for rows in batch.questions.values() for q in rows} for batch in (first, other) if batch.questions)
        apart = sorted(mine ^ theirs)
        return f"{len(apart)} test questions are in one of them only, the first in task {apart[0][0]!r}" if apart else ""
    sizes = [{task.name: task.examples for task in batch.results.tasks} for batch in (first, other)]
    apart_sizes = [name for name in sizes[0] if name in sizes[1] and sizes[0][name] != sizes[1][name]]
    return f"the number of test questions differs in task {apart_sizes[0]!r}" if apart_sizes else ""
