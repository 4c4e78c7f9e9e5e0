"""What every evaluation must hold: it changes nothing."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from everlearn.evaluate.tasks import Task, answers
from everlearn.models.weights import TrainedModel


def check_evaluation(model: TrainedModel, tasks: Sequence[Task]) -> None:
    """Evaluating leaves weights, gradients, every submodule's mode and the random state as found, and gives the same twice.

    Raises AssertionError that says what changed.
    """
    first = next(iter(model.module.children()))
    was = first.training
    first.train(not was)  # a mixed mode must come back too
    weights, random = model.state(), torch.get_rng_state()
    modes = [part.training for part in model.module.modules()]
    found = [answers(model, task) for task in tasks]
    assert all(torch.equal(value, weights[name]) for name, value in model.state().items()), "evaluation changed weights"
    assert torch.equal(torch.get_rng_state(), random), "evaluation moved the random state"
    assert [part.training for part in model.module.modules()] == modes, "evaluation changed a submodule's mode"
    assert all(weight.grad is None for weight in model.trained().values()), "evaluation left gradients"
    assert found == [answers(model, task) for task in tasks], "evaluation gives another answer the second time"
    first.train(was)
