"""Distillation: its direction, its values and its teacher."""

from __future__ import annotations

import pytest
import torch

from everlearn import CausalModel, Distill, Example, SettingError
from everlearn.methods.distill import top_with_tail, with_tail

EXAMPLES = [Example(prompt=f"Question: What is {n} plus 2?\nAnswer:", completion=f" {n + 2}") for n in range(6)]


def test_the_tail_holds_the_rest_of_the_probability() -> None:
    logits = torch.randn(5, 40, generator=torch.Generator().manual_seed(0))
    logs, ids = top_with_tail(logits, k=7, temperature=1.0)
    assert logs.shape == (5, 8)
    assert torch.allclose(logs.exp().sum(1), torch.ones(5))
    assert torch.equal(ids[:, 0], logits.argmax(1))


def test_the_divergence_is_from_old_to_new_worked_by_hand() -> None:
    """p_old = (0.7, 0.2, 0.1), p_new = (0.5, 0.25, 0.25): KL(old || new) = 0.0992 nats, KL(new || old) = 0.1167."""
    old, new = torch.tensor([[0.7, 0.2, 0.1]]).log(), torch.tensor([[0.5, 0.25, 0.25]]).log()
    logs, ids = top_with_tail(old, k=2, temperature=1.0)
    found = (logs.exp() * (logs - with_tail(new, ids))).sum()
    by_hand = 0.7 * torch.tensor(0.7 / 0.5).log() + 0.2 * torch.tensor(0.2 / 0.25).log() + 0.1 * torch.tensor(0.1 / 0.25).log()
    assert float(found) == pytest.approx(float(by_hand), rel=1e-5)


def moved(model: CausalModel) -> None:
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in model.trained().values():
            weight.add_(0.02 * torch.randn(weight.shape, generator=generator))


def test_with_every_token_kept_it_is_the_whole_divergence(tiny: CausalModel) -> None:
    rows = tiny.encoder.rows(EXAMPLES)
    batch = tiny.batch(rows)
    method = Distill(k=10_000, temperature=2.0, strength=0.5)
    method.begin(tiny, rows)
    old = (tiny.logits(batch).logits / 2).log_softmax(1).detach()
    moved(tiny)
    out = tiny.logits(batch)
    new = (out.logits / 2).log_softmax(1)
    wanted = 0.5 * 4 * (old.exp() * (old - new)).sum(1)
    assert torch.allclose(method.loss(tiny, batch, out), wanted, rtol=1e-3, atol=1e-5)


def test_it_is_zero_at_the_start_and_its_gradient_points_back(tiny: CausalModel) -> None:
    rows = tiny.encoder.rows(EXAMPLES)
    method = Distill()
    method.begin(tiny, rows)
    batch = tiny.batch(rows)
    assert float(method.loss(tiny, batch, tiny.logits(batch)).detach().abs().max()) < 1e-5
    moved(tiny)
    far = method.loss(tiny, batch, tiny.logits(batch)).sum()
    start = far.item()
    assert start > 0.01
    gradients = torch.autograd.grad(far, list(tiny.trained().values()))
    with torch.no_grad():
        for weight, gradient in zip(tiny.trained().values(), gradients, strict=True):
            weight.sub_(1e-4 * gradient)
    assert method.loss(tiny, batch, tiny.logits(batch)).sum().item() < start


@pytest.mark.parametrize(("on", "covered"), [("all", 6), ("new", 3), ("memory", 3)])
def test_it_covers_the_rows_it_was_asked_to(tiny: CausalModel, on: str, covered: int) -> None:
    rows = [*tiny.encoder.rows(EXAMPLES[:3]), *tiny.encoder.rows(EXAMPLES[3:], from_memory=True)]
    method = Distill(on=on)  # type: ignore[arg-type]
    method.begin(tiny, rows)
    batch = tiny.batch(rows)
    counted = sum(len(row.learned) for row in rows if on == "all" or (on == "memory") == row.from_memory)
    assert len(method.teacher) == covered
    assert method.count(batch) == counted == len(method.loss(tiny, batch, tiny.logits(batch)))


def test_the_teacher_belongs_to_the_row_not_to_its_place(tiny: CausalModel) -> None:
    """TRACE's LwF keys its logits by the step, under a sampler that shuffles: they belong to other rows."""
    rows = tiny.encoder.rows(EXAMPLES)
    method = Distill()
    method.begin(tiny, rows)
    moved(tiny)
    forward, backward = tiny.batch(rows), tiny.batch(rows[::-1])
    a = method.loss(tiny, forward, tiny.logits(forward)).sum()
    b = method.loss(tiny, backward, tiny.logits(backward)).sum()
    assert a.item() == pytest.approx(b.item(), rel=1e-4)


def test_settings_outside_their_range_are_refused() -> None:
    with pytest.raises(SettingError, match="distill on must be 'all', 'new' or 'memory', got 'old'"):
        Distill(on="old")  # type: ignore[arg-type]
    with pytest.raises(SettingError, match="distill k must be at least 1, got 0"):
        Distill(k=0)
    with pytest.raises(SettingError, match="distill temperature must be between 0.01 and 100, got 0"):
        Distill(temperature=0)
