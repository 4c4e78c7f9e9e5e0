"""MoFO on a case worked by hand."""

from __future__ import annotations

import pytest
import torch

from everlearn import CausalModel, Example, MoFO, SettingError, Step
from everlearn.methods.mofo import filtered


def test_the_top_share_by_momentum_moves_and_nothing_else(tiny: CausalModel) -> None:
    """Two steps with gradients g and -g/2: m = 0.9 * 0.1 g - 0.1 * g / 2 = 0.04 g, so |g| still says which move."""
    optimizer = torch.optim.AdamW(tiny.trained().values(), lr=0.1, weight_decay=0.1)
    generator = torch.Generator().manual_seed(0)
    gradient = {name: torch.randn(weight.shape, generator=generator) for name, weight in tiny.trained().items()}
    method = MoFO(share=0.1)
    for factor in (1.0, -0.5):
        for name, weight in tiny.trained().items():
            weight.grad = factor * gradient[name]
        step = Step(1, 2, 0.1, [Example("1+1=", "2")], lambda rows: {}, optimizer, tiny.state())
        optimizer.step()
        method.stepped(tiny, step)
        for name, weight in tiny.trained().items():
            assert step.before is not None
            moved = weight.detach() != step.before[name]
            top = gradient[name].abs() >= gradient[name].abs().flatten().topk(max(1, round(0.1 * weight.numel()))).values[-1]
            assert torch.equal(moved, top), name


def test_the_selection_is_exact_and_leaves_out_what_has_no_momentum() -> None:
    assert filtered(torch.tensor([0.1, 0.4, 0.3, 0.2]), 0.5).tolist() == [False, True, True, False]
    assert filtered(torch.tensor([0.0, 0.0, 0.3, 0.0]), 0.75).tolist() == [False, False, True, False]


def test_an_optimizer_without_momentum_is_refused(tiny: CausalModel) -> None:
    optimizer = torch.optim.SGD(tiny.trained().values(), lr=0.1)
    with pytest.raises(SettingError, match="needs an optimizer with momentum, got 'SGD'"):
        MoFO().stepped(tiny, Step(1, 1, 0.1, [Example("1+1=", "2")], lambda rows: {}, optimizer, tiny.state()))


def test_settings_outside_their_range_are_refused() -> None:
    with pytest.raises(SettingError, match="mofo share must be between 1e-09 and 1, got 2"):
        MoFO(share=2)
