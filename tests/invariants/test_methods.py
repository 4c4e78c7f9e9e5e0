"""The shipped checks over the whole registry, and that each of them can fail."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pkgutil import iter_modules
from random import Random

import pytest
import torch
from torch import Tensor

import everlearn.methods
from everlearn import CausalModel, Distill, Method, Row, Step, load_model
from everlearn.checks import CHECKS, check_method
from everlearn.checks import methods as checks
from everlearn.methods import BY_NAME
from everlearn.methods.base import State
from everlearn.types import Batch, Out


@pytest.mark.parametrize("name", BY_NAME)
def test_a_method_holds_every_check(name: str) -> None:
    ran = check_method(BY_NAME[name])
    assert set(ran) == {check.__name__ for check in CHECKS} - (set() if BY_NAME[name].loss is not Method.loss else {"loss_is_pure"})
    assert len(CHECKS) == 7


def test_the_registry_holds_every_method_of_this_version() -> None:
    modules = [import_module(f"everlearn.methods.{found.name}") for found in iter_modules(everlearn.methods.__path__)]
    made = {kind for module in modules for kind in vars(module).values() if isinstance(kind, type) and issubclass(kind, Method) and kind.family}
    assert made == set(BY_NAME.values())
    assert list(BY_NAME) == sorted(BY_NAME)
    assert len(BY_NAME) >= 13
    assert all(method.neutral is not None and method.family and method.paper for method in BY_NAME.values())


class Bad(Method):
    """A method with nothing wrong; each test below breaks one thing."""

    neutral = {"strength": 0.0}
    active = {"strength": 1.0}

    def __init__(self, strength: float = 1.0) -> None:
        self.strength = strength


class Nothing(Bad):
    """Accepts a strength and ignores it."""


class NotNeutral(Bad):
    def gradients(self, model: CausalModel, step: Step) -> None:
        for weight in model.trained().values():
            if weight.grad is not None:
                weight.grad.add_(weight.detach(), alpha=0.1)


class OwnMean(Bad):
    """Divides by itself, so that micro-batches count wrongly."""

    def loss(self, model: CausalModel, batch: Batch, out: Out) -> Tensor:
        return self.strength * out.logits.logsumexp(1).mean() * 10


class MeanOfTeacher(Distill):
    """A real term that divides by itself."""

    def loss(self, model: CausalModel, batch: Batch, out: Out) -> Tensor:
        return super().loss(model, batch, out).mean() * 7


class Forgetful(Bad):
    """Keeps something that its state does not hold."""

    steps = 0

    def gradients(self, model: CausalModel, step: Step) -> None:
        self.steps += 1
        for weight in model.trained().values():
            if weight.grad is not None:
                weight.grad.add_(weight.detach(), alpha=self.strength * 0.01 * self.steps)


class Unpure(Bad):
    calls = 0

    def loss(self, model: CausalModel, batch: Batch, out: Out) -> Tensor:
        self.calls += 1
        return self.strength * self.calls * out.logits.logsumexp(1)


class Careless(Bad):
    """Leaves the random state moved when it looks at the past."""

    def end(self, model: CausalModel, step: Step, random: Random) -> None:
        torch.rand(1)


class Global(Bad):
    """Draws from the global generator, not from its own."""

    def mix(self, model: CausalModel, rows: list[Row], random: Random) -> list[Row]:
        return [rows[i] for i in torch.randperm(len(rows), generator=torch.Generator().manual_seed(torch.seed() % 1000))] if self.strength else rows


@pytest.mark.parametrize(
    ("method", "check", "words"),
    [
        (Nothing, checks.active_changes, "does nothing"),
        (NotNeutral, checks.neutral_is_plain, "is not plain training"),
        (OwnMean, checks.accumulation_changes_nothing, "micro-batches change the gradient"),
        (MeanOfTeacher, checks.accumulation_changes_nothing, "micro-batches change the gradient"),
        (Forgetful, checks.resume_is_uninterrupted, "is not the uninterrupted run"),
        (Unpure, checks.loss_is_pure, "another value the second time"),
        (Careless, checks.gradient_leaves_grad, "moved the random state"),
        (Global, checks.same_run_twice, "differs between two runs"),
    ],
)
def test_each_check_fails_for_a_method_that_breaks_it(method: type[Method], check: checks.Check, words: str) -> None:
    with pytest.raises(AssertionError, match=words):
        check(method, load_model)


def test_a_method_of_ones_own_is_checked_the_same_way() -> None:
    class Shrink(Method):
        """An own method: a factor on the rate."""

        neutral = {"factor": 1.0}
        active = {"factor": 0.5}

        def __init__(self, factor: float = 0.5) -> None:
            self.factor = factor

        def rate(self, step: Step) -> float:
            return self.factor

        def begin(self, model: CausalModel, rows: Sequence[Row]) -> None:
            self.rows = len(rows)

        def state(self) -> State:
            return {"rows": self.rows}

        def load(self, state: State) -> None:
            self.rows = int(str(state["rows"]))

    assert len(check_method(Shrink)) == 6  # all but the purity of a loss it does not have
