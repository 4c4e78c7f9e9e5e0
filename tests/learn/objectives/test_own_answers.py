"""Rejection sampling and self-distillation: what is learned of the model's own answers."""

from __future__ import annotations

from random import Random

import pytest
import torch
from trl.experimental.sdft.loss_utils import compute_full_logit_self_distillation_loss

from everlearn import CausalModel, DataError, Example, Experience, Gradient, Rejection, SelfDistill, SettingError, Settings, Step
from everlearn.learn.objectives.self_distill import forward_kl, shown_to_teacher
from everlearn.methods.distill import top_with_tail

SUMS = tuple(Example(prompt=f"Question: What is {n} plus 6?\nAnswer:", completion=f" {n + 6}") for n in range(4, 10))
WRONG = tuple(Example(prompt=e.prompt, completion=" never") for e in SUMS)


def step_of(model: CausalModel, examples: tuple[Example, ...]) -> Step:
    return Step(1, 1, 1e-3, model.encoder.rows(examples), lambda _: {})


def test_only_right_answers_are_kept_and_else_the_given_one(shared_tiny: CausalModel) -> None:
    right, wrong = step_of(shared_tiny, SUMS), step_of(shared_tiny, WRONG)
    kept = Rejection(tries=4).rows(shared_tiny, right.rows, right, Random(0))
    assert {row.example.question: row.example.completion for row in kept} == {e.question: e.completion for e in SUMS}
    gold = Rejection(tries=2).rows(shared_tiny, wrong.rows, wrong, Random(0))
    assert [row.example.completion for row in gold] == [" never"] * len(WRONG)
    assert Rejection(tries=2, fallback="skip").rows(shared_tiny, wrong.rows, wrong, Random(0)) == []


def test_rejection_learns_what_is_new(tiny: CausalModel) -> None:
    Gradient([], Settings(rate=1e-3, passes=4, batch=6), Rejection(tries=2)).learn(tiny, Experience("1", WRONG))
    assert tiny.generate(WRONG, 4) == [" never"] * len(WRONG)


def test_the_kl_is_the_teacher_first_and_equals_that_of_trl() -> None:
    draw = torch.Generator().manual_seed(0)
    teacher, logits = (torch.randn(7, 12, generator=draw, dtype=torch.float32) for _ in range(2))
    ours, theirs = (logits.clone().requires_grad_() for _ in range(2))
    logs, ids = top_with_tail(teacher, 11, 1.0)  # 11 tokens and the rest, which is the twelfth
    found = forward_kl(ours, ids, logs)
    wanted = compute_full_logit_self_distillation_loss(theirs, teacher, distillation_alpha=0.0)
    assert torch.allclose(found, wanted, atol=1e-5)
    assert torch.allclose(*(torch.autograd.grad(value.sum(), at)[0] for value, at in ((found, ours), (wanted, theirs))), atol=1e-5)
    p, q = torch.tensor([[0.8, 0.15, 0.05]]), torch.tensor([[0.3, 0.6, 0.1]])
    by_hand = float((p * (p / q).log()).sum())
    logs, ids = top_with_tail(p.log(), 2, 1.0)
    assert float(forward_kl(q.log(), ids, logs)) == pytest.approx(by_hand, abs=1e-5)


def test_the_teacher_is_shown_the_answer_and_teaches_it(tiny: CausalModel) -> None:
    """A model that copies what it is shown would teach it: the loss falls toward the teacher's distribution."""
    objective, step = SelfDistill(k=16), step_of(tiny, SUMS)
    objective.prepare(tiny)

    def loss() -> float:
        rows = objective.rows(tiny, step.rows, step, Random(0))
        batch = tiny.batch(list(rows))
        with torch.no_grad():
            return float(objective.loss(tiny, batch, tiny.logits(batch)).mean())

    before = loss()
    Gradient([], Settings(rate=3e-4, passes=4, batch=6), SelfDistill(k=16)).learn(tiny, Experience("1", SUMS))
    assert loss() < before


def test_how_the_teacher_is_asked() -> None:
    assert shown_to_teacher(SUMS[0], "{prompt}{completion}; {prompt}").prompt == f"{SUMS[0].prompt} 10; {SUMS[0].prompt}"
    turns = ({"role": "user", "content": "a"}, {"role": "assistant", "content": "b"})
    assert shown_to_teacher(Example(messages=turns), "").messages == (*turns, *turns)


def test_first_tokens_can_be_left_out(shared_tiny: CausalModel) -> None:
    step, whole, skipped = step_of(shared_tiny, SUMS), SelfDistill(), SelfDistill(skip=1)
    for objective in (whole, skipped):
        objective.prepare(shared_tiny)
    every = whole.rows(shared_tiny, step.rows, step, Random(0))
    fewer = skipped.rows(shared_tiny, step.rows, step, Random(0))
    assert [row.learned[1:] for row in every if row.learned[1:]] == [row.learned for row in fewer]
    batch = shared_tiny.batch(list(fewer))
    assert len(skipped.loss(shared_tiny, batch, shared_tiny.logits(batch))) == len(batch.targets)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Rejection(tries=0), "rejection tries must be at least 1, got 0"),
        (lambda: Rejection(keep=0), "rejection keep must be at least 1, got 0"),
        (lambda: Rejection(fallback="none"), "rejection fallback must be 'gold' or 'skip', got 'none'"),
        (lambda: SelfDistill(k=0), "self_distill k must be at least 1, got 0"),
        (lambda: SelfDistill(skip=-1), "self_distill skip must be at least 0, got -1"),
        (lambda: SelfDistill(teacher="ema"), "self_distill teacher must be 'start' or 'experience', got 'ema'"),
        (lambda: SelfDistill(shown="{prompt}"), "must hold {prompt} and {completion}, got '{prompt}'"),
    ],
)
def test_bad_settings(make: object, words: str) -> None:
    with pytest.raises(SettingError, match=words):
        make()  # type: ignore[operator]


def test_plain_text_asks_nothing(tiny: CausalModel) -> None:
    with pytest.raises(DataError, match="plain text asks nothing .*id='t'"):
        Gradient([], objective=Rejection()).learn(tiny, Experience("1", (Example(text="a b", id="t"),)))
    objective, step = SelfDistill(shown="{prompt}" * 200 + "{completion}"), step_of(tiny, SUMS[:1])
    objective.prepare(tiny)
    with pytest.raises(DataError, match="does not fit the model"):
        objective.rows(tiny, step.rows, step, Random(0))
