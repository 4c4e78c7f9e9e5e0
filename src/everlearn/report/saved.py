"""The records of a comparison as they lie on disk, read leniently: an older file with less in it makes a shorter page."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError, field_validator

from everlearn.errors import DataError, SettingError, StateError
from everlearn.evaluate.matrix import Cell, Matrix
from everlearn.records import QUESTIONS, read_lines


class _Record(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, protected_namespaces=())


Kind = TypeVar("Kind", bound=_Record)


class EventRecord(_Record):
    """A change that was found. at: rows before it.   noticed: rows seen when it was found.   sentence: all of it in words."""

    at: int
    noticed: int | None = None
    sentence: str = ""


class ExperienceRecord(_Record):
    """train: rows to learn.   tests: the tasks first tested here.

    start, rows_of, events: of a stream that was brought into another order or cut anew, the rows before it, how many of its rows are of which given
    experience, and the changes found in it.
    """

    name: str
    time: str | None = None
    train: int | None = None
    tests: tuple[str, ...] = ()
    start: int | None = None
    rows_of: dict[str, int] = {}
    events: tuple[EventRecord, ...] = ()

    @field_validator("time", mode="before")
    @classmethod
    def _as_text(cls, given: object) -> object:
        return None if given is None else str(given)


class TaskRecord(_Record):
    """examples: test rows.   learned: the first experience (1-based) that teaches it, 0 for none.   chance: the score of a guess."""

    name: str
    score: str
    examples: int | None = None
    learned: int = 0
    chance: float | None = None


class DifferenceRecord(_Record):
    """The paired difference `method` - `against` of one metric, with its 95 % interval."""

    method: str
    against: str
    metric: str
    mean: float
    low: float | None = None
    high: float | None = None
    runs: int | None = None


class MatrixRecord(_Record):
    """As `Matrix.to_json` writes it."""

    tasks: tuple[str, ...]
    experiences: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    learned: tuple[int, ...]
    kinds: tuple[str, ...]
    lasting: tuple[tuple[Cell, ...], ...] = ()


class PrequentialRecord(_Record):
    """As `prequential_record` writes it; empty where new rows were not tested."""

    score: str = ""
    window: int = 0
    ends: tuple[int, ...] = ()
    windowed: tuple[Cell, ...] = ()
    anytime: tuple[Cell, ...] = ()
    updates: tuple[int, ...] = ()


class RunRecord(_Record):
    """One method with one seed and one order (0: as given). Every list over the stream has one entry a matrix row."""

    method: str
    seed: int = 0
    order: int = 0
    matrix: MatrixRecord
    main_kind: str = ""
    staleness: tuple[tuple[Cell, ...], ...] = ()
    metrics: dict[str, Cell] = {}
    metrics_by_kind: dict[str, dict[str, Cell]] = {}
    intervals: dict[str, tuple[Cell, Cell] | None] = {}
    corpus: dict[str, dict[str, tuple[Cell, ...]]] = {}
    divergence: dict[str, tuple[Cell, ...]] = {}
    probes: dict[str, tuple[Cell, ...]] = {}
    cost: dict[str, Cell] = {}
    settings: dict[str, JsonValue] = {}
    fingerprint: str = ""
    version: str = ""
    name: str = ""
    hardware: dict[str, JsonValue] = {}
    prequential: PrequentialRecord = PrequentialRecord()

    @property
    def scores(self) -> Matrix:
        return Matrix(self.matrix.tasks, self.matrix.experiences, self.matrix.rows, self.matrix.learned, self.matrix.kinds, self.matrix.lasting)


class ResultsRecord(_Record):
    """results.json; what an older one does not have is empty.   intervals: by method and metric, over all its runs together."""

    stream: str
    model: str
    runs: tuple[RunRecord, ...]
    about: str = ""
    task_ids: bool | None = False
    created: str = ""
    command: str = ""
    experiences: tuple[ExperienceRecord, ...] = ()
    tasks: tuple[TaskRecord, ...] = ()
    intervals: dict[str, dict[str, tuple[Cell, Cell] | None]] = {}
    differences: tuple[DifferenceRecord, ...] = ()


class QuestionRecord(_Record):
    """A test row.   old: what was true before.   until: the experience from which on it no longer counts.   fact: the number of what it asks for, where
    several rows may ask for the same.
    """

    task: str
    id: str = ""
    prompt: str = ""
    answer: str = ""
    old: str | None = None
    until: int | None = None
    fact: int | None = None


class AnswersRecord(_Record):
    """What was said to all questions of a task after an experience (0: before the stream), in the order of the questions."""

    experience: int
    task: str
    values: tuple[Cell, ...] = ()
    said: tuple[str, ...] = ()
    old: tuple[bool, ...] = ()


class SharesRecord(_Record):
    """The first line of the answers: by metric and task, the value of each question, None where it is no part of the share."""

    shares: dict[str, dict[str, tuple[Cell, ...]]] = {}


@dataclass(frozen=True, slots=True)
class Batch:
    """One results.json and what lies beside it.

    questions: by task, in the order of the answers; None where only numbers were kept.
    """

    folder: Path
    results: ResultsRecord
    questions: Mapping[str, tuple[QuestionRecord, ...]] | None

    @property
    def facts(self) -> dict[str, tuple[int, ...]]:
        """By task, the fact that each question asks for; empty where no two ask for the same, or an older file does not say."""
        known = {task: tuple(q.fact for q in asked if q.fact is not None) for task, asked in (self.questions or {}).items()}
        return {task: facts for task, facts in known.items() if facts}

    def answers_file(self, run: RunRecord) -> Path | None:
        """Where what the run's model said is; None where it was not kept."""
        path = self.folder / "runs" / f"{run.name}.answers.jsonl.gz"
        return path if run.name and path.is_file() else None

    def answers(self, run: RunRecord) -> Iterator[AnswersRecord]:
        """What the run's model said, a record for each experience and task; nothing where it was not kept."""
        path = self.answers_file(run)
        for number, line in enumerate(read_lines(path) if path is not None else [], 1):
            if "experience" in line:  # the first line is of another kind
                yield _checked(AnswersRecord, line, f"{path}, line {number}")

    def shares(self, run: RunRecord) -> dict[str, int]:
        """By metric, how many answers its share is of; empty where answers were not kept."""
        path = self.answers_file(run)
        first = next(iter(read_lines(path)), {}) if path is not None else {}
        told = _checked(SharesRecord, first, f"{path}, line 1") if "experience" not in first else SharesRecord()
        return {metric: sum(value is not None for values in by_task.values() for value in values) for metric, by_task in told.shares.items()}


def read_batch(place: str | Path) -> Batch:
    """The records of a run folder, or of a results file. Raises SettingError where there are none, StateError where they are broken."""
    given = Path(place)
    path = given / "results.json" if given.is_dir() else given
    if not path.is_file():
        raise SettingError(
            f"there are no results here (folder={str(place)!r}). A run folder holds results.json, which `everlearn compare` writes at its end."
            " Name such a folder, or let the comparison finish: the same command again goes on from there."
        )
    try:
        saved = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as problem:
        raise StateError(f"these results cannot be read (file={str(path)!r}): {problem}. Repeat the comparison; finished runs are not run again.") from problem
    results = _checked(ResultsRecord, saved, str(path))
    if not results.runs:
        raise StateError(f"these results hold no run (file={str(path)!r}, runs=[]). A page needs at least one. Repeat the comparison.")
    for run in results.runs:
        _whole(run, path)
    return Batch(path.parent, results, _questions(path.parent / QUESTIONS))


def _whole(run: RunRecord, path: Path) -> None:
    try:
        rows = len(run.scores.rows)
    except DataError as problem:
        raise StateError(
            f"a run's matrix is not whole (file={str(path)!r}, method={run.method!r}): {problem} Delete this run and repeat the comparison."
        ) from problem
    curves = [*run.divergence.values(), *run.probes.values(), *(curve for measures in run.corpus.values() for curve in measures.values())]
    if any(len(curve) != rows for curve in (*curves, *([run.staleness] if run.staleness else []))):
        raise StateError(
            f"a run's lists do not fit its matrix of {rows} rows (file={str(path)!r}, method={run.method!r})."
            " Staleness, divergence, probes and corpus scores have one entry a row. Delete this run and repeat the comparison."
        )


def _questions(path: Path) -> Mapping[str, tuple[QuestionRecord, ...]] | None:
    if not path.is_file():
        return None
    found: dict[str, list[QuestionRecord]] = {}
    for number, line in enumerate(read_lines(path), 1):
        question = _checked(QuestionRecord, line, f"{path}, line {number}")
        found.setdefault(question.task, []).append(question)
    return {task: tuple(rows) for task, rows in found.items()}


def _checked(kind: type[Kind], value: object, place: str) -> Kind:
    try:
        return kind.model_validate(value)
    except ValidationError as problem:
        wrong = "; ".join(f"{'.'.join(map(str, mistake['loc'])) or 'the whole'}: {mistake['msg']}" for mistake in problem.errors()[:5])
        raise StateError(f"these are no records of a comparison (place={place!r}): {wrong}. Repeat the comparison, or name another folder.") from problem
