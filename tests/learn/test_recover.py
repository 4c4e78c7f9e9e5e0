"""Recover: the loss is TRL's, the teacher the model before, and what was lost comes back without losing the new."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from trl.experimental.sdft.loss_utils import compute_sampled_token_self_distillation_loss

from everlearn import (
    Anchor,
    CausalModel,
    DataError,
    Example,
    Experience,
    Gradient,
    OLoRA,
    PackNet,
    Recover,
    SelfDistill,
    SettingError,
    Settings,
    StateError,
    load_model,
)
from everlearn.learn.objectives.on_policy import on_policy_loss
from everlearn.learn.routed_adapters import RoutedAdapters

NEW = tuple(Example(prompt=f"Question: Who is the mayor of town {n}?\nAnswer:", completion=f" Name {n % 7}") for n in range(32))
KNOWN = tuple(Example(prompt=f"Question: What is {n} plus 5?\nAnswer:", completion=f" {n + 5}") for n in range(2, 12))
FAST = Settings(rate=1e-3, passes=4, batch=8)


def test_loss_and_gradient_are_those_of_trl_and_point_to_the_teacher() -> None:
    draw = torch.Generator().manual_seed(0)
    logits, teacher = (torch.randn(1, 6, 9, generator=draw) for _ in range(2))
    said = torch.randint(0, 9, (1, 6), generator=draw)
    ours, theirs = (logits.clone().requires_grad_() for _ in range(2))
    logs = ours.log_softmax(2).gather(2, said[..., None])[0, :, 0]
    found = on_policy_loss(logs, teacher.log_softmax(2).gather(2, said[..., None])[0, :, 0])
    wanted = compute_sampled_token_self_distillation_loss(theirs, teacher, said, distillation_alpha=1.0)[0]
    assert torch.allclose(found, wanted, atol=1e-6)
    assert torch.allclose(*(torch.autograd.grad(value.sum(), at)[0] for value, at in ((found, ours), (wanted, theirs))), atol=1e-6)
    student = torch.tensor([0.2, 0.7, 0.1], dtype=torch.double).log().requires_grad_()
    told = torch.tensor([0.5, 0.3, 0.2], dtype=torch.double).log()
    p = student.softmax(0)
    mean = sum(p[at].detach() * torch.autograd.grad(on_policy_loss(student.log_softmax(0)[at], told[at]), student, retain_graph=True)[0] for at in range(3))
    wanted_gradient = torch.autograd.grad((p * (p.log() - told)).sum(), student)[0]
    assert torch.allclose(mean, wanted_gradient)  # type: ignore[arg-type]


def test_what_was_lost_comes_back(tmp_path: Path) -> None:
    place = tmp_path / "general.jsonl"
    place.write_text("\n".join(json.dumps({"prompt": e.prompt, "completion": e.completion}) for e in KNOWN))
    start = load_model("tiny")
    anchor, kept = Anchor.of(start, KNOWN), {}
    for name, learner in (("plain", Gradient([], FAST)), ("recovered", Recover(steps=30, prompts=str(place), rate=3e-4).around(Gradient([], FAST)))):
        model = load_model("tiny")
        learner.prepare(model)
        log = learner.learn(model, Experience("1", NEW))
        kept[name] = anchor.divergence(model).kl
    assert log.steps == FAST.steps(len(NEW)) + 30
    assert kept["recovered"] < 0.5 * kept["plain"]


def test_questions_are_kept_without_answers(tiny: CausalModel) -> None:
    learner = Recover(steps=1, batch=2, prompts="memory", rows=5, limit=4).around(Gradient([], FAST))
    learner.prepare(tiny)
    learner.remember(tiny, KNOWN)
    learner.learn(tiny, Experience("1", NEW[:8]))
    held = learner.questions.examples()
    assert len(held) == 5
    assert {e.completion for e in held} == {""}
    assert json.dumps(learner.state()["questions"])


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"steps": 0}, "recover steps must be at least 1, got 0"),
        ({"batch": 0}, "recover batch must be at least 1, got 0"),
        ({"limit": 0}, "recover limit must be at least 1, got 0"),
        ({"rows": 0}, "recover rows must be at least 1, got 0"),
        ({"rate": -1.0}, "recover rate must be at least 0, got -1.0"),
        ({"temperature": 0.0}, "sampling temperature must be between 0.01 and 100, got 0.0"),
    ],
)
def test_bad_settings(settings: dict[str, float], words: str) -> None:
    with pytest.raises(SettingError, match=words):
        Recover(**settings)


def test_it_goes_around_the_loop_alone() -> None:
    with pytest.raises(SettingError, match="around the loop alone, got 'RoutedAdapters'"):
        Recover().around(RoutedAdapters().around(Gradient()))
    with pytest.raises(StateError, match="no recover's .keys=.'x'."):
        Recover().around(Gradient()).load({"x": 1})


def test_what_later_steps_would_break_is_not_joined(tiny: CausalModel, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="set theirs for good .methods=.'PackNet'"):
        Recover().around(Gradient([PackNet()]))
    with pytest.raises(SettingError, match="SelfDistill asks older weights again.*methods=.'OLoRA'"):
        Gradient([OLoRA()], objective=SelfDistill())
    place = tmp_path / "texts.jsonl"
    place.write_text(json.dumps({"text": "No question here."}))
    with pytest.raises(DataError, match="ask no question .recover prompts="):
        Recover(prompts=str(place)).around(Gradient()).prepare(tiny)
