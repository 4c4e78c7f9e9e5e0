"""Evaluation leaves weights, mode and random state as found."""

from __future__ import annotations

import pytest
import torch

from everlearn import CausalModel, Example, Task
from everlearn.checks import check_evaluation

ROW = Example(prompt="Question: What is 7 plus 5?\nAnswer:", completion=" 12", choices=(" 12", " 13"))
TASKS = [Task("e", (ROW,), "exact"), Task("c", (ROW,), "choice"), Task("l", (Example(text="Name the river."),), "loss")]


def test_evaluation_changes_nothing(tiny: CausalModel) -> None:
    check_evaluation(tiny, TASKS)


def test_the_check_can_fail(tiny: CausalModel, monkeypatch: pytest.MonkeyPatch) -> None:
    generate = tiny.generate
    monkeypatch.setattr(tiny, "generate", lambda prompts, limit, lines=False: (torch.rand(1), generate(prompts, limit, lines))[1])
    with pytest.raises(AssertionError, match="moved the random state"):
        check_evaluation(tiny, TASKS)
