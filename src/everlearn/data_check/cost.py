"""What learning some data would cost: tokens, steps, seconds from a short measured calibration, and memory, term by term."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random
from time import perf_counter

import torch

from everlearn.config import Recipe
from everlearn.data_check.gather import Gathered, Part
from everlearn.data_check.lengths import Tokens
from everlearn.errors import SettingError
from everlearn.evaluate.tasks import Task, answers
from everlearn.learn.bounds import union
from everlearn.learn.objectives.base import Supervised
from everlearn.learn.settings import Settings
from everlearn.models import late
from everlearn.models.batch import by_length
from everlearn.models.weights import TrainedModel
from everlearn.types import Example, Experience, Row

TEST_ROWS = (8, 64)  # of each task are asked to see how long an answer takes: few, and where that was quick as many as a batch holds
LONG = 1.0  # seconds from which on the few are enough
Load = Callable[[], TrainedModel]


@dataclass(frozen=True, slots=True)
class Memory:
    """The peak of one step, in bytes: terms by name, each with how it comes about."""

    terms: Mapping[str, tuple[int, str]]

    @property
    def total(self) -> int:
        return sum(size for size, _ in self.terms.values())


@dataclass(frozen=True, slots=True)
class MethodCost:
    """What one run of `compare` would take; testing before the first experience and after each.   steps: optimizer steps, all experiences."""

    method: str
    steps: int
    learn_seconds: float
    test_seconds: float


@dataclass(frozen=True, slots=True)
class Cost:
    """An estimate. learned, read: tokens of one pass that are targets, and all.   basis: what was measured, in words."""

    learned: int
    read: int
    passes: int
    methods: tuple[MethodCost, ...]
    memory: Memory
    basis: str


def estimate(gathered: Gathered, tokens: Sequence[Tokens], load: Load, recipes: Sequence[Recipe], settings: Settings, steps: int) -> Cost:
    """What each recipe would take on this data, from `steps` real steps on rows drawn from it (and as many before, to warm up).

    tokens: of the parts that are learned in experiences.   load: gives the model as `compare` would load it, anew each time.
    """
    if steps < 1:
        raise SettingError(f"steps must be at least 1 (steps={steps!r}). It is how many real steps the estimate rests on.")
    learned = [part for part in gathered.parts if part.role == "train"]
    examples = [example for part in learned for example in part.reading.examples]
    model = load()
    memory, per_row = step_memory(model, examples, settings), asking_seconds(model, gathered)
    costs = tuple(_method_cost(gathered, recipe, load, examples, settings, steps, per_row) for recipe in recipes)
    basis = (
        f"{steps} real steps of {settings.batch} rows a method on {model.device.type} ({torch.get_num_threads()} threads) after as many to warm up, and up to "
        f"{max(TEST_ROWS)} rows of each task asked once; an estimate: what else this machine does, and methods whose memory still grows, change it"
    )
    return Cost(sum(t.learned for t in tokens), sum(t.lengths.total for t in tokens), settings.passes, costs, memory, basis)


def _method_cost(
    gathered: Gathered, recipe: Recipe, load: Load, examples: Sequence[Example], settings: Settings, steps: int, per_row: Mapping[str, float]
) -> MethodCost:
    for part in recipe.parts:
        settings = replace(settings, **part.given) if part.name == "settings" else settings
    base = [example for part in gathered.parts if part.role == "base" for example in part.reading.examples]
    groups = {name: rows_of(gathered.parts, name) for name in gathered.experiences}
    experiences = [Experience(name, tuple(rows)) for name, rows in groups.items()]
    sizes = [len(union(base, experiences).train)] if recipe.joint else [len(rows) for rows in groups.values()]
    passing, ending, noting = _calibrated(recipe, load(), examples, [] if recipe.joint else base, settings, steps)
    learn = sum(size * (settings.passes * passing + ending) for size in sizes) + (0 if recipe.joint else len(base) * noting)
    rounds = 2 if recipe.joint else len(sizes) + 1
    test = rounds * sum(asked(gathered.parts, task) * seconds for task, seconds in per_row.items())
    frozen = any(part.name == "frozen" for part in recipe.parts)
    return MethodCost(recipe.label, 0 if frozen else sum(settings.steps(size) for size in sizes), learn, test)


def rows_of(parts: Sequence[Part], experience: str) -> list[Example]:
    return [example for part in parts if (part.role, part.experience) == ("train", experience) for example in part.reading.examples]


def asked(parts: Sequence[Part], task: str) -> int:
    """How many different rows a task has, in all experiences together."""
    return len({example.id for part in parts if (part.role, part.task) == ("test", task) for example in part.reading.examples})


def _calibrated(
    recipe: Recipe, model: TrainedModel, examples: Sequence[Example], base: Sequence[Example], settings: Settings, steps: int
) -> tuple[float, float, float]:
    """Seconds of one row in one pass, of one row at an experience's end, and of one row of the base."""
    short, count = replace(settings, passes=1), settings.batch * steps
    learner = replace(recipe, parts=tuple(part for part in recipe.parts if part.name != "settings")).learner(short, 0)
    learner.prepare(model)
    sample = Random(0).sample(list(base), min(count, len(base)))
    begun = perf_counter()
    learner.remember(model, sample)
    noting = (perf_counter() - begun) / len(sample) if sample else 0.0
    log, given = None, list(examples)
    for number in range(2):  # the first warms up, and fills what is remembered
        rows = Random(number).sample(given, min(count, len(given)))
        log = learner.learn(model, Experience(str(number), tuple(replace(row, task=None) for row in rows)))
    if log is None or not log.steps:
        return 0.0, 0.0, noting
    return (log.seconds - log.end_seconds) / len(rows), log.end_seconds / len(rows), noting


def asking_seconds(model: TrainedModel, gathered: Gathered) -> dict[str, float]:
    """By task the seconds that one of its rows takes."""
    seconds: dict[str, float] = {}
    for part in gathered.parts:
        kind = gathered.scores.get(part.task)
        if part.role != "test" or kind is None or part.task in seconds or not part.reading.examples:
            continue
        for most in TEST_ROWS:
            rows = Random(0).sample(part.reading.examples, min(most, len(part.reading.examples)))
            begun = perf_counter()
            answers(model, Task(part.task, tuple(rows), kind))
            seconds[part.task] = (perf_counter() - begun) / len(rows)
            if perf_counter() - begun > LONG:
                break
    return seconds


def step_memory(model: TrainedModel, examples: Sequence[Example], settings: Settings) -> Memory:
    """The step whose rows are the longest: what is kept for its backward pass is measured on one forward pass and scaled by tokens.

    Rows are cut as on the model's device: an accelerator takes more at once than a CPU, so ask there what it needs.
    """
    weights = sum(p.numel() * p.element_size() for p in model.module.parameters())
    trained = sum(p.numel() * p.element_size() for p in model.trained().values())
    rows = sorted(model.encoder.rows(examples), key=lambda row: len(row.tokens))[-settings.batch :]
    most = max(by_length(rows, settings.micro_tokens, model.tokens_a_pass(settings.precision)), key=_padded)
    few = most[-max(1, 1024 // len(most[-1].tokens)) :]
    kept, of_logits = (found / _padded(few) for found in _kept_bytes(model, few))
    targets, size = sum(len(row.learned) for row in most), int(model.module.config.get_text_config().vocab_size)
    counted = f"{sum(p.numel() for p in model.trained().values()):,} trained parameters"
    gradient = (2 * 4 * targets * size, f"2 x 4 bytes x {targets:,} learned tokens x {size:,} words")
    if targets * size > late.MOST_LOGITS:  # made in parts, and again in the backward pass: a part, its logarithms and their gradients
        some = min(targets, max(late.LEAST_TOKENS, late.PART // size))
        kept, gradient = kept - of_logits, (4 * 4 * some * size, f"4 x 4 bytes x {some:,} learned tokens at a time x {size:,} words")
    return Memory(
        {
            "weights": (weights, f"{sum(p.numel() for p in model.module.parameters()):,} parameters"),
            "gradients": (trained, counted),
            "AdamW": (2 * trained, f"two moments of {counted}"),
            "activations": (round(kept * _padded(most)), f"{_padded(most):,} tokens in one forward pass x {kept:,.0f} bytes kept for each, measured"),
            "logits' gradient": gradient,
        }
    )


def _padded(rows: Sequence[Row]) -> int:
    return len(rows) * max(len(row.tokens) for row in rows)


def _kept_bytes(model: TrainedModel, rows: Sequence[Row]) -> tuple[int, int]:
    """What autograd keeps for the backward pass beside the weights, each storage once, and how much of it has a value for each word."""
    size, of_logits = int(model.module.config.get_text_config().vocab_size), set[int]()
    weights = {p.untyped_storage().data_ptr() for p in model.module.parameters()}
    kept: dict[int, int] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
            of_logits.update([storage.data_ptr()] if tensor.shape[-1:] == (size,) else [])
        return tensor

    batch = model.batch(rows)
    with torch.random.fork_rng([model.device] if model.device.type == "cuda" else []), torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        loss = Supervised().loss(model, batch, model.logits(batch))  # held until all is counted, so that no storage is freed and used again
        return (sum(kept.values()), sum(kept[place] for place in of_logits)) if loss.numel() else (0, 0)
