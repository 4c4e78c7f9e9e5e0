"""Before a run: what each method would take on this data, with this model, on this machine, from a short probe; and which one to begin with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import psutil
import torch

from everlearn.config import Recipe, parse_methods
from everlearn.data_check.cost import Load, asked, asking_seconds, rows_of, step_memory
from everlearn.data_check.gather import Gathered, gather
from everlearn.errors import DataError, SettingError
from everlearn.learn.bounds import union
from everlearn.learn.settings import Settings
from everlearn.models.adapters import Lora
from everlearn.models.load import Dtype, load_model
from everlearn.models.weights import TrainedModel
from everlearn.probing import SIZES, probed
from everlearn.types import Experience, Stream

METHODS = "plain,l2_sp,ewc,distill,replay,keep_current"
# By how little was forgotten on the real stream `support` (docs/results.md), the least first.
BEST = ("keep_current", "replay", "ewc", "distill", "l2_sp", "plain")


@dataclass(frozen=True, slots=True)
class Planned:
    """What one run of a method would take.

    steps: optimizer steps.   learn_seconds, test_seconds: of the whole stream, tested before it and after each experience.   memory: the most that
    this process would hold at once, bytes.   extra_bytes: of what is kept beside the weights at the end of the stream.
    """

    method: str
    steps: int
    learn_seconds: float
    test_seconds: float
    memory: int
    extra_bytes: int

    @property
    def seconds(self) -> float:
        return self.learn_seconds + self.test_seconds


@dataclass(frozen=True, slots=True)
class RunPlan:
    """Every method's cost, the one to begin with, and why in plain words.   free: memory that this machine has left, bytes.   basis: what was measured."""

    methods: tuple[Planned, ...]
    recommended: str
    why: str
    free: int
    basis: str


def plan_runs(
    data: str | Path | Stream,
    model: str | Path = "tiny",
    methods: str = METHODS,
    settings: Settings | None = None,
    lora: Lora | Literal["auto"] | None = "auto",
    dtype: Dtype = "float32",
    device: str | None = None,
    probe: int = 4,
    minutes: float = float("inf"),
) -> RunPlan:
    """Time, memory and extra bytes of each method, and a recommendation.

    data, model, methods, settings, lora, dtype, device: as for `compare`.   probe: real steps of the first of each method's three measured experiences
    (the others have as many and twice as many), >= 1.   minutes: most that a run may take, > 0.
    Raises DataError for data without training rows, SettingError for the settings.

    >>> from everlearn import Example, Experience
    >>> towns = Stream("towns", (Experience("first", tuple(Example(prompt=f"Capital {n}?", completion=" Nairobi") for n in range(8))),))
    >>> plan_runs(towns, methods="plain", settings=Settings(batch=2, passes=1), probe=1).methods[0].steps
    4
    """
    if probe < 1 or not minutes > 0:
        raise SettingError(f"a plan needs at least one real step and more than 0 minutes, got probe={probe!r} and minutes={minutes!r}.")
    recipes, wanted, gathered = parse_methods(methods), settings or Settings(), gather(data)
    if not any(part.role == "train" and part.reading.examples for part in gathered.parts):
        raise DataError(f"there is nothing to learn (data={gathered.name!r}). Give data with training rows.")
    resident = psutil.Process().memory_info().rss

    def load() -> TrainedModel:
        return load_model(model, lora, dtype, device)

    free, asking = _free(load()), asking_seconds(load(), gathered)
    planned = tuple(_planned(gathered, recipe, load, wanted, probe, asking, resident) for recipe in recipes)
    chosen, why = recommended(planned, free, minutes)
    basis = (
        f"{sum(SIZES) * probe} real steps of {wanted.batch} rows a method with {torch.get_num_threads()} threads, and up to 64 rows of each task asked once; "
        "what else this machine does changes it"
    )
    return RunPlan(planned, chosen, why, free, basis)


def _planned(gathered: Gathered, recipe: Recipe, load: Load, settings: Settings, probe: int, asking: Mapping[str, float], resident: int) -> Planned:
    for part in recipe.parts:
        settings = replace(settings, **part.given) if part.name == "settings" else settings
    base = [example for part in gathered.parts if part.role == "base" for example in part.reading.examples]
    groups = [Experience(name, tuple(rows_of(gathered.parts, name))) for name in gathered.experiences]
    groups, base = ([union(base, groups)], []) if recipe.joint else (groups, base)
    every, model = [example for group in groups for example in group.train], load()
    sizes = [(len(group.train), sum(len(row.tokens) for row in model.encoder.rows(group.train))) for group in groups]
    found = probed(recipe, model, every, base, settings, probe)
    seconds = found.noted * len(base)
    seconds += sum(found.seconds(*size, settings.passes, first=not number) for number, size in enumerate(sizes)) if found.trains else 0.0
    rounds = 2 if recipe.joint else len(groups) + 1
    testing = rounds * sum(asked(gathered.parts, task) * each for task, each in asking.items())
    weights = sum(p.numel() * p.element_size() for p in model.module.parameters())
    memory = step_memory(model, every, settings).total if found.trains else weights
    resident = resident if model.device.type == "cpu" else 0
    held = found.held(max(rows for rows, _ in sizes)) if found.trains else 0
    extra = found.extra(len(base) + sum(rows for rows, _ in sizes), len(groups))
    steps = sum(settings.steps(rows) for rows, _ in sizes) if found.trains else 0
    return Planned(recipe.label, steps, seconds, testing, resident + memory + max(held, extra), extra)


def recommended(planned: Sequence[Planned], free: int, minutes: float) -> tuple[str, str]:
    """The method to begin with, "" for none, and why: of those that fit, the one that forgot least on a real stream.

    >>> plain, best = Planned("plain", 8, 60, 5, 10**9, 0), Planned("keep_current", 8, 180, 5, 2 * 10**9, 4000)
    >>> recommended([plain, best], 8 * 10**9, 60)[0], recommended([plain, best], 8 * 10**9, 2)[0]
    ('keep_current', 'plain')
    """
    fitting = [one for one in planned if one.memory <= free and one.seconds <= 60 * minutes]
    ranked = sorted(fitting, key=lambda one: BEST.index(one.method) if one.method in BEST else len(BEST))
    if not ranked:
        least = min(planned, key=lambda one: (one.memory > free, one.seconds))
        short = "memory" if least.memory > free else "time"
        return "", f"None of these fits: {least.method} is nearest, and there is too little {short}. Train adapters (--lora 16), take less data, or allow more."
    best = ranked[0]
    out = [one.method for one in planned if one not in fitting]
    why = "it forgot least of these on a real stream (docs/results.md)" if best.method in BEST and best.method != "plain" else "it is what fits"
    kept = "It keeps nothing beside the weights" if not best.extra_bytes else f"It keeps {best.extra_bytes / 1e6:.2g} MB beside the weights"
    left = f" Too large or too slow here: {', '.join(out)}." if out else ""
    return best.method, f"Begin with {best.method}: {why}, and it fits this machine. {kept}.{left}"


def _free(model: TrainedModel) -> int:
    """Memory left where the model is, with what this process already holds."""
    if model.device.type == "cuda":
        return int(torch.cuda.mem_get_info(model.device)[0])
    return int(psutil.virtual_memory().available + psutil.Process().memory_info().rss)
