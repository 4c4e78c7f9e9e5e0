"""Many methods, seeds and orders over one stream: resumable, one JSON a run."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from pathlib import Path
from typing import Literal

from everlearn.cluster import on_ray
from everlearn.conditions import Setup, fingerprint, identity, reordered
from everlearn.config import Recipe, parse_methods
from everlearn.course import Course, Progress, Watch
from everlearn.disk import launched, one_writer
from everlearn.errors import DataError, Diverged, EverlearnError, ModelError, SettingError
from everlearn.evaluate.scores import right
from everlearn.evaluate.tasks import Task, same_facts, tasks_of
from everlearn.evaluate.texts import anchor_texts
from everlearn.flow import TOLD, parse_boundaries, parse_order
from everlearn.flow import flowing as flowing_of
from everlearn.learn.settings import Settings
from everlearn.models.adapters import Lora
from everlearn.models.load import Dtype, load_model
from everlearn.models.processes import processes
from everlearn.models.weights import TrainedModel
from everlearn.prequential import Kind, check_prequential
from everlearn.records import QUESTIONS, AnswerRecord, answers_path, write_lines
from everlearn.results import Results, Run
from everlearn.standing import Draws, drawn, prints, stand, still_true
from everlearn.streams.almanac import almanac_stream
from everlearn.streams.files import read_examples
from everlearn.streams.folder import load_stream
from everlearn.types import Example, Experience, Stream, superseded

# Rows of a base that has as many, taken evenly: every n-th, n rounded down, so up to 399. To round up would make other anchors, and of every run another.
LEAST_ANCHORS = 200


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
    orders: int = 1,
    anchor: str | Path | None = "auto",
    probes: bool = True,
    save_every: float = 60.0,
    order: str = "sequential",
    boundaries: str = TOLD,
    prequential: Kind | None = None,
    engine: Literal["local", "ray"] = "local",
    address: str | None = None,
) -> Results:
    """Every method with every seed over the same stream from the same start; what `out` already holds is not run again.

    stream: a folder, "almanac", a Stream, or any iterable of Experiences (read to its end).   model: "tiny", a folder or a hub id.
    methods: as in "plain,replay(share=0.5)+ewc(strength=10)".   seeds: 0 to seeds - 1, of the order of rows and of every draw.
    out: a folder; a run that was stopped goes on from where it was, and ends with the numbers it would have had.
    lora: as for `load_model`.   valid: test on the validation rows, to choose settings.   orders: of the experiences, the given one first.
    anchor: text on which the distance from the starting model is measured: a file, "everlearn" for our passages, or "auto" for what the stream's
    base holds and no experience answers differently (evenly taken, of a large one 200 to 399 rows; ours, where there is no base); None for no such measure.
    probes: also ask the skill and safety probes, before and after.   save_every: seconds between savings inside an experience.
    engine: "ray" makes each run a task of Ray's, on the cluster at `address` or on one started here; `out` must be on a file system that all machines see.
    Processes that a launcher started together learn each run as one, to its numbers; the first writes.
    order: of the rows, such as "blurred(overlap=0.5)".   boundaries: "told", or where rows are cut instead: a detector such as "embedding",
    "every(tokens=4000)", or both joined by "+".   prequential: test new rows before they are learned, by "exact" or "loss"; None for no such test.
    A run whose model breaks (a loss that is no number) is left out with a warning, and raised where no other is left. Raises DataError, SettingError
    or ModelError before anything is learned, and StateError while another process writes to `out`.
    """
    recipes, only = parse_methods(methods), "valid" if valid else "tests"
    _check(seeds, save_every, engine, address, watch)
    given = _stream(stream)
    check_prequential(prequential, (row for experience in given for row in experience.train))
    flow = _flow(order, boundaries, orders, partial(load_model, model, None, dtype, device))
    flowing = flow(given)
    tasks = _tasks(flowing, only)
    texts = _anchors(anchor, given)
    about = identity(flowing, tasks, str(model))
    whole = Setup(flowing, tasks, str(model), settings or Settings(), lora, dtype, device, about, 0, texts, probes, prequential=prequential)
    folder = None if out is None else _folder(out, stream)
    wanted = [_Wanted(setup, recipe, seed) for setup in reordered(whole, orders, only, given, flow) for seed in range(seeds) for recipe in recipes]
    with one_writer(folder if processes().first else None):
        return _run_all(whole, wanted, folder, _on_ray(wanted, folder, progress, save_every, address) if engine == "ray" else None, progress, watch, save_every)


def _check(seeds: int, save_every: float, engine: str, address: str | None, watch: Watch | None) -> None:
    """Raise SettingError for what no comparison can be made with."""
    if seeds < 1:
        raise SettingError(f"seeds must be at least 1, got {seeds!r}. It is the number of runs of each method.")
    if engine not in ("local", "ray"):
        raise SettingError(f"engine must be 'local' or 'ray', got {engine!r}.")
    if engine == "ray" and (watch is not None or launched() > 1):
        raise SettingError("engine='ray' runs elsewhere: it takes no watch, and no launcher. Leave them out, or set engine='local'.")
    if address is not None and engine == "local":
        raise SettingError(f"address is a Ray cluster's, got {address!r} with engine='local'. Set engine='ray', or leave it out.")
    if not save_every >= 0:
        raise SettingError(f"save_every must be at least 0, got {save_every!r}. It is the seconds between savings; 0 saves after every step.")


def _flow(order: str, boundaries: str, orders: int, model: Callable[[], TrainedModel]) -> Callable[[Stream], Stream]:
    """What brings a stream's rows into the order asked for and cuts them; raises SettingError for what cannot be."""
    how, cut = parse_order(order), parse_boundaries(boundaries)
    if orders > 1 and not cut.told:
        raise SettingError(f"several orders need boundaries that are told, got boundaries={boundaries!r}, orders={orders!r}. Set orders to 1.")
    label = order.strip() if cut.told else f"{order.strip()}, {boundaries.strip()}"
    return lambda stream: flowing_of(stream, how, cut, model, label)


Ended = Iterator[tuple[int, "tuple[Run, Draws] | EverlearnError"]]


def _run_all(
    whole: Setup, wanted: Sequence[_Wanted], folder: Path | None, elsewhere: Ended | None, progress: Progress | None, watch: Watch | None, save_every: float
) -> Results:
    """Every wanted run; one whose model breaks is told of in a warning and left out, unless none is left."""
    results, done, broken = _described(whole, wanted, folder), dict[int, tuple[Run, Draws]](), list[ModelError]()
    ready = _ready(wanted, folder)
    for number, ended in elsewhere or _here(wanted, folder, progress, watch, save_every):
        if isinstance(ended, Diverged):
            broken.append(ended)
            warnings.warn(f"{wanted[number].recipe.label} with seed {wanted[number].seed} has no result: {ended}", stacklevel=3)
            continue
        if isinstance(ended, EverlearnError):
            raise ended
        done[number] = ended
        if done.keys() >= set(ready):
            _put(results, [done[place] for place in sorted(done)], whole, folder)
    if broken and not done:
        raise broken[0]
    return results


def _ready(wanted: Sequence[_Wanted], folder: Path | None) -> list[int]:
    """The places of runs that are on disk."""
    return [] if folder is None else [number for number, one in enumerate(wanted) if one.path(folder).exists()]


def _here(wanted: Sequence[_Wanted], folder: Path | None, progress: Progress | None, watch: Watch | None, save_every: float) -> Ended:
    """One run after the other; those on disk first, so that no table on disk ever loses what is done."""
    ready, done = _ready(wanted, folder), 0
    for number in [*ready, *(number for number in range(len(wanted)) if number not in ready)]:
        try:
            yield number, _finished(wanted[number], _within(progress, done, len(wanted)), watch, folder, save_every)
            done += 1
        except Diverged as problem:
            yield number, problem


def _on_ray(wanted: Sequence[_Wanted], folder: Path | None, progress: Progress | None, save_every: float, address: str | None) -> Ended:
    """All runs at once, as many as the cluster has room for."""
    place = None if folder is None else folder.absolute()
    ready = _ready(wanted, folder)
    order = [*ready, *(number for number in range(len(wanted)) if number not in ready)]
    jobs = [(wanted[number], place, save_every) for number in order]
    for done, (at, ended) in enumerate(on_ray(jobs, _elsewhere, address), 1):
        _within(progress, done, len(wanted))(wanted[order[at]].recipe.label, 0.0)
        yield order[at], ended


def _elsewhere(job: tuple[_Wanted, Path | None, float]) -> tuple[Run, Draws]:
    """A run in a worker."""
    wanted, folder, save_every = job
    return _finished(wanted, _within(None, 0, 1), None, folder, save_every)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """One run that was asked for."""

    setup: Setup
    recipe: Recipe
    seed: int

    @property
    def fingerprint(self) -> str:
        return fingerprint(self.setup, self.recipe, self.seed)

    @property
    def name(self) -> str:
        order = f"-order{self.setup.order}" if self.setup.order else ""
        return f"{_slug(self.recipe.label)}-seed{self.seed}{order}-{self.fingerprint[:8]}"

    def path(self, folder: Path) -> Path:
        return folder / "runs" / f"{self.name}.json"


def _finished(wanted: _Wanted, report: Progress, watch: Watch | None, folder: Path | None, save_every: float) -> tuple[Run, Draws]:
    """The run and its draws: from disk, else learned to its end and put there. Results committed as numbers alone have no answers, so no draws."""
    parts, print_of, facts = (wanted.setup, wanted.recipe, wanted.seed, report, watch), wanted.fingerprint, same_facts(wanted.setup.tasks)
    if folder is None:
        run, record = Course(*parts, None, save_every).run(print_of)
        return run, drawn(run, record, facts)
    name, path = wanted.name, wanted.path(folder)
    course = Course(*parts, folder / "unfinished" / name, save_every)
    if path.exists():
        course.forget_unfinished()  # a crash may have come between the two
        run = Run.load(path)
        return run, drawn(run, AnswerRecord.load(answers_path(path)), facts) if answers_path(path).exists() else {}
    run, record = course.run(print_of)
    run.name = name
    draws = drawn(run, record, facts)
    if processes().first:
        record.save(answers_path(path))
        run.save(path)
    course.forget_unfinished()
    return run, draws


def _put(results: Results, done: Sequence[tuple[Run, Draws]], setup: Setup, folder: Path | None) -> None:
    """Everything so far into the results, and on disk: a comparison that is stopped leaves a table of what is done."""
    results.runs = [run for run, _ in done]
    stand(results, [draws for _, draws in done])
    if folder is not None and processes().first:
        facts = same_facts(setup.tasks)
        asked = [(task.name, e, facts[task.name][place] if facts else None) for task in setup.tasks for place, e in enumerate(task.examples)]
        write_lines(folder / QUESTIONS, [_question(*one) for one in asked])
        results.save(folder / "results.json")


def _question(task: str, example: Example, fact: int | None) -> dict[str, object]:
    asked = example.question if example.text is None else None
    told = {"task": task, "id": example.id, "prompt": asked or "", "answer": right(example) or example.text or "", "old": example.old_completion, "fact": fact}
    return {key: value for key, value in {**told, "choices": list(example.choices)}.items() if value not in (None, [])}


def _described(setup: Setup, wanted: Sequence[_Wanted], folder: Path | None) -> Results:
    """Results without runs: what the stream and the tasks are, and how sure an earlier comparison was of the same runs of a method."""
    stream = setup.stream
    experiences: list[dict[str, object]] = [{"name": e.name, "time": e.time, "train": len(e.train), "tests": sorted(e.tests), **e.note} for e in stream]
    tasks: list[dict[str, object]] = [
        {"name": t.name, "score": t.score, "examples": len(t.examples), "learned": t.learned, "chance": t.chance} for t in setup.tasks
    ]
    results = Results(stream.name, setup.called, about=stream.about, created=date.today().isoformat(), experiences=experiences, tasks=tasks)
    if folder is not None and (folder / "results.json").exists():
        asked = prints((one.recipe.label, one.fingerprint) for one in wanted)
        results.intervals, results.differences = still_true(Results.load(folder / "results.json"), asked)
    return results


def _tasks(stream: Stream, only: str) -> list[Task]:
    tasks = tasks_of(stream.experiences, only)
    if not tasks:
        raise DataError(f"the stream has nothing to test on (stream={stream.name!r}, rows={only!r}). Add {only.removesuffix('s')}.TASK.jsonl files.")
    if not any(task.learned for task in tasks):
        warnings.warn("no training row names a tested task, so learning counts from the start; give the rows a `task`.", stacklevel=3)
    return tasks


def _anchors(anchor: str | Path | None, stream: Stream) -> list[Example]:
    if anchor is None:
        return []
    if str(anchor) == "auto":
        new = (example for experience in stream for example in experience.train)
        stays = [e for e in superseded(stream.base, new) if e.chosen is None]
        return [replace(e, task=None) for e in stays[:: max(1, len(stays) // LEAST_ANCHORS)]] or anchor_texts()
    return anchor_texts() if str(anchor) == "everlearn" else read_examples(Path(anchor))


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


def _within(progress: Progress | None, number: int, total: int) -> Progress:
    return lambda text, share: progress(text, (number + share) / total) if progress is not None else None


def _slug(label: str) -> str:
    return re.sub(r"[^A-Za-z0-9._=-]+", "_", label).strip("_")[:80]
