"""MIR: the virtual step is AdamW's own, and what it harms most is rehearsed."""

from __future__ import annotations

from random import Random

import pytest
import torch

from everlearn import MIR, CausalModel, Example, Experience, Gradient, SettingError, Settings, Step
from everlearn.learn.fit import objective_gradient
from everlearn.learn.objectives.base import Supervised
from everlearn.methods.mir import harm, virtual_change
from everlearn.methods.remembered import Remembered, row_losses

OLD = tuple(Example(prompt=f"Question: What is {n} plus 2?\nAnswer:", completion=f" {n + 2}") for n in range(8))
NEW = tuple(Example(prompt=f"Question: What is {n} plus 2? Say\nAnswer:", completion=" 0") for n in range(4))
SETTINGS = Settings(rate=1e-3, passes=1, batch=4)


def step_of(model: CausalModel, optimizer: torch.optim.Optimizer | None = None) -> Step:
    return Step(1, 1, 1e-3, model.encoder.rows(NEW), lambda rows: objective_gradient(model, rows, Supervised(), SETTINGS), optimizer)


def test_the_virtual_step_is_the_one_adamw_then_takes(tiny: CausalModel) -> None:
    optimizer = torch.optim.AdamW(tiny.trained().values(), lr=1e-3, weight_decay=0.0)
    for seed in (0, 1):
        generator = torch.Generator().manual_seed(seed)
        gradient = {name: torch.randn(weight.shape, generator=generator) for name, weight in tiny.trained().items()}
        before, wanted = tiny.state(), virtual_change(tiny, gradient, optimizer, 1e-3)
        for name, weight in tiny.trained().items():
            weight.grad = gradient[name].clone()
        optimizer.step()
        for name, weight in tiny.state().items():
            assert torch.allclose(weight - before[name], wanted[name], atol=1e-6), (seed, name)


def test_without_moments_the_virtual_step_is_plain_descent(tiny: CausalModel) -> None:
    gradient = {name: torch.ones_like(weight) for name, weight in tiny.trained().items()}
    for optimizer in (None, torch.optim.SGD(tiny.trained().values(), lr=0.5)):
        assert all(float(change.max()) == float(change.min()) == -0.5 for change in virtual_change(tiny, gradient, optimizer, 0.5).values())


def test_harm_is_the_rise_of_each_rows_loss_and_leaves_all_as_it_was(tiny: CausalModel) -> None:
    step, rows, before = step_of(tiny), tiny.encoder.rows(OLD), tiny.state()
    step.rate = 0.5
    found = harm(tiny, step, rows)
    assert all(torch.equal(weight, before[name]) for name, weight in tiny.state().items())
    first, gradient = row_losses(tiny, rows), step.gradient(step.rows)
    tiny.load({name: weight - 0.5 * gradient[name] for name, weight in before.items()})
    second = row_losses(tiny, rows)
    assert found == pytest.approx([b - a for a, b in zip(first, second, strict=True)], abs=1e-6)
    assert max(found) > 0.01


def test_a_rows_loss_is_its_mean_over_learned_tokens(shared_tiny: CausalModel) -> None:
    rows = shared_tiny.encoder.rows(OLD)
    for row, found in zip(rows, row_losses(shared_tiny, rows), strict=True):
        batch = shared_tiny.batch([row])
        assert found == pytest.approx(float(torch.nn.functional.cross_entropy(shared_tiny.logits(batch).logits.detach(), batch.targets)), rel=1e-4)


def test_the_most_harmed_join_the_step_and_the_log_knows_them(tiny: CausalModel) -> None:
    method = MIR(share=0.5, candidates=8)
    method.end(tiny, Step(0, 0, 0.0, tiny.encoder.rows(OLD), lambda rows: {}), Random(0))
    step = step_of(tiny)
    drawn = method.draw(tiny, step, Random(1))
    rows = tiny.encoder.rows(OLD, from_memory=True)
    order = [row.id for _, row in sorted(zip(harm(tiny, step, rows), rows, strict=True), key=lambda pair: -pair[0])]
    assert [row.id for row in drawn] == order[: len(drawn)]
    assert 0 < len(drawn) < 8
    assert all(row.from_memory for row in drawn)
    log = Gradient([method], SETTINGS).learn(tiny, Experience("e", NEW))
    assert log.rehearsed == {row.id for row in drawn}


def test_a_sample_has_no_row_twice_and_stops_at_its_tokens(shared_tiny: CausalModel) -> None:
    memory = Remembered(None)
    memory.end(shared_tiny.encoder.rows(OLD), Random(0))
    assert {row.id for row in memory.sample(shared_tiny.encoder, Random(0))} == {e.id for e in OLD}
    assert len(memory.sample(shared_tiny.encoder, Random(0), 3)) == 3
    one = len(shared_tiny.encoder.rows(OLD)[0].tokens)
    assert len(memory.sample(shared_tiny.encoder, Random(0), tokens=1.5 * one)) == 2


def test_settings_outside_their_range_are_refused() -> None:
    with pytest.raises(SettingError, match="mir share must be between 0 and 10, got -1"):
        MIR(share=-1)
    with pytest.raises(SettingError, match="mir candidates must be at least 1, got 0"):
        MIR(candidates=0)
    with pytest.raises(SettingError, match="mir rows must be at least 1, got 0"):
        MIR(rows=0)
