"""DPO: equal to TRL's, pairs together, the reference the model before the experience."""

from __future__ import annotations

from random import Random
from types import SimpleNamespace

import pytest
import torch
from trl import DPOTrainer

from everlearn import CausalModel, DataError, Example, Experience, Gradient, Preference, Replay, SettingError, Settings, Step
from everlearn.learn.objectives.likelihood import logs_of
from everlearn.learn.objectives.preference import preference_loss
from everlearn.models.batch import by_length

PAIRS = tuple(Example(prompt=f"Question: What is {n} plus 2?\nAnswer:", chosen=f" {n + 2}", rejected=f" {n + 30} or so") for n in range(6))


def margin(model: CausalModel) -> float:
    scores = model.score([Example(prompt=e.prompt, completion="") for e in PAIRS], [[str(e.chosen), str(e.rejected)] for e in PAIRS])
    return sum(good - bad for good, bad in scores)


def trl_loss(logs: torch.Tensor, mask: torch.Tensor, reference: torch.Tensor, beta: float) -> torch.Tensor:
    """TRL's own loss on token log-probabilities (2 P, T), the chosen answers first."""
    args = SimpleNamespace(use_weighting=False)
    plain = {"loss_types": ["sigmoid"], "loss_weights": [1.0], "f_divergence_type": "reverse_kl", "beta": beta, "ld_alpha": None, "args": args}
    accelerator = SimpleNamespace(device=torch.device("cpu"), gather_for_metrics=lambda value: value, gather=lambda value: value)
    fake = SimpleNamespace(
        **plain, precompute_ref_logps=True, model=SimpleNamespace(training=False), accelerator=accelerator, aux_loss_enabled=False, use_weighting=False,
        label_smoothing=0.0, _total_train_tokens=0, _metrics=_Any(),
    )  # fmt: skip
    whole = torch.cat([torch.zeros(len(mask), 1, dtype=mask.dtype), mask], 1)
    inputs = {"completion_mask": whole, "input_ids": whole, "ref_chosen_logps": reference[: len(mask) // 2], "ref_rejected_logps": reference[len(mask) // 2 :]}
    told = SimpleNamespace(log_probs=logs * mask, entropy=torch.zeros_like(logs), is_top1=mask.bool(), mean_logits=logs)
    return DPOTrainer._compute_loss(fake, lambda **_: told, inputs, False)


class _Any(dict):  # type: ignore[type-arg]
    """Metrics of every name, wherever TRL writes them."""

    def __missing__(self, key: str) -> list[float] | _Any:
        self[key] = _Any() if key in ("train", "eval") else []
        return self[key]


def test_loss_and_gradient_are_those_of_trl() -> None:
    draw = torch.Generator().manual_seed(0)
    logs = -torch.rand(6, 5, generator=draw, dtype=torch.double)
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [1, 1, 1, 0, 0]] * 2)
    reference = -3 * torch.rand(6, generator=draw, dtype=torch.double)
    theirs, ours = (logs.clone().requires_grad_() for _ in range(2))
    wanted = trl_loss(theirs, mask, reference, 0.3)
    sums = (ours * mask).sum(1) - reference
    found = preference_loss(sums[:3] - sums[3:], 0.3).mean()
    assert torch.allclose(found, wanted)
    assert torch.allclose(*(torch.autograd.grad(value, at)[0] for value, at in ((found, ours), (wanted, theirs))))


def test_a_case_by_hand() -> None:
    assert float(preference_loss(torch.tensor(0.0), 0.1)) == pytest.approx(0.693147, abs=1e-6)
    assert float(preference_loss(torch.tensor(2.0), 0.5, smooth=0.25)) == pytest.approx(0.75 * 0.313262 + 0.25 * 1.313262, abs=1e-5)


def test_the_chosen_answer_gains_and_the_reference_is_the_model_before(tiny: CausalModel) -> None:
    objective, before = Preference(beta=0.5), margin(tiny)
    rows = tiny.encoder.rows(PAIRS)
    objective.begin(tiny, rows)
    both = objective.rows(tiny, rows, Step(1, 1, 1e-3, rows, lambda _: {}), Random(0))
    batch = tiny.batch(list(both))
    assert torch.allclose(objective.loss(tiny, batch, tiny.logits(batch)), torch.full((6,), 0.693147, dtype=torch.double), atol=1e-4)
    assert objective.reference[PAIRS[0].id][1] == pytest.approx(float(logs_of(tiny, both)[1].sum()), abs=1e-4)
    Gradient([], Settings(rate=1e-4, passes=3, batch=3), Preference(beta=0.5)).learn(tiny, Experience("1", PAIRS))
    assert margin(tiny) > before + 1


def test_pairs_are_cut_as_the_longer_answers_are(tiny: CausalModel) -> None:
    objective, rows = Preference(), tiny.encoder.rows(PAIRS)
    both = objective.rows(tiny, rows, Step(1, 1, 1e-3, rows, lambda _: {}), Random(0))
    longer = [max(two, key=lambda row: len(row.tokens)) for two in zip(both[::2], both[1::2], strict=True)]
    for padding in (0, 1, 512):
        assert [len(part) for part in objective.cut(both, 4096, padding)] == [2 * len(part) for part in by_length(longer, 2048, padding)]
    assert objective.cut(both, 4096) == objective.cut(both, 4096, tiny.tokens_a_pass())


def test_a_pair_is_never_parted(tiny: CausalModel) -> None:
    objective, rows = Preference(), tiny.encoder.rows(PAIRS)
    both = objective.rows(tiny, rows, Step(1, 1, 1e-3, rows, lambda _: {}), Random(0))
    parts = objective.cut(both, 64)
    assert len(parts) > 1
    for part in parts:
        assert [row.example.id for row in part[::2]] == [row.example.id for row in part[::2] if row.example.chosen is not None]
        assert [row.example.completion for row in part[1::2]] == [row.example.rejected for row in part[::2]]
    assert sorted(row.id for part in parts for row in part) == sorted(row.id for row in both)


def test_it_goes_with_replay_of_pairs(tiny: CausalModel) -> None:
    learner = Gradient([Replay(share=1.0)], Settings(rate=1e-4, passes=1, batch=3), Preference())
    learner.learn(tiny, Experience("1", PAIRS[:3]))
    assert learner.learn(tiny, Experience("2", PAIRS[3:])).rehearsed


def test_what_is_no_preference_is_refused(tiny: CausalModel) -> None:
    with pytest.raises(DataError, match="preferences alone \\(id='x'\\)"):
        Gradient([], objective=Preference()).learn(tiny, Experience("1", (Example(prompt="a", completion="b", id="x"),)))
    with pytest.raises(SettingError, match="dpo beta must be at least 1e-06, got 0"):
        Preference(beta=0)
    with pytest.raises(SettingError, match="dpo smooth must be between 0 and 0.499, got 0.5"):
        Preference(smooth=0.5)


def test_a_pair_drawn_from_memory_has_the_model_of_its_first_drawing_as_reference(tiny: CausalModel) -> None:
    objective, rows = Preference(), tiny.encoder.rows(PAIRS)
    objective.begin(tiny, rows[:3])
    objective.rows(tiny, rows, Step(1, 1, 1e-3, rows, lambda _: {}), Random(0))
    assert set(objective.reference) == {e.id for e in PAIRS}
    again = Preference()
    again.load(objective.state())
    assert again.reference == objective.reference
