"""Many methods and seeds over one stream: resumable, one JSON a run."""

from __future__ import annotations

import hashlib
import json
import re
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from time import perf_counter
from typing import Literal

from everlearn.config import Recipe, parse_methods
from everlearn.errors import DataError, SettingError
from everlearn.evaluate.cost import PeakMemory, state_bytes
from everlearn.evaluate.matrix import Cell, Matrix
from everlearn.evaluate.tasks import Answer, Task, answers, cell, tasks_of
from everlearn.learn.base import Learner, LearnLog
from everlearn.learn.bounds import union
from everlearn.learn.settings import Settings
from everlearn.models.language import CausalModel, LanguageModel
from everlearn.models.load import TINY, Dtype, Lora, load_model
from everlearn.results import Results, Run
from everlearn.streams.almanac import almanac_stream
from everlearn.streams.almanac_shares import Asked, almanac_shares
from everlearn.streams.folder import load_stream
from everlearn.types import Experience, Stream
from everlearn.version import VERSION

# Told what is being done and which share of the whole comparison is done, 0 to 1.
Progress = Callable[[str, float], None]
# Told a run's label, the experience (0: before the stream) and all answers by task, after each evaluation.
Watch = Callable[[str, int, dict[str, list[Answer]]], None]


@dataclass(frozen=True, slots=True)
class Setup:
    """What all runs of a comparison share."""

    stream: Stream
    tasks: Sequence[Task]
    model: str
    settings: Settings
    lora: Lora | Literal["auto"] | None
    dtype: Dtype
    device: str | None
    identity: str
    before: dict[str, list[Answer]] = field(default_factory=dict)
    seconds_before: list[float] = field(default_factory=list)


def compare(
    stream: str | Path | Stream | Iterable[Experience],
    model: str | Path = "tiny",
    methods: str = "plain,keep_current",
    seeds: int = 1,
    out: str | Path | None = None,
    settings: Settings | None = None,
    lora: Lora | Literal["auto"] | None = "auto",
    valid: bool = False,
    dtype: Dtype = "float32",
    device: str | None = None,
    progress: Progress | None = None,
    watch: Watch | None = None,
) -> Results:
    """Every method with every seed over the same stream from the same start; what `out` already holds is not run again.

    stream: a folder, "almanac", a Stream, or any iterable of Experiences (read to its end).   model: "tiny", a folder or a hub id.
    methods: as in "plain,replay(share=0.5)+ewc(strength=10)".   seeds: 0 to seeds - 1, of the order of rows and of every draw.
    lora: as for `load_model`.   valid: test on the validation rows, to choose settings.   Raises DataError, SettingError or ModelError before
    anything is learned.
    """
    recipes, given = parse_methods(methods), _stream(stream)
    if seeds < 1:
        raise SettingError(f"seeds must be at least 1, got {seeds!r}.")
    tasks = tasks_of(given.experiences, "valid" if valid else "tests")
    if not tasks:
        raise DataError(f"the stream has nothing to test on (stream={given.name!r}, valid={valid!r}). Add {'valid' if valid else 'test'}.TASK.jsonl files.")
    if not any(task.learned for task in tasks):
        warnings.warn("no training row names a tested task, so learning counts from the start; give the rows a `task`.", stacklevel=2)
    setup = Setup(given, tasks, str(model), settings or Settings(), lora, dtype, device, identity(given, tasks, str(model)))
    results, folder = Results(given.name, str(model)), None if out is None else _folder(out, stream)
    wanted = [(recipe, seed) for seed in range(seeds) for recipe in recipes]
    for number, (recipe, seed) in enumerate(wanted):
        report = _within(progress, number, len(wanted))
        print_of = fingerprint(setup, recipe, seed)
        path = None if folder is None else folder / "runs" / f"{_slug(recipe.label)}-seed{seed}-{print_of[:8]}.json"
        if path is not None and path.exists():
            results.runs.append(Run.load(path))
            continue
        run = _Course(setup, recipe, seed, report, watch).run(print_of)
        if path is not None:
            run.save(path)
        results.runs.append(run)
    results.against_plain()
    if folder is not None:
        results.save(folder / "results.json")
    return results


def identity(stream: Stream, tasks: Sequence[Task], model: str) -> str:
    """A hash of all rows of the stream, of its tests, and of the model's files."""
    found = hashlib.sha256(stream.name.encode())
    groups = [(e.name, e.train) for e in stream] + [("base", stream.base)] + [(repr((t.name, t.score, t.learned)), t.examples) for t in tasks]
    for name, examples in groups:
        found.update(json.dumps([name, [e.to_json() for e in examples]], sort_keys=True).encode())
    for path in sorted((TINY if model == "tiny" else Path(model)).glob("*.safetensors")):
        with path.open("rb") as file:
            found.update(hashlib.file_digest(file, "sha256").digest())
    return found.hexdigest()


def fingerprint(setup: Setup, recipe: Recipe, seed: int) -> str:
    """A hash of everything that decides a run's numbers."""
    how = [(part.name, dict(part.given)) for part in recipe.parts]
    parts = [setup.identity, setup.model, how, seed, asdict(setup.settings), _lora(setup), setup.dtype, VERSION]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


class _Course:
    """One run: learn, evaluate, learn, evaluate ..."""

    def __init__(self, setup: Setup, recipe: Recipe, seed: int, report: Progress, watch: Watch | None) -> None:
        self.setup, self.recipe, self.seed, self.report, self.watch = setup, recipe, seed, report, watch
        self.rows: list[tuple[Cell, ...]] = []
        self.stale: list[list[Cell]] = []
        self.answers: list[dict[str, list[Answer]]] = []
        self.logs: list[LearnLog] = []
        self.rehearsed: set[str] = set()
        self.evaluate_seconds = self.learn_seconds = self.borrowed = 0.0

    def run(self, print_of: str) -> Run:
        started = perf_counter()
        with PeakMemory() as memory:
            model = load_model(self.setup.model, self.setup.lora, self.setup.dtype, self.setup.device)
            learner = self.recipe.learner(self.setup.settings, self.seed)
            served = learner.prepare(model)
            self._evaluate(served, 0, fresh=served is not model)
            self._learn_all(model, served, learner)
        cost = self._cost(perf_counter() - started + self.borrowed, memory.bytes, state_bytes(learner.state()))
        tasks = self.setup.tasks
        matrix = Matrix(
            tuple(t.name for t in tasks),
            tuple(e.name for e in self.setup.stream),
            tuple(self.rows),
            tuple(t.learned for t in tasks),
            tuple(t.score for t in tasks),
        )
        metrics = matrix.metrics() | self._shares()
        kinds = {kind: matrix.metrics(kind) for kind in dict.fromkeys(matrix.kinds)}
        settings = {"learning": asdict(self.setup.settings), "lora": _lora(self.setup), "methods": [[p.name, dict(p.given)] for p in self.recipe.parts]}
        return Run(self.recipe.label, self.seed, matrix.to_json(), matrix.main_kind, self.stale, metrics, kinds, cost, settings, print_of, VERSION)

    def _learn_all(self, model: CausalModel, served: LanguageModel, learner: Learner) -> None:
        experiences = self.setup.stream.experiences
        if self.recipe.joint:
            self._skip(len(experiences) - 1)
            self._learn(model, learner, union(self.setup.stream.base, experiences), len(experiences))
            self._evaluate(served, len(experiences))
            return
        begun = perf_counter()
        learner.remember(model, [replace(e, task=None) for e in self.setup.stream.base])
        self.learn_seconds += perf_counter() - begun
        for number, experience in enumerate(experiences, 1):
            self._learn(model, learner, experience, number)
            self._evaluate(served, number)

    def _learn(self, model: CausalModel, learner: Learner, experience: Experience, number: int) -> None:
        hidden = Experience(str(number), tuple(replace(e, task=None) for e in experience.train), time=experience.time)
        done = (number - 1) / len(self.setup.stream)
        name = f"{self.recipe.label}: learning {experience.name}"
        begun = perf_counter()
        log = learner.learn(model, hidden, lambda step, state: self.report(name, done + 0.7 * step.number / step.total / len(self.setup.stream)))
        self.learn_seconds += perf_counter() - begun
        self.logs.append(log)
        self.rehearsed |= log.rehearsed | {e.id for e in experience.train}

    def _evaluate(self, model: LanguageModel, number: int, fresh: bool = False) -> None:
        """Row `number` of the matrix; the starting model's is measured once for all runs that serve the model itself."""
        self.report(f"{self.recipe.label}: testing", max(0.0, (number - 0.3) / len(self.setup.stream)))
        begun, known = perf_counter(), number == 0 and not fresh
        given = self.setup.before if known and self.setup.before else {task.name: answers(model, task) for task in self.setup.tasks}
        seconds = perf_counter() - begun
        if known:
            self.setup.before.update(given)
            self.setup.seconds_before.append(seconds)
            self.borrowed = self.setup.seconds_before[0] - seconds  # a run of its own would have measured it too
            seconds = self.setup.seconds_before[0]
        self.evaluate_seconds += seconds
        cells = [cell(task, given[task.name], number) for task in self.setup.tasks]
        self.rows.append(tuple(score for score, _ in cells))
        self.stale.append([stale for _, stale in cells])
        self.answers.append(given)
        if self.watch is not None:
            self.watch(self.recipe.label, number, given)

    def _skip(self, count: int) -> None:
        for _ in range(count):
            self.rows.append((None,) * len(self.setup.tasks))
            self.stale.append([None] * len(self.setup.tasks))
            self.answers.append({})

    def _cost(self, seconds: float, peak: int, extra: int) -> dict[str, float | None]:
        tokens = sum(log.learned_tokens for log in self.logs)
        return {
            "seconds": seconds,
            "learn_seconds": self.learn_seconds,
            "evaluate_seconds": self.evaluate_seconds,
            "end_seconds": sum(log.end_seconds for log in self.logs),
            "seconds_over_plain": None,
            "peak_bytes": peak,
            "extra_state_bytes": extra,
            "learned_tokens": tokens,
            "learned_tokens_per_second": tokens / self.learn_seconds if self.learn_seconds else None,
            "steps": sum(log.steps for log in self.logs),
            "cut_rows": sum(log.cut for log in self.logs),
        }

    def _shares(self) -> dict[str, Cell]:
        """The almanac's own metrics, on the almanac."""
        if self.setup.stream.name != "almanac":
            return {}
        asked, last = {}, self.answers[-1]
        for task in self.setup.tasks:
            first = self.answers[task.learned] or last
            asked[task.name] = [Asked(e, a.value, a.old, b.value) for e, a, b in zip(task.examples, last[task.name], first[task.name], strict=True)]
        sources = {e.id: e.source for e in self.setup.stream.base}
        return almanac_shares(asked, {sources[key] for key in self.rehearsed if key in sources})


def _stream(given: str | Path | Stream | Iterable[Experience]) -> Stream:
    if isinstance(given, Stream):
        return given
    if isinstance(given, str | Path):
        return almanac_stream() if str(given) == "almanac" else load_stream(Path(given))
    experiences = tuple(given)
    if not experiences:
        raise DataError("the stream is empty (experiences=0). Give at least one Experience.")
    return Stream("stream", experiences)


def _folder(out: str | Path, stream: object) -> Path:
    """Where runs are written: not a file, and not inside the stream's own folder."""
    folder = Path(out)
    if next(place for place in (folder, *folder.absolute().parents) if place.exists()).is_file():
        raise SettingError(f"out must be a folder, got {str(out)!r}, which is a file. Name a new or an earlier results folder.")
    if isinstance(stream, str | Path) and str(stream) != "almanac" and folder.resolve().is_relative_to(Path(stream).resolve()):
        raise SettingError(f"out must not be inside the stream, got {str(out)!r}. Name a folder elsewhere.")
    return folder


def _lora(setup: Setup) -> object:
    return asdict(setup.lora) if isinstance(setup.lora, Lora) else setup.lora


def _within(progress: Progress | None, number: int, total: int) -> Progress:
    return lambda text, share: progress(text, (number + share) / total) if progress is not None else None


def _slug(label: str) -> str:
    return re.sub(r"[^A-Za-z0-9._=-]+", "_", label).strip("_")[:80]
