"""The generic checks every objective must hold, as `check_objective` for your own too."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import replace
from random import Random

import torch
from torch import Tensor

from everlearn.checks.methods import SETTINGS, Recorder, equal, small_stream, stopped_at, whole
from everlearn.errors import DataError
from everlearn.learn.gradient import Gradient
from everlearn.learn.objectives.base import Objective
from everlearn.learn.registry import OBJECTIVES
from everlearn.learn.settings import Settings
from everlearn.methods.base import Step
from everlearn.models.load import load_model
from everlearn.models.state import load_state
from everlearn.models.weights import TrainedModel
from everlearn.types import Example, Experience

Load = Callable[[], TrainedModel]
Check = Callable[[type[Objective], Load], None]


def experiences_for(objective: type[Objective], load: Load) -> list[Experience]:
    """Two small experiences of what this objective learns from: questions with the model's own likeliest answers, or preferences between answers."""
    asked, given = small_stream()
    said = [e.answered(answer or " no") for e, answer in zip(asked, load().generate(asked, 8), strict=True)]
    given = [replace(one, train=tuple(part)) for one, part in zip(given, (said[:12], said[12:]), strict=True)]
    try:
        objective(**objective.active).check(given[0].train)
    except DataError:
        return [replace(one, train=_preferences(one.train)) for one in given]
    return given


def _preferences(examples: tuple[Example, ...]) -> tuple[Example, ...]:
    others = (*examples[1:], examples[0])
    return tuple(Example(prompt=e.prompt, chosen=e.completion, rejected=f"{other.completion} or so") for e, other in zip(examples, others, strict=True))


def run(objective: type[Objective] | None, load: Load, experiences: list[Experience]) -> dict[str, Tensor]:
    """All weights after two experiences; with no objective, as the model starts."""
    model = load()
    if objective is not None:
        learner = Gradient([], SETTINGS, objective(**objective.active))
        learner.prepare(model)
        for experience in experiences:
            learner.learn(model, experience)
    return whole(model)


def learns(objective: type[Objective], load: Load) -> None:
    """It moves the model."""
    after, before = run(objective, load, experiences_for(objective, load)), run(None, load, [])
    assert any(not torch.equal(after[name], before[name]) for name in before), f"{objective.__name__} learns nothing"


def same_run_twice(objective: type[Objective], load: Load) -> None:
    """The same seed gives the same weights bit for bit."""
    given = experiences_for(objective, load)
    equal(run(objective, load, given), run(objective, load, given), f"{objective.__name__} differs between two runs of one seed")


def resume_is_uninterrupted(objective: type[Objective], load: Load) -> None:
    """Stop inside the second experience, save to disk, load, continue: the uninterrupted run bit for bit."""
    given = experiences_for(objective, load)
    model, learner = load(), Gradient([], SETTINGS, objective(**objective.active))
    learner.prepare(model)
    learner.learn(model, given[0])
    again, fresh = load(), Gradient([], SETTINGS, objective(**objective.active))
    fresh.prepare(again)
    with tempfile.TemporaryDirectory() as folder:
        stopped_at(learner, model, given[1], 0.5, folder)
        fresh.load(load_state(folder))
    fresh.learn(again, given[1])
    equal(whole(again), run(objective, load, given), f"{objective.__name__}: stop, save, load, continue is not the uninterrupted run")


def accumulation_changes_nothing(objective: type[Objective], load: Load) -> None:
    """One micro-batch and several give the same gradient to 1e-5 in float32."""
    seen, given = [], experiences_for(objective, load)
    for micro_tokens in (16_384, 128):
        model, recorder = load(), Recorder()
        learner = Gradient([recorder], Settings(rate=1e-3, passes=1, batch=24, micro_tokens=micro_tokens), objective(**objective.active))
        learner.prepare(model)
        learner.learn(model, given[0])
        seen.append(recorder.seen)
    for name, at_once in seen[0].items():
        far = float((at_once - seen[1][name]).norm() / at_once.norm().clamp_min(1e-12))
        assert far <= 1e-5, f"{objective.__name__}: micro-batches change the gradient of {name} by {far:.1e} of its size, at most 1e-5 is allowed"


def loss_is_pure(objective: type[Objective], load: Load) -> None:
    """`loss` and `count` give the same twice; the values are as many as what is counted, or more."""
    model, made = load(), objective(**objective.active)
    made.prepare(model)
    rows = model.encoder.rows(experiences_for(objective, load)[0].train)
    made.begin(model, rows)
    drawn = made.rows(model, rows, Step(1, 2, 1e-3, rows, lambda _: {}), Random(0))
    batch = model.batch([row for part in made.cut(drawn, 1 << 20, model.tokens_a_pass()) for row in part])
    out = model.logits(batch)
    assert torch.equal(made.loss(model, batch, out), made.loss(model, batch, out)), f"{objective.__name__}.loss gives another value the second time"
    assert made.count(batch) == made.count(batch) > 0, f"{objective.__name__}.count is not positive, or not the same twice"


OBJECTIVE_CHECKS: tuple[Check, ...] = (learns, same_run_twice, resume_is_uninterrupted, accumulation_changes_nothing, loss_is_pure)


def check_objective(objective: type[Objective], load: Load = load_model) -> list[str]:
    """Run every check on an objective at its `active` settings; the names of those that ran.

    load: makes a fresh copy of a small model, always the same. Raises AssertionError that says what does not hold.
    """
    for check in OBJECTIVE_CHECKS:
        check(objective, load)
    return [check.__name__ for check in OBJECTIVE_CHECKS]


def check_objectives() -> dict[str, list[str]]:
    """Every objective by name, and the checks it passed."""
    return {name: check_objective(objective) for name, objective in OBJECTIVES.items()}
