"""The shipped checks over every objective, and that each of them can fail."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import pytest
import torch
from torch import Tensor

from everlearn import CausalModel, Objective, Row, Step, Supervised, load_model
from everlearn.checks import OBJECTIVE_CHECKS, check_objective
from everlearn.checks import objectives as checks
from everlearn.learn.registry import OBJECTIVES
from everlearn.types import Batch, Out


@pytest.mark.parametrize("name", [*OBJECTIVES, "supervised"])
def test_an_objective_holds_every_check(name: str) -> None:
    assert check_objective(OBJECTIVES.get(name, Supervised)) == [check.__name__ for check in OBJECTIVE_CHECKS]
    assert len(OBJECTIVE_CHECKS) == 5
    assert list(OBJECTIVES) == sorted(OBJECTIVES)
    assert len(OBJECTIVES) >= 4


class OwnMean(Supervised):
    def loss(self, model: CausalModel, batch: Batch, out: Out) -> Tensor:
        return super().loss(model, batch, out).mean() * 7


class Nothing(Supervised):
    def loss(self, model: CausalModel, batch: Batch, out: Out) -> Tensor:
        return super().loss(model, batch, out) * 0


class Counting(Supervised):
    calls = 0

    def loss(self, model: CausalModel, batch: Batch, out: Out) -> Tensor:
        self.calls += 1
        return super().loss(model, batch, out) * self.calls


class Chance(Supervised):
    def rows(self, model: CausalModel, rows: Sequence[Row], step: Step, random: Random) -> Sequence[Row]:
        return [row for row in rows if Random().random() < 0.9]


@pytest.mark.parametrize(
    ("objective", "check", "words"),
    [
        (Nothing, checks.learns, "learns nothing"),
        (OwnMean, checks.accumulation_changes_nothing, "micro-batches change the gradient"),
        (Counting, checks.loss_is_pure, "another value the second time"),
        (Counting, checks.resume_is_uninterrupted, "is not the uninterrupted run"),
        (Chance, checks.same_run_twice, "differs between two runs"),
    ],
)
def test_each_check_fails_for_an_objective_that_breaks_it(objective: type[Objective], check: checks.Check, words: str) -> None:
    with pytest.raises(AssertionError, match=words):
        check(objective, load_model)


def test_a_method_may_ask_for_a_gradient_under_any_objective() -> None:
    """A-GEM takes the gradient of remembered rows: under rollouts, that of imitating them; under preferences, that of the pairs."""
    from everlearn import AGEM, Gradient

    for objective in OBJECTIVES.values():
        model, learner = load_model("tiny"), Gradient([AGEM()], checks.SETTINGS, objective(**objective.active))
        learner.prepare(model)
        for experience in checks.experiences_for(objective, load_model):
            assert torch.isfinite(torch.tensor(learner.learn(model, experience).loss))
