"""si, mas and movement against autograd and cases worked by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random

import pytest
import torch
from torch import Tensor

from everlearn import MAS, SI, CausalModel, Example, Experience, Gradient, Method, Movement, SettingError, Settings, Step
from everlearn.methods.ewc import sampled
from everlearn.methods.movement import largest

EXAMPLES = tuple(Example(prompt=f"Question: What is {n} plus 2?\nAnswer:", completion=f" {n + 2}") for n in range(4))


def step_for(model: CausalModel) -> Step:
    return Step(1, 1, 0.1, model.encoder.rows(EXAMPLES), lambda rows: {})


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
        assert torch.allclose(weight.grad, gradient, rtol=1e-4, atol=1e-8), name
    assert sum(float(weight.grad.abs().sum()) for weight in model.trained().values() if weight.grad is not None) > 0


def total(parts: list[Tensor]) -> Tensor:
    return torch.stack(parts).sum()


def test_si_follows_the_path_of_each_weight(tiny: CausalModel) -> None:
    """Two steps by hand: omega = -(g1 * d1 + g2 * d2), Omega = omega / (D^2 + damping), only where the loss fell."""
    method, name = SI(strength=1.0, damping=0.5), "model.norm.weight"
    method.begin(tiny, [])
    weight = tiny.trained()[name]
    for gradient, change in ((2.0, -0.5), (-1.0, -0.5)):  # one lowers the loss by 1, the other raises it by 0.5
        step = step_for(tiny)
        step.before = tiny.state()
        weight.grad = torch.full_like(weight, gradient)
        method.gradients(tiny, step)
        with torch.no_grad():
            weight.add_(change)
        method.stepped(tiny, step)
    method.end(tiny, step_for(tiny), Random(0))
    assert torch.allclose(method.importance[name], torch.full_like(weight, 0.5 / (1.0 + 0.5)))
    assert float(method.importance["model.embed_tokens.weight"].abs().max()) == 0


def test_si_never_rewards_a_weight_that_raised_the_loss(tiny: CausalModel) -> None:
    method = SI()
    method.begin(tiny, [])
    method.path = {name: value - 1 for name, value in method.path.items()}
    method.end(tiny, step_for(tiny), Random(0))
    assert all(float(value.abs().max()) == 0 for value in method.importance.values())


def test_the_pull_of_si_and_mas_is_autograds(tiny: CausalModel) -> None:
    generator = torch.Generator().manual_seed(1)
    for method in (SI(strength=0.3), MAS(strength=0.3)):
        method.begin(tiny, [])
        method.importance = {name: torch.rand(value.shape, generator=generator) for name, value in method.anchor.items()}
        moved(tiny)
        kept, start = method.importance, method.anchor
        assert_gradient_is_autograds(
            tiny, method, lambda kept=kept, start=start: total([0.3 * (kept[n] * (w - start[n]) ** 2).sum() for n, w in tiny.trained().items()])
        )


def test_the_pull_of_movement_is_autograds(tiny: CausalModel) -> None:
    method = Movement(strength=0.3, share=0.2)
    method.begin(tiny, [])
    moved(tiny)
    method.end(tiny, step_for(tiny), Random(0))
    held = largest(method.moved, 0.2)
    assert sum(float(value.sum()) for value in held.values()) == pytest.approx(0.2 * sum(value.numel() for value in held.values()), rel=1e-3)
    method.begin(tiny, [])
    start = tiny.state()
    moved(tiny)
    assert_gradient_is_autograds(tiny, method, lambda: total([0.3 * (held[n] * (w - start[n]).abs()).sum() for n, w in tiny.trained().items()]))


def test_mas_is_the_mean_size_of_each_rows_gradient_and_asks_no_label(tiny: CausalModel) -> None:
    method, step = MAS(strength=1.0, normalise=False), step_for(tiny)
    method.end(tiny, step, Random(0))
    tiny.module.eval()
    wanted = {name: torch.zeros_like(weight) for name, weight in tiny.trained().items()}
    for row in step.rows:
        norm = tiny.logits(tiny.batch([row])).logits.square().sum()
        for name, gradient in zip(wanted, torch.autograd.grad(norm, list(tiny.trained().values())), strict=True):
            wanted[name] += gradient.abs() / len(step.rows)
    for name, value in wanted.items():
        assert torch.allclose(method.importance[name], value, rtol=1e-3, atol=1e-4 * float(value.max())), name


def test_a_known_past_gives_mas_an_importance_but_no_path_to_the_others(tiny: CausalModel) -> None:
    mas, si, movement = MAS(strength=1.0), SI(), Movement()
    Gradient([mas, si, movement]).remember(tiny, EXAMPLES)
    assert all(float(value.mean()) == pytest.approx(1.0, rel=1e-3) for value in mas.importance.values())
    assert not si.importance
    assert not movement.moved


@pytest.mark.parametrize("method", [SI(strength=1e4), MAS(strength=1e2, samples=4), Movement(strength=0.1, share=1.0)])
def test_a_strong_pull_keeps_the_model_nearer_to_where_it_was(tiny: CausalModel, load_tiny: Callable[[], CausalModel], method: Method) -> None:
    second = Experience("2", tuple(Example(prompt=e.prompt, completion=" 7") for e in EXAMPLES))
    far = []
    for methods in ([], [method]):
        model, learner = load_tiny(), Gradient(methods, Settings(rate=1e-3, passes=6, batch=4))
        learner.learn(model, Experience("1", EXAMPLES))
        before = model.state()
        learner.learn(model, second)
        far.append(sum(float((weight - before[name]).square().sum()) for name, weight in model.state().items()))
    assert far[1] < 0.9 * far[0]


def test_mas_of_means_is_the_size_of_their_gradient(tiny: CausalModel) -> None:
    rows = step_for(tiny).rows * 5  # 20: a mean of 16 and one of 4
    method = MAS(strength=1.0, samples=100, normalise=False, sensitivity="batched")
    method.end(tiny, replace(step_for(tiny), rows=rows), Random(0))
    tiny.module.eval()
    wanted, drawn = {name: torch.zeros_like(weight) for name, weight in tiny.trained().items()}, sampled(rows, 100, Random(0))
    for part in (drawn[:16], drawn[16:]):
        norm = tiny.logits(tiny.batch(part)).logits.square().sum()
        for name, gradient in zip(wanted, torch.autograd.grad(norm, list(tiny.trained().values())), strict=True):
            wanted[name] += gradient.abs() / 20
    for name, value in wanted.items():
        assert torch.allclose(method.importance[name], value, rtol=1e-3, atol=1e-4 * float(value.max())), name


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: MAS(sensitivity="mean"), "mas sensitivity must be 'rows' or 'batched', got 'mean'"),  # type: ignore[arg-type]
        (lambda: SI(-1), "si strength must be at least 0, got -1"),
        (lambda: SI(damping=0), "si damping must be at least 1e-12, got 0"),
        (lambda: MAS(-1), "mas strength must be at least 0, got -1"),
        (lambda: MAS(samples=0), "mas samples must be at least 1, got 0"),
        (lambda: MAS(decay=2), "mas decay must be between 0 and 1, got 2"),
        (lambda: Movement(-1), "movement strength must be at least 0, got -1"),
        (lambda: Movement(share=5), "movement share must be between 0 and 1, got 5"),
    ],
)
def test_settings_out_of_range_are_refused(make: Callable[[], Method], words: str) -> None:
    with pytest.raises(SettingError, match=words):
        make()
