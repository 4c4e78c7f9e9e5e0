"""GRPO: equal to TRL's loss, groups and rewards as said, better answers become likelier."""

from __future__ import annotations

from pathlib import Path
from random import Random
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor
from trl import GRPOTrainer

from everlearn import GRPO, CausalModel, Example, Experience, Gradient, Replay, SettingError, Settings, Step
from everlearn.learn.objectives.grpo import advantages, policy_loss, reverse_kl
from everlearn.models.sampling import Sampling

SUMS = tuple(Example(prompt=f"Question: What is {n} plus 6?\nAnswer:", completion=f" {n + 6}") for n in range(4, 16))


def trl_loss(logs: Tensor, old: Tensor, reference: Tensor, mask: Tensor, advantage: Tensor, beta: float) -> Tensor:
    """TRL's own loss, the mean over all tokens ("bnpo"), on log-probabilities (B, T)."""
    args = SimpleNamespace(delta=None, use_bias_correction_kl=False)
    alone = SimpleNamespace(gather=lambda value: value, reduce=lambda value, reduction: value)
    fake = SimpleNamespace(
        _get_per_token_logps_and_entropies=lambda *_, **__: (logs, torch.zeros_like(logs), None), aux_loss_enabled=False, top_entropy_quantile=1.0,
        off_policy_mask_threshold=None, importance_sampling_level="token", beta=beta, args=args, loss_type="bnpo", epsilon_low=0.2, epsilon_high=0.2,
        use_vllm=False, model=SimpleNamespace(training=True), current_gradient_accumulation_steps=1, _entropy_bonus_enabled=False,
        _metrics={"train": Names()}, accelerator=alone, use_adaptive_entropy=False, entropy_coef=0.0,
        _log_metric=lambda *_: None,
    )  # fmt: skip
    ids = torch.zeros_like(mask)
    inputs = {"prompt_ids": ids, "prompt_mask": ids, "completion_ids": ids, "completion_mask": mask, "advantages": advantage}
    return GRPOTrainer._compute_loss(fake, None, inputs | {"old_per_token_logps": old, "ref_per_token_logps": reference})


class Names(dict):  # type: ignore[type-arg]
    def __missing__(self, key: str) -> list[float]:
        self[key] = []
        return self[key]


def test_loss_and_gradient_are_those_of_trl() -> None:
    draw = torch.Generator().manual_seed(0)
    logs, old, reference = (-torch.rand(4, 5, generator=draw, dtype=torch.double) for _ in range(3))
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [1, 1, 1, 0, 0], [1, 0, 0, 0, 0]])
    worth = torch.tensor(advantages([1.0, 0.0, 0.0, 2.0]), dtype=torch.double)
    theirs, ours = (logs.clone().requires_grad_() for _ in range(2))
    wanted = trl_loss(theirs, old, reference, mask, worth, 0.04)
    told = mask.bool()
    values = policy_loss(ours[told], old[told], worth[:, None].expand(4, 5)[told], 0.2) + 0.04 * reverse_kl(ours[told], reference[told])
    found = values.sum() / mask.sum()
    assert torch.allclose(found, wanted)
    assert torch.allclose(*(torch.autograd.grad(value, at)[0] for value, at in ((found, ours), (wanted, theirs))))


def test_the_advantage_by_hand_and_the_direction_of_the_kl() -> None:
    assert advantages([3.0, 1.0], scale=False) == [1.0, -1.0]
    assert advantages([3.0, 1.0])[0] == pytest.approx(1 / (2**0.5 + 1e-4))
    assert advantages([2.0, 2.0, 2.0]) == [0.0, 0.0, 0.0]
    p, q = torch.tensor([0.8, 0.2], dtype=torch.double), torch.tensor([0.3, 0.7], dtype=torch.double)
    mean = float((p * reverse_kl(p.log(), q.log())).sum())
    assert mean == pytest.approx(0.8 * float((p[0] / q[0]).log()) + 0.2 * float((p[1] / q[1]).log()))  # KL(p || p_ref), not the other way


def rows_of(model: CausalModel, objective: GRPO) -> list[object]:
    rows = model.encoder.rows(SUMS)
    return list(objective.rows(model, rows, Step(1, 1, 1e-3, rows, lambda _: {}), Random(0)))


def test_groups_without_a_difference_teach_nothing(shared_tiny: CausalModel) -> None:
    assert rows_of(shared_tiny, GRPO(group=4, temperature=0.01)) == []  # always the same answer
    assert 0 < len(rows_of(shared_tiny, GRPO(group=4, temperature=2.0))) <= 4 * len(SUMS)


def test_steps_without_any_row_do_nothing(tiny: CausalModel) -> None:
    before = tiny.state()
    Gradient([], Settings(rate=1e-3, passes=1, batch=4), GRPO(group=2, temperature=0.01)).learn(tiny, Experience("1", SUMS))
    assert all(torch.equal(value, before[name]) for name, value in tiny.state().items())


def test_right_answers_become_likelier(tiny: CausalModel) -> None:
    def right() -> float:
        drawn = tiny.rollouts([e for e in SUMS for _ in range(16)], 6, Sampling(3.0), Random(1))
        return sum(row.example.completion == e.completion for row, e in zip(drawn, (e for e in SUMS for _ in range(16)), strict=True)) / len(drawn)

    before = right()
    Gradient([], Settings(rate=3e-4, passes=6, batch=6), GRPO(group=8, temperature=3.0)).learn(tiny, Experience("1", SUMS))
    assert right() > before + 0.05


def test_rows_from_memory_have_a_reward_of_their_own(tiny: CausalModel, tmp_path: Path) -> None:
    place = tmp_path / "mine.py"
    place.write_text("seen = []\ndef old(example, answer):\n    return float(len(answer))\n")
    learner = Gradient([Replay(share=1.0)], Settings(rate=1e-4, passes=1, batch=4), GRPO(group=2, temperature=2.0, replayed=f"{place}:old"))
    learner.learn(tiny, Experience("1", SUMS[:6]))
    assert learner.learn(tiny, Experience("2", SUMS[6:])).rehearsed


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"group": 1}, "grpo group must be at least 2, got 1"),
        ({"clip": 0.0}, "grpo clip must be between 1e-06 and 1, got 0.0"),
        ({"beta": -1.0}, "grpo beta must be at least 0, got -1.0"),
        ({"reuse": 0}, "grpo reuse must be at least 1, got 0"),
        ({"limit": -1}, "grpo limit must be at least 0, got -1"),
        ({"reward": "exakt"}, "no reward 'exakt'. Did you mean 'exact'"),
        ({"reward": "nowhere.py:judge"}, "reward could not be loaded .reward='nowhere.py:judge'"),
        ({"reward": "math:pi"}, "reward is no function .reward='math:pi'"),
    ],
)
def test_bad_settings(settings: dict[str, object], words: str) -> None:
    with pytest.raises(SettingError, match=words):
        GRPO(**settings)


def test_a_reward_that_is_no_number_is_refused(tmp_path: Path) -> None:
    place = tmp_path / "mine.py"
    place.write_text("def judge(example, answer):\n    return None\n")
    with pytest.raises(SettingError, match="must be a finite number, got None"):
        GRPO(reward=f"{place}:judge").reward(SUMS[0], " 1")


def test_an_answer_drawn_is_no_given_row(shared_tiny: CausalModel) -> None:
    """What methods keep by a row's id is not for the same text drawn in other tokens, or without its end."""
    drawn = rows_of(shared_tiny, GRPO(group=4, temperature=2.0))
    assert not {row.id for row in drawn} & {e.id for e in SUMS}  # type: ignore[attr-defined]
    assert any(row.example.content == e.content for row in drawn for e in SUMS)  # type: ignore[attr-defined]
