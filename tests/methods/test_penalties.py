"""l2, l2_sp and ewc against autograd and against cases worked by hand."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest
import torch
from torch import Tensor

from everlearn import EWC, L2, L2SP, CausalModel, Example, SettingError, StateError, Step, Supervised
from everlearn.learn.fit import objective_gradient
from everlearn.learn.settings import Settings
from everlearn.methods.base import Method
from everlearn.methods.ewc import fisher_per_example

EXAMPLES = [Example(prompt=f"Question: What is {n} plus 2?\nAnswer:", completion=f" {n + 2}") for n in range(4)]


def step_for(model: CausalModel) -> Step:
    gradient = lambda rows: objective_gradient(model, rows, Supervised(), Settings())  # noqa: E731
    return Step(1, 1, 0.1, model.encoder.rows(EXAMPLES), gradient)


def moved(model: CausalModel, by: float = 0.01) -> None:
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in model.trained().values():
            weight.add_(by * torch.randn(weight.shape, generator=generator))
            weight.grad = torch.zeros_like(weight)


def assert_gradient_is_autograds(model: CausalModel, method: Method, penalty: Callable[[], Tensor]) -> None:
    method.gradients(model, step_for(model))
    wanted = torch.autograd.grad(penalty(), list(model.trained().values()))
    for (name, weight), gradient in zip(model.trained().items(), wanted, strict=True):
        assert weight.grad is not None
        assert torch.allclose(weight.grad, gradient, rtol=1e-4, atol=1e-7), name
        assert weight.grad.abs().sum() > 0, f"{name} gets no gradient"


def test_l2_is_the_articles_formula(tiny: CausalModel) -> None:
    moved(tiny)
    assert_gradient_is_autograds(tiny, L2(strength=0.3), lambda: torch.stack([0.3 * (w**2).sum() for w in tiny.trained().values()]).sum())


def test_l2_sp_pulls_to_the_last_version(tiny: CausalModel) -> None:
    method = L2SP(strength=0.3)
    method.begin(tiny, [])
    start = tiny.state()
    moved(tiny)
    assert_gradient_is_autograds(tiny, method, lambda: torch.stack([0.15 * ((w - start[n]) ** 2).sum() for n, w in tiny.trained().items()]).sum())


def test_decoupled_l2_sp_moves_back_by_rate_times_strength(tiny: CausalModel) -> None:
    method = L2SP(strength=2.0, decoupled=True)
    method.begin(tiny, [])
    start = tiny.state()
    moved(tiny)
    here = tiny.state()
    method.gradients(tiny, step_for(tiny))
    assert all(float(w.grad.abs().sum()) == 0 for w in tiny.trained().values() if w.grad is not None)
    method.stepped(tiny, step_for(tiny))  # rate 0.1
    for name, weight in tiny.trained().items():
        assert torch.allclose(weight, here[name] + 0.2 * (start[name] - here[name]), atol=1e-6)


def test_ewc_sums_one_penalty_for_each_past_experience(tiny: CausalModel) -> None:
    """Two pasts in the closed form (F, b) have the gradient of the two quadratic terms."""
    method, pasts = EWC(strength=0.7, normalise=False), list[tuple[dict[str, Tensor], dict[str, Tensor]]]()
    for _ in range(2):
        step = step_for(tiny)
        pasts.append((fisher_per_example(tiny, step.rows, step), tiny.state()))
        method.end(tiny, step, Random(0))
        moved(tiny)
    penalty = lambda: torch.stack([0.35 * (f[n] * (w - at[n]) ** 2).sum() for f, at in pasts for n, w in tiny.trained().items()]).sum()  # noqa: E731
    method.gradients(tiny, step_for(tiny))
    for (name, weight), wanted in zip(tiny.trained().items(), torch.autograd.grad(penalty(), list(tiny.trained().values())), strict=True):
        assert weight.grad is not None
        assert torch.allclose(weight.grad, wanted, rtol=1e-3, atol=1e-5 * float(wanted.abs().max())), name


def test_the_fisher_squares_each_examples_gradient_not_their_mean(tiny: CausalModel) -> None:
    """Worked by hand: for each example the log-likelihood of its whole completion, its gradient, squared; then the mean.

    Avalanche and TRACE square the gradient of the batch's mean and call that Fisher: the last line tells the two apart.
    """
    step = step_for(tiny)
    found = fisher_per_example(tiny, step.rows, step)
    tiny.module.eval()
    wanted = {name: torch.zeros_like(weight) for name, weight in tiny.trained().items()}
    for row in step.rows:
        batch = tiny.batch([row])
        likelihood = tiny.logits(batch).logits.log_softmax(1).gather(1, batch.targets[:, None]).sum()
        for name, gradient in zip(wanted, torch.autograd.grad(likelihood, list(tiny.trained().values())), strict=True):
            wanted[name] += gradient**2 / len(step.rows)
    for name, value in found.items():
        assert torch.allclose(value, wanted[name], rtol=1e-3, atol=1e-4 * float(wanted[name].max())), name
    mean = step.gradient(step.rows)
    assert not torch.allclose(next(iter(found.values())), next(iter(mean.values())) ** 2, rtol=0.1)


@pytest.mark.parametrize("method", [EWC(strength=1e3), L2SP(strength=1e3)])
def test_at_the_anchor_the_penalty_is_exactly_zero(tiny: CausalModel, method: Method) -> None:
    method.end(tiny, step_for(tiny), Random(0))
    method.begin(tiny, [])
    for weight in tiny.trained().values():
        weight.grad = torch.zeros_like(weight)
    method.gradients(tiny, step_for(tiny))
    assert all(float(w.grad.abs().max()) == 0 for w in tiny.trained().values() if w.grad is not None)


def test_a_decay_forgets_old_fishers(tiny: CausalModel) -> None:
    whole, fading = EWC(strength=1.0), EWC(strength=1.0, decay=0.0)
    for method in (whole, fading):
        for _ in range(2):
            method.end(tiny, step_for(tiny), Random(0))
    name = next(iter(whole.fisher))
    assert torch.allclose(whole.fisher[name], 2 * fading.fisher[name])


def test_a_normalised_fisher_has_mean_one(tiny: CausalModel) -> None:
    """TRACE's normaliser is commented out, so that its strength of 400 means something else for every model."""
    method = EWC(strength=1.0)
    method.end(tiny, step_for(tiny), Random(0))
    assert all(float(value.mean()) == pytest.approx(1.0, rel=1e-4) for value in method.fisher.values())


@pytest.mark.parametrize("make", [lambda: L2(-1), lambda: L2SP(-1), lambda: EWC(-1)])
def test_a_negative_strength_is_refused(make: Callable[[], Method]) -> None:
    with pytest.raises(SettingError, match="strength must be at least 0, got -1"):
        make()


def test_a_decay_above_one_is_refused() -> None:
    with pytest.raises(SettingError, match="ewc decay must be between 0 and 1, got 2"):
        EWC(decay=2)


def test_a_foreign_state_is_refused() -> None:
    with pytest.raises(StateError, match="no tensors under 'fisher'"):
        EWC().load({"anchor": {}})
    with pytest.raises(StateError, match="L2 keeps no state.*anchor"):
        L2().load({"anchor": {}})
