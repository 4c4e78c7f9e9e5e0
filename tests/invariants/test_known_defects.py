"""Defects found in public code, each beside what it computes wrongly, so that ours is seen to differ.

More of them are named where their part is tested: tests/replay/test_buffers.py (Renate), tests/evaluate/test_matrix.py (LibContinual),
tests/evaluate/test_divergence.py (TRL), tests/methods (Avalanche, EasyCL, TRACE), tests/importing (what Mammoth, LibContinual and SAPT state).
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from everlearn import (
    EWC,
    L2SP,
    Anchor,
    CausalModel,
    Distill,
    Example,
    Experience,
    Gradient,
    Lora,
    Matrix,
    Method,
    Replay,
    Settings,
    Step,
    Supervised,
    load_model,
)
from everlearn.evaluate.divergence import read_anchor
from everlearn.importing import formulas
from everlearn.learn.fit import objective_gradient
from everlearn.methods.base import State

EXAMPLES = tuple(Example(prompt=f"Question: What is {n} plus 2?\nAnswer:", completion=f" {n + 2}") for n in range(8))
SETTINGS, NEW = Settings(rate=1e-3, passes=3, batch=2), Experience("1", EXAMPLES[4:])
Load = Callable[[], CausalModel]


def step_for(model: CausalModel) -> Step:
    return Step(1, 1, 0.1, model.encoder.rows(EXAMPLES[:4]), lambda rows: objective_gradient(model, rows, Supervised(), Settings()))


def moved(model: CausalModel, by: float = 0.02) -> None:
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in model.trained().values():
            weight.add_(by * torch.randn(weight.shape, generator=generator))
            weight.grad = torch.zeros_like(weight)


def measured(model: CausalModel) -> dict[str, Tensor]:
    """The Fisher here, of a method that holds nothing yet."""
    method = EWC(strength=1.0, normalise=False, samples=100)
    method.end(model, step_for(model), Random(0))
    return method.fisher


def gap(one: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    """How far apart two sets of tensors are, as a share of the first's size."""
    apart = sum(float((value - other[name]).square().sum()) for name, value in one.items())
    return float((apart / sum(float(value.square().sum()) for value in one.values())) ** 0.5)


def anchored(model: CausalModel, method: Method) -> None:
    """Show a penalty its past, and leave that place."""
    method.end(model, step_for(model), Random(0))
    method.begin(model, [])
    moved(model)


@pytest.mark.parametrize("method", [EWC(strength=1.0), L2SP(strength=1.0)], ids=["ewc", "l2_sp"])
def test_a_penalty_reaches_every_weight_that_learns(tiny: CausalModel, method: Method) -> None:
    """EasyCL builds its EWC penalty from `param.data`: a number without a graph, whose gradient never reaches a weight."""
    start = tiny.state()
    anchored(tiny, method)
    detached = torch.stack([((weight.data - start[name]) ** 2).sum() for name, weight in tiny.trained().items()]).sum()
    assert float(detached) > 0
    assert not detached.requires_grad
    method.gradients(tiny, step_for(tiny))
    still = [name for name, weight in tiny.trained().items() if weight.grad is None or not weight.grad.any()]
    assert still == []


@pytest.mark.parametrize("method", [EWC(strength=1.0), L2SP(strength=1.0)], ids=["ewc", "l2_sp"])
def test_an_anchor_is_a_copy_that_stays_when_the_weights_move(tiny: CausalModel, method: EWC | L2SP) -> None:
    """Avalanche once shipped a penalty that was always 0: what is kept by reference is where the weights are now."""
    references = {name: weight.detach() for name, weight in tiny.trained().items()}
    anchored(tiny, method)
    now = tiny.state()
    assert gap(now, references) == 0
    assert gap(now, dict(method.anchor)) > 0.01


def test_a_method_keeps_nothing_of_frozen_weights() -> None:
    """Avalanche clones every parameter for its EWC, frozen ones too: with adapters almost all of it is never used."""
    model = load_model("tiny", Lora(rank=4))
    clones = sum(weight.numel() for _, weight in model.module.named_parameters())
    for method in (EWC(strength=1.0), L2SP(strength=1.0)):
        anchored(model, method)
        for kept in method.state().values():
            assert isinstance(kept, dict)
            assert kept.keys() == model.trained().keys()
            assert sum(value.numel() for value in kept.values()) < clones / 10


def test_the_fisher_holds_nothing_of_the_penalty(tiny: CausalModel) -> None:
    """TRACE adds up the squares of the gradients it trains with, the penalty's own among them: what was held becomes ever more important."""
    method = EWC(strength=1e6, normalise=False)
    anchored(tiny, method)
    first = {name: value.clone() for name, value in method.fisher.items()}
    step = step_for(tiny)
    alone = measured(tiny)
    method.gradients(tiny, step)
    trained_with = step.gradient(step.rows)
    without = {name: value**2 for name, value in trained_with.items()}
    with_penalty = {name: (weight.grad + trained_with[name]) ** 2 for name, weight in tiny.trained().items() if weight.grad is not None}
    method.end(tiny, step, Random(0))
    assert gap(alone, {name: value - first[name] for name, value in method.fisher.items()}) < 1e-3
    assert gap(without, with_penalty) > 1


def test_the_fisher_is_measured_where_the_experience_ends(tiny: CausalModel) -> None:
    """TRACE's Fisher is gathered over all epochs, so also at weights that were soon left; ours is that of the weights it anchors."""
    early = measured(tiny)
    method = EWC(strength=1.0, normalise=False, samples=100)
    Gradient([method], Settings(rate=3e-3, passes=4, batch=4)).learn(tiny, Experience("1", EXAMPLES[:4]))
    late = measured(tiny)
    assert gap(late, method.fisher) < 1e-3
    assert gap(late, {name: (value + early[name]) / 2 for name, value in late.items()}) > 0.4
    assert gap(tiny.state(), method.anchor) == 0


def test_distillation_pulls_toward_a_teacher_that_stands_still() -> None:
    """TRACE's LwF takes kl_div(log_softmax(old), softmax(new)): KL(new || old), with a gradient through the target.

    By hand, for KL(old || new) and old fixed, the gradient with respect to the new logits is softmax(new) - old.
    """
    old, logits = torch.tensor([[0.7, 0.2, 0.1]]), torch.tensor([[0.1, 0.3, 0.2]], requires_grad=True)
    new = logits.log_softmax(1)
    ours = torch.autograd.grad((old * (old.log() - new)).sum(), logits, retain_graph=True)[0]
    theirs_value = functional.kl_div(old.log(), logits.softmax(1), reduction="sum")
    theirs = torch.autograd.grad(theirs_value, logits)[0]
    assert torch.allclose(ours, logits.detach().softmax(1) - old, atol=1e-6)
    assert float((ours - theirs).abs().max()) > 0.05


def test_the_gradient_of_distill_is_that_closed_form(tiny: CausalModel) -> None:
    """The method itself, with every token kept: softmax(new) - softmax(old) at each learned token, whatever the teacher's graph was."""
    rows = tiny.encoder.rows(EXAMPLES[:2])
    batch, method = tiny.batch(rows), Distill(k=10_000)
    old = tiny.logits(batch).logits.softmax(1).detach()
    method.begin(tiny, rows)
    assert not any(kept.logs.requires_grad for kept in method.teacher.values())
    moved(tiny)
    out = tiny.logits(batch)
    found = torch.autograd.grad(method.loss(tiny, batch, out).sum(), out.logits)[0]
    assert torch.allclose(found, out.logits.detach().softmax(1) - old, atol=2e-5)


def test_a_teacher_keeps_its_likeliest_tokens_not_the_vocabulary(tiny: CausalModel) -> None:
    """TRACE keeps every logit of every token in float32: hundreds of gigabytes for a stream."""
    rows, method = tiny.encoder.rows(EXAMPLES), Distill(k=8)
    method.begin(tiny, rows)
    tokens = sum(len(row.learned) for row in rows)
    kept = sum(part.numel() * part.element_size() for teacher in method.teacher.values() for part in teacher)
    assert kept == tokens * (8 * 8 + 9 * 4)
    assert kept * 50 < tokens * len(tiny.tokenizer) * 4


def test_a_teacher_answers_without_dropout() -> None:
    """Avalanche's LwF teacher stays in train mode: its answers are noise, and other ones each time."""
    model = load_model("tiny", Lora(rank=4, dropout=0.5))
    moved(model, by=0.1)
    model.module.train()
    rows, method = model.encoder.rows(EXAMPLES[:4]), Distill(k=10_000)
    batch = model.batch(rows)
    with torch.no_grad():
        torch.manual_seed(0)
        noisy = model.logits(batch).logits.log_softmax(1)
        method.begin(model, rows)
        assert model.module.training
        model.module.eval()
        calm = model.logits(batch).logits.log_softmax(1)
        loss = method.loss(model, batch, model.logits(batch))
    assert float(loss.abs().max()) < 1e-4
    assert float((calm.exp() * (calm - noisy)).sum(1).max()) > 0.01


def taken_inside(load: Load, method: Method) -> tuple[dict[str, Tensor], State]:
    """The weights of an uninterrupted run, and a copy of its state after three of six steps."""
    model, learner, taken = load(), Gradient([method], SETTINGS), list[State]()
    learner.remember(model, EXAMPLES[:4])
    learner.learn(model, NEW, lambda step, state: taken.append(state()) if step.number == 3 else None)
    return model.state(), taken[0]


def resumed(load: Load, method: Method, state: State) -> dict[str, Tensor]:
    model, learner = load(), Gradient([method], SETTINGS)
    learner.load(state)
    learner.learn(model, NEW)
    return model.state()


@pytest.mark.parametrize("lost", ["optimizer", "ewc"])
def test_a_resumed_run_has_lost_nothing(load_tiny: Load, lost: str) -> None:
    """A resumed run of Mammoth starts with a fresh optimizer and without its EWC state; either one ends at other weights."""
    whole, state = taken_inside(load_tiny, EWC(strength=10.0))
    assert gap(whole, resumed(load_tiny, EWC(strength=10.0), state)) == 0
    inside, methods = state["inside"], state["methods"]
    assert isinstance(inside, dict)
    assert isinstance(methods, dict)
    without = state | ({"inside": inside | {"optimizer": {}}} if lost == "optimizer" else {"methods": methods | {"0": EWC().state()}})
    assert gap(whole, resumed(load_tiny, EWC(strength=10.0), without)) > 1e-4


def test_a_resumed_reservoir_goes_on_counting() -> None:
    """Mammoth's resumed reservoir counts from 0 again: what comes later pushes out what came before, as if it had been all there was."""

    def late(forget: bool, seed: int) -> int:
        method, again = Replay(rows=10), Replay(rows=10)
        rows = [Example(text=f"row {n}") for n in range(200)]
        method.buffer.offer(rows[:150], Random(f"{seed}a"))
        state = method.state()
        buffer = state["buffer"]
        assert isinstance(buffer, dict)
        again.load(state | {"buffer": buffer | ({"seen": 10} if forget else {})})
        again.buffer.offer(rows[150:], Random(f"{seed}b"))
        return sum(example in rows[150:] for example in again.buffer.examples())

    share = {forget: sum(late(forget, seed) for seed in range(100)) / 1000 for forget in (False, True)}
    assert share[False] == pytest.approx(50 / 200, abs=0.05)
    assert share[True] == pytest.approx(50 / 60, abs=0.05)


def test_forward_transfer_compares_with_the_model_before_the_stream() -> None:
    """Mammoth takes both numbers from the model just before the task: whatever it already knew, the difference is 0."""
    matrix = Matrix(("a", "b", "c"), ("1", "2", "3"), ((0.1, 0.1, 0.1), (0.9, 0.5, 0.2), (0.8, 0.9, 0.7), (0.7, 0.8, 0.9)), (1, 2, 3), ("exact",) * 3)
    just_before = [matrix.rows[at - 1][j] or 0.0 for j, at in enumerate(matrix.learned) if at >= 2]
    assert sum(value - value for value in just_before) == 0
    assert matrix.metrics()["forward_transfer"] == pytest.approx(((0.5 - 0.1) + (0.7 - 0.1)) / 2)


def test_no_constant_is_taken_off_a_transfer() -> None:
    """SAPT's score takes 50.94 points off the mean just after learning and calls that forward transfer, whatever the tasks and the model."""
    matrix = Matrix(("a", "b"), ("1", "2"), ((0.3, 0.3), (0.9, 0.3), (0.9, 0.9)), (1, 2), ("exact",) * 2)
    after = torch.tensor([[0.9, 0.3], [0.9, 0.9]]).numpy()
    assert matrix.metrics()["forward_transfer"] == 0
    assert formulas.learned_less_constant(after) == pytest.approx(0.9 - 0.5094)


def test_the_loss_of_an_anchor_is_of_the_next_token(shared_tiny: CausalModel) -> None:
    """PEFT's own forgetting number once compared each token with the answer at its own place, not at the place before it."""
    texts = [Example(text="The river rises in the hills and runs to the sea.")]
    (row,) = read_anchor(shared_tiny, texts).rows
    tokens = torch.tensor([row.tokens])
    with torch.no_grad():
        logits = shared_tiny.module(input_ids=tokens).logits[0]
    at = torch.tensor(row.learned)
    shifted, unshifted = (float(functional.cross_entropy(logits[places], tokens[0, at])) for places in (at - 1, at))
    stated = Anchor.of(shared_tiny, texts).start.perplexity
    assert torch.tensor(stated).log().item() == pytest.approx(shifted, abs=1e-3)
    assert abs(unshifted - shifted) > 1


def test_the_start_is_the_model_before_adapters_have_moved_it(shared_tiny: CausalModel) -> None:
    """PEFT's own forgetting number once took its baseline with the adapter in: what the adapter had changed by then was never counted."""
    anchor, adapted = Anchor.of(shared_tiny, EXAMPLES), load_model("tiny", Lora(rank=4))
    assert anchor.divergence(adapted).kl < 1e-6
    moved(adapted, by=0.1)
    assert anchor.divergence(adapted).kl > 0.01
    assert Anchor.of(adapted, EXAMPLES).divergence(adapted).kl < 1e-6
