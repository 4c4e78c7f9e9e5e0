"""The shipped checks over every learner around the loop, and that each of them can fail."""

from __future__ import annotations

import pytest
import torch

from everlearn import CausalModel, Experience, LanguageModel, LearnLog, SettingError, TrainedModel, load_model
from everlearn.checks import LEARNER_CHECKS, check_learner
from everlearn.checks import learners as checks
from everlearn.learn.base import Around
from everlearn.learn.fit import Checkpoint
from everlearn.learn.registry import LEARNERS


@pytest.mark.parametrize("name", LEARNERS)
def test_a_learner_holds_every_check(name: str) -> None:
    assert check_learner(name) == [check.__name__ for check in LEARNER_CHECKS]
    assert len(LEARNER_CHECKS) == 5


def test_the_registry_is_sorted_and_says_what_each_learner_is() -> None:
    assert list(LEARNERS) == sorted(LEARNERS)
    assert len(LEARNERS) >= 1
    assert all(learner.family and learner.paper and learner.active for learner in LEARNERS.values())


def test_an_unknown_learner_is_told_with_the_close_one() -> None:
    with pytest.raises(SettingError, match=r"no learner 'routed_adaptors'. Did you mean 'routed_adapters'"):
        check_learner("routed_adaptors")


class Idle(Around):
    """Does nothing of its own."""


class Careless(Around):
    """Moves the random state before the loop, and what it draws is in the answers."""

    def learn(self, model: TrainedModel, experience: Experience, checkpoint: Checkpoint | None = None) -> LearnLog:
        with torch.no_grad():
            next(iter(model.trained().values())).add_(1e-3 * torch.randn(1, generator=torch.Generator().manual_seed(torch.seed() % 1000)))
        return self.inner.learn(model, experience, checkpoint)


class Forgetful(Around):
    """Counts its experiences, and its state does not."""

    count = 0

    def learn(self, model: TrainedModel, experience: Experience, checkpoint: Checkpoint | None = None) -> LearnLog:
        self.count += 1
        with torch.no_grad():
            next(iter(model.trained().values())).mul_(1 - 1e-3 * self.count)
        return self.inner.learn(model, experience, checkpoint)


class Deaf(Around):
    """Never offers the checkpoint."""

    def learn(self, model: TrainedModel, experience: Experience, checkpoint: Checkpoint | None = None) -> LearnLog:
        return self.inner.learn(model, experience)


class Meddling(Around):
    """Writes into a weight that it has frozen."""

    def prepare(self, model: TrainedModel) -> LanguageModel:
        served = self.inner.prepare(model)
        first = next(iter(model.trained().values()))
        first.requires_grad_(False)
        first.data.mul_(1.001)
        return served


class Restless(Around):
    """Serves a model that changes when it is asked."""

    def prepare(self, model: TrainedModel) -> LanguageModel:
        assert isinstance(model, CausalModel)
        self.inner.prepare(model)
        return Drifting(model.module, model.tokenizer, model.name)


class Drifting(CausalModel):
    def score(self, *given: object) -> list[list[float]]:
        with torch.no_grad():
            next(iter(self.trained().values())).mul_(1.01)
        return super().score(*given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("learner", "check", "words"),
    [
        (Idle, checks.it_does_something, "does nothing"),
        (Careless, checks.same_run_twice, "differs between two runs"),
        (Forgetful, checks.resume_is_uninterrupted, "is not the uninterrupted run"),
        (Deaf, checks.resume_is_uninterrupted, "never offered the checkpoint"),
        (Meddling, checks.the_start_stays, "changed a frozen weight"),
        (Restless, checks.asking_changes_nothing, "another thing the second time"),
    ],
)
def test_each_check_fails_for_a_learner_that_breaks_it(learner: type[Around], check: checks.LearnerCheck, words: str) -> None:
    with pytest.raises(AssertionError, match=words):
        check(learner, load_model)
