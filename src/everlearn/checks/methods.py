"""What every method must hold: neutral is plain, accumulation changes nothing, resume is the uninterrupted run, and it does something."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from everlearn.learn.fit import objective_gradient
from everlearn.learn.gradient import Gradient
from everlearn.learn.objectives.base import Supervised
from everlearn.learn.settings import Settings
from everlearn.methods import BY_NAME
from everlearn.methods.base import Method, State, Step, overrides
from everlearn.models.load import load_model
from everlearn.models.state import load_state, save_state
from everlearn.models.weights import TrainedModel
from everlearn.streams.almanac import Almanac, almanac_stream
from everlearn.types import Example, Experience, Row

SETTINGS = Settings(rate=1e-3, passes=2, batch=12)
Make = Callable[[], Method]
Check = Callable[[type[Method], Callable[[], TrainedModel]], bool]


class Stopped(Exception):
    """Raised inside an experience, as a kill would."""


class Recorder(Method):
    """Keeps the gradient of the first step, after all penalties, projections and masks."""

    stage = "mask"
    moves_at_begin = True

    def __init__(self) -> None:
        self.seen: dict[str, Tensor] = {}

    def begin(self, model: TrainedModel, rows: Sequence[Row]) -> None:
        """Move the weights after all teachers and anchors were taken, so that no term is at its zero."""
        noise = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for weight in model.trained().values():
                weight.add_(0.02 * torch.randn(weight.shape, generator=noise).to(weight))

    def gradients(self, model: TrainedModel, step: Step) -> None:
        if not self.seen:
            self.seen = {name: weight.grad.clone() for name, weight in model.trained().items() if weight.grad is not None}


def small_stream() -> tuple[tuple[Example, ...], list[Experience]]:
    """A base and two experiences of the almanac, small enough for a second."""
    stream = almanac_stream(Almanac(facts=60, changed=3, appeared=2), periods=2, skills=3)
    return stream.base[:24], [Experience(e.name, e.train[:24]) for e in stream]


def run(make: Make | None, model: TrainedModel, settings: Settings = SETTINGS) -> dict[str, Tensor]:
    """All weights, frozen ones too, after the base was remembered and two experiences were learned."""
    base, experiences = small_stream()
    learner = Gradient([] if make is None else [make()], settings)
    learner.prepare(model)
    learner.remember(model, base)
    for experience in experiences:
        learner.learn(model, experience)
    return whole(model)


def whole(model: TrainedModel) -> dict[str, Tensor]:
    """A copy of every weight, of adapters and of what is frozen too."""
    return {name: value.detach().clone() for name, value in model.module.state_dict().items()}


def neutral_is_plain(method: type[Method], load: Callable[[], TrainedModel]) -> bool:
    """At its neutral settings a method is plain training bit for bit."""
    if method.neutral is None:
        return False
    settings = method.neutral
    equal(run(lambda: method(**settings), load()), run(None, load()), f"{method.__name__}({_shown(settings)}) is not plain training")
    return True


def active_changes(method: type[Method], load: Callable[[], TrainedModel]) -> bool:
    """With a strength above 0 something changes."""
    with_it, without = run(lambda: method(**method.active), load()), run(None, load())
    changed = with_it.keys() != without.keys() or any(not torch.equal(with_it[name], without[name]) for name in without)
    assert changed, f"{method.__name__}({_shown(method.active)}) does nothing"
    return True


def same_run_twice(method: type[Method], load: Callable[[], TrainedModel]) -> bool:
    """The same seed gives the same weights bit for bit."""
    equal(run(lambda: method(**method.active), load()), run(lambda: method(**method.active), load()), f"{method.__name__} differs between two runs of one seed")
    return True


def resume_is_uninterrupted(method: type[Method], load: Callable[[], TrainedModel]) -> bool:
    """Stop inside the second experience or at its last step, save to disk, load, continue: the uninterrupted run bit for bit."""
    base, experiences = small_stream()
    uninterrupted = run(lambda: method(**method.active), load())
    for place in (0.5, 1.0):
        model, learner = load(), Gradient([method(**method.active)], SETTINGS)
        learner.prepare(model)
        learner.remember(model, base)
        learner.learn(model, experiences[0])
        again, fresh = load(), Gradient([method(**method.active)], SETTINGS)
        fresh.prepare(again)
        with tempfile.TemporaryDirectory() as folder:
            stopped_at(learner, model, experiences[1], place, folder)
            fresh.load(load_state(folder))
        fresh.learn(again, experiences[1])
        equal(whole(again), uninterrupted, f"{method.__name__}: stop, save, load, continue is not the uninterrupted run")
    return True


def stopped_at(learner: Gradient, model: TrainedModel, experience: Experience, place: float, folder: str) -> None:
    """Learn until this share of the steps is done, save there, and break off as a kill would."""

    def stop(step: Step, state: Callable[[], State]) -> None:
        if step.number >= place * step.total:
            save_state(state(), folder)
            raise Stopped

    try:
        learner.learn(model, experience, stop)
    except Stopped:
        torch.rand(7)  # a new process has another random state


def accumulation_changes_nothing(method: type[Method], load: Callable[[], TrainedModel]) -> bool:
    """With a step's rows fixed, one micro-batch and several give the same gradient to 1e-5 in float32."""
    base, experiences = small_stream()
    seen = []
    for micro_tokens in (16_384, 128):
        model, recorder = load(), Recorder()
        learner = Gradient([method(**method.active), recorder], Settings(rate=1e-3, passes=1, batch=24, micro_tokens=micro_tokens))
        learner.prepare(model)
        learner.remember(model, base)
        learner.learn(model, experiences[0])
        seen.append(recorder.seen)
    for name, at_once in seen[0].items():
        far = float((at_once - seen[1][name]).norm() / at_once.norm().clamp_min(1e-12))
        assert far <= 1e-5, f"{method.__name__}: micro-batches change the gradient of {name} by {far:.1e} of its size, at most 1e-5 is allowed"
    return True


def loss_is_pure(method: type[Method], load: Callable[[], TrainedModel]) -> bool:
    """`loss` and `count` give the same twice and leave the method's state alone."""
    _, experiences = small_stream()
    model, made = load(), method(**method.active)
    if not overrides(made, "loss"):
        return False
    rows = model.encoder.rows(experiences[0].train, from_memory=True)
    made.begin(model, rows)
    batch, before = model.batch(rows), _frozen(made.state())
    out = model.logits(batch)
    first, second = made.loss(model, batch, out), made.loss(model, batch, out)
    assert torch.equal(first, second), f"{method.__name__}.loss gives another value the second time"
    assert _frozen(made.state()) == before, f"{method.__name__}.loss changes its state"
    assert made.count(batch) == made.count(batch) > 0, f"{method.__name__}.count is not positive, or not the same twice"
    return True


def gradient_leaves_grad(method: type[Method], load: Callable[[], TrainedModel]) -> bool:
    """`end` and what it computes leave weights, `.grad`, mode and random state as they were."""
    base, _ = small_stream()
    model, learner = load(), Gradient([method(**method.active)], SETTINGS)
    learner.prepare(model)
    weights, random = whole(model), torch.get_rng_state()
    modes = [part.training for part in model.module.modules()]
    learner.remember(model, base)
    objective_gradient(model, model.encoder.rows(base[:2]), Supervised(), SETTINGS)
    equal(whole(model), weights, f"{method.__name__}: remembering the base changed weights")
    assert torch.equal(torch.get_rng_state(), random), f"{method.__name__}: remembering the base moved the random state"
    assert [part.training for part in model.module.modules()] == modes, f"{method.__name__}: remembering the base changed the mode"
    assert all(weight.grad is None for weight in model.trained().values()), f"{method.__name__}: remembering the base left gradients"
    return True


CHECKS: tuple[Check, ...] = (
    neutral_is_plain,
    active_changes,
    same_run_twice,
    resume_is_uninterrupted,
    accumulation_changes_nothing,
    loss_is_pure,
    gradient_leaves_grad,
)


def check_method(method: type[Method], load: Callable[[], TrainedModel] = load_model) -> list[str]:
    """Run every check on a method at its `neutral` and `active` settings; the names of those that ran.

    load: makes a fresh copy of a small model, always the same. Raises AssertionError that says what does not hold.
    """
    return [check.__name__ for check in CHECKS if check(method, load)]


def check_registry() -> dict[str, list[str]]:
    """Every method by name, and the checks it passed."""
    return {name: check_method(method) for name, method in BY_NAME.items()}


def equal(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor], what: str) -> None:
    """Raise AssertionError that says what, and by how much, unless every tensor is the same bit for bit."""
    for name, value in wanted.items():
        assert torch.equal(found[name], value), f"{what}: {name} differs by {float((found[name] - value).abs().max()):.1e}"


def _frozen(value: object) -> object:
    """A state as plain values that can be compared."""
    if isinstance(value, Tensor):
        return value.tolist()
    return {key: _frozen(part) for key, part in value.items()} if isinstance(value, dict) else repr(value)


def _shown(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in settings.items())
