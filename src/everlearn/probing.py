"""A short probe of one method: real steps on rows of the data, timed part by part, and what it keeps; and what that makes for a whole stream."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from random import Random
from time import perf_counter

from everlearn.config import Recipe
from everlearn.evaluate.cost import state_bytes
from everlearn.learn.base import Learner
from everlearn.learn.settings import Settings
from everlearn.methods import BY_NAME
from everlearn.methods.base import State, Step
from everlearn.models.weights import TrainedModel
from everlearn.types import Example, Experience

SIZES = (1, 1, 2)  # of the experiences: the first warms up and fills what is remembered, two sizes tell what grows with them


@dataclass(frozen=True, slots=True)
class Part:
    """One experience of the probe, learned in one pass.

    begin, steps, end: seconds before the first step, of all steps, after the last.   held, kept: bytes beside the weights at its last step, and after it.
    """

    rows: int
    tokens: int
    begin: float
    steps: float
    end: float
    held: int
    kept: int


@dataclass(frozen=True, slots=True)
class Probe:
    """What was measured of one method.

    parts: three experiences of SIZES.   noted: seconds to remember a row of the base, and how many were.   before: bytes of the weights' copy
    that some methods have taken before every step.   samples, most: rows that are measured after an experience, and kept, at most.
    """

    parts: tuple[Part, ...]
    noted: float
    base: int
    before: int
    samples: float
    most: float

    @property
    def trains(self) -> bool:
        return any(part.steps for part in self.parts)

    def held(self, rows: int) -> int:
        """Bytes beside the weights, gradients and moments while it learns an experience of this many rows: a teacher's answers grow with them."""
        _, one, two = self.parts
        return self.before + round(line((one.rows, one.held), (two.rows, two.held), rows))

    def seconds(self, rows: int, tokens: int, passes: int, first: bool) -> float:
        """What learning an experience of this size takes; the first has nothing to rehearse where no base was shown."""
        warm, one, two = self.parts
        step = warm.steps / warm.tokens if first and not self.base else (one.steps + two.steps) / (one.tokens + two.tokens)
        begin = line((one.tokens, one.begin), (two.tokens, two.begin), tokens)
        few, many = ((min(part.rows, self.samples), part.end) for part in (one, two))
        return begin + passes * tokens * step + line(few, many, min(rows, self.samples))

    def extra(self, rows: int, experiences: int) -> int:
        """Bytes kept after this many experiences of together this many rows, the base's too."""
        warm, one, two = self.parts
        grown = two.kept - warm.kept
        if two.kept - one.kept < 1.5 * (one.kept - warm.kept):  # twice the rows, and no more
            return warm.kept + (experiences - 1) * grown // 2
        a_row, seen = grown / (one.rows + two.rows), min(self.base + warm.rows, self.most)
        return round(warm.kept + a_row * (min(rows, self.most) - seen))


def line(one: tuple[float, float], two: tuple[float, float], at: float) -> float:
    """The value at `at` of the line through two points (x, y); it neither falls nor begins below 0.

    >>> line((10, 3.0), (20, 5.0), 100), line((10, 3.0), (20, 3.0), 100), line((10, 1.0), (20, 4.0), 100)
    (21.0, 3.0, 20.0)
    """
    (x, y), (far, high) = one, two
    slope = min(max(0.0, (high - y) / (far - x)), high / far) if far > x else 0.0
    return high + slope * (at - far)


def probed(recipe: Recipe, model: TrainedModel, examples: Sequence[Example], base: Sequence[Example], settings: Settings, steps: int) -> Probe:
    """The recipe's learner on three experiences of `steps` steps, as many, and twice as many; the model changes."""
    learner = replace(recipe, parts=tuple(part for part in recipe.parts if part.name != "settings")).learner(replace(settings, passes=1), 0)
    learner.prepare(model)
    count = settings.batch * steps
    sample = Random("base").sample(list(base), min(count, len(base)))
    begun = perf_counter()
    learner.remember(model, [replace(row, task=None) for row in sample])
    noted = (perf_counter() - begun) / len(sample) if sample else 0.0
    parts = tuple(_part(learner, model, examples, count * size, number) for number, size in enumerate(SIZES))
    methods = [BY_NAME[part.name] for part in recipe.parts if part.name in BY_NAME]
    before = sum(p.numel() * p.element_size() for p in model.trained().values()) if any(kind.wants_before for kind in methods) else 0
    return Probe(parts, noted, len(sample), before, _limit(recipe, "samples"), _limit(recipe, "rows"))


def _part(learner: Learner, model: TrainedModel, examples: Sequence[Example], count: int, number: int) -> Part:
    given = Random(number).sample(list(examples), min(count, len(examples)))
    clock, held = list[float](), [0]

    def noted(step: Step, state: Callable[[], State]) -> None:
        clock.append(perf_counter())
        if step.number == step.total:
            held.append(state_bytes(learner.state()))

    begun = perf_counter()
    log = learner.learn(model, Experience(str(number), tuple(replace(row, task=None) for row in given)), noted)
    whole = perf_counter() - begun
    spans = [after - before for before, after in pairwise(clock)] or [whole - log.end_seconds] * bool(log.steps)
    steps = log.steps * sum(spans) / max(1, len(spans))
    tokens = sum(len(row.tokens) for row in model.encoder.rows(given))
    return Part(len(given), tokens, max(0.0, whole - log.end_seconds - steps), steps, log.end_seconds, max(held), state_bytes(learner.state()))


def _limit(recipe: Recipe, name: str) -> float:
    """A bound on rows that a method of the recipe has, by its settings or by default; infinity where none has it."""
    for part in recipe.parts:
        known = inspect.signature(BY_NAME[part.name].__init__).parameters if part.name in BY_NAME else {}
        if name in known:
            value = part.given.get(name, known[name].default)
            return float("inf") if value is None else float(value)
    return float("inf")
