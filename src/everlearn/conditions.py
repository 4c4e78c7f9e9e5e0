"""What all runs of a comparison share, the orders a stream can be taken in, and the fingerprint of a run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from math import factorial
from pathlib import Path
from random import Random
from typing import Literal

from everlearn.config import Recipe
from everlearn.errors import DataError, SettingError
from everlearn.evaluate.divergence import Divergence
from everlearn.evaluate.scores import Answer
from everlearn.evaluate.tasks import Task, tasks_of
from everlearn.learn.settings import Settings
from everlearn.models.adapters import Lora
from everlearn.models.load import TINY, Dtype
from everlearn.prequential import Kind
from everlearn.types import Example, Stream
from everlearn.version import VERSION


@dataclass(frozen=True, slots=True)
class Start:
    """The starting model: its answers by task, the seconds they took, how well it reads the anchors, and its share of each probe."""

    answers: dict[str, list[Answer]]
    seconds: float
    moved: Divergence | None
    probed: dict[str, float]


@dataclass(frozen=True, slots=True)
class Setup:
    """What all runs of a comparison share, in one order of the stream.

    anchors: texts on which the distance from the starting model is measured; none for no such measure.   probes: also ask the probes.
    start: what was found of the starting model, once measured.   prequential: the score of new rows before they are learned, None for no such test.
    """

    stream: Stream
    tasks: Sequence[Task]
    model: str
    settings: Settings
    lora: Lora | Literal["auto"] | None
    dtype: Dtype
    device: str | None
    identity: str
    order: int = 0
    anchors: Sequence[Example] = ()
    probes: bool = False
    start: list[Start] = field(default_factory=list)
    prequential: Kind | None = None

    @property
    def called(self) -> str:
        """The model's name: of a folder its last part, so that a moved folder is the same model (its files are in the identity)."""
        return Path(self.model).resolve().name if Path(self.model).is_dir() else self.model

    @property
    def adapters(self) -> object:
        """The LoRA settings as JSON."""
        return asdict(self.lora) if isinstance(self.lora, Lora) else self.lora


def reordered(setup: Setup, orders: int, only: str, given: Stream, flowing: Callable[[Stream], Stream]) -> list[Setup]:
    """The setup in `orders` different orders of the experiences: as given, then seeded permutations; the tasks keep their places.

    only: "tests" or "valid".   given: the stream whose experiences are permuted; flowing makes of it what is learned, such as the setup's.
    Raises SettingError where there are fewer orders, DataError where time matters to the stream.
    """
    experiences = given.experiences
    if orders < 1 or orders > factorial(min(len(experiences), 12)):
        raise SettingError(f"orders must be between 1 and the number of orders of {len(experiences)} experiences, got {orders!r}.")
    timed = [e.id for task in setup.tasks for e in task.examples if e.until is not None or e.old_completion is not None]
    if orders > 1 and timed:
        raise DataError(f"the stream's order is part of its truth: a test row says what was true before or until when (id={timed[0]!r}). Leave orders at 1.")
    found, seen, drawn = [setup], {tuple(range(len(experiences)))}, Random("orders")
    place = {task.name: number for number, task in enumerate(setup.tasks)}
    asked = {task.name: task.examples for task in setup.tasks}  # in one order, so that answers stay beside their questions
    while len(found) < orders:
        order = tuple(drawn.sample(range(len(experiences)), len(experiences)))
        if order in seen:
            continue
        seen.add(order)
        stream = flowing(replace(given, experiences=tuple(experiences[at] for at in order)))
        tasks = sorted((replace(t, examples=asked[t.name]) for t in tasks_of(stream.experiences, only)), key=lambda task: place[task.name])
        same_answers = replace(setup, stream=stream, tasks=tasks, identity=identity(stream, tasks, setup.model), order=len(found))
        found.append(same_answers)
    return found


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


SAME_NUMBERS = ("activation_checkpointing",)  # settings that change time and memory, and no number


def fingerprint(setup: Setup, recipe: Recipe, seed: int) -> str:
    """A hash of everything that decides a run's numbers."""
    how = [(part.name, dict(part.given)) for part in recipe.parts]
    settings = {name: value for name, value in asdict(setup.settings).items() if name not in SAME_NUMBERS}
    measures = [[e.to_json() for e in setup.anchors], setup.probes]
    parts = [setup.identity, setup.called, how, seed, settings, setup.adapters, setup.dtype, measures, VERSION]
    parts += [setup.prequential] if setup.prequential else []
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
