"""SLAO: where each experience starts, and what answers after it."""

from __future__ import annotations

import pytest
import torch

from everlearn import SLAO, CausalModel, Example, Experience, Gradient, Lora, Method, Row, SettingError, Settings, StateError, Step, load_model
from everlearn.methods.slao import orthonormal
from everlearn.models.adapters import pairs

SETTINGS = Settings(rate=3e-3, passes=2, batch=6)


class Watch(Method):
    """A and B of one layer before the first step and after the last, before they are merged."""

    stage = "mask"

    def __init__(self) -> None:
        self.began: list[tuple[torch.Tensor, torch.Tensor]] = []
        self.learned: list[tuple[torch.Tensor, torch.Tensor]] = []

    def gradients(self, model: CausalModel, step: Step) -> None:
        if step.number == 1:
            self.began.append(pair(model))

    def stepped(self, model: CausalModel, step: Step) -> None:
        if step.number == step.total:
            self.learned.append(pair(model))


def pair(model: CausalModel) -> tuple[torch.Tensor, torch.Tensor]:
    found = next(iter(pairs(model).values()))
    return found.a.detach().clone(), found.b.detach().clone()


def rows(number: int) -> tuple[Example, ...]:
    return tuple(Example(prompt=f"Question: What is {n} plus {number}?\nAnswer:", completion=f" {n + number}") for n in range(12))


@pytest.mark.parametrize("power", [0.5, 1.0, 0.0])
def test_b_is_the_time_aware_mean_and_a_the_newest(tiny: CausalModel, power: float) -> None:
    watch = Watch()
    learner = Gradient([SLAO(rank=2, power=power), watch], SETTINGS)
    learner.prepare(tiny)
    merged = torch.zeros(())
    for number in range(3):
        learner.learn(tiny, Experience(f"e{number}", rows(number)))
        a, b = watch.learned[-1]
        merged = merged + (b - merged) / (number + 1) ** power
        assert torch.equal(pair(tiny)[0], a)
        assert torch.allclose(pair(tiny)[1], merged, atol=1e-7)
    for last, (a, b) in zip(watch.learned, watch.began[1:], strict=False):
        assert torch.equal(b, last[1]), "the next experience learns on from the last learned B, not from the merged"
        assert torch.equal(a, orthonormal(last[0]))


def test_the_start_is_orthonormal_spans_the_same_and_keeps_the_side() -> None:
    a = torch.randn(3, 8, generator=torch.Generator().manual_seed(0))
    q = orthonormal(a)
    assert torch.allclose(q @ q.T, torch.eye(3), atol=1e-6)
    assert torch.allclose(a @ q.T @ q, a, atol=1e-5)
    assert float((a @ q.T).diagonal().min()) > 0
    assert orthonormal(a.double()).dtype == torch.float64
    assert orthonormal(a.bfloat16()).dtype == torch.bfloat16


def test_memory_stays_the_same_however_many_experiences(tiny: CausalModel) -> None:
    method = SLAO(rank=2)
    learner = Gradient([method], SETTINGS)
    learner.prepare(tiny)
    sizes, frozen = [], {name: value.clone() for name, value in tiny.module.state_dict().items() if "lora" not in name}
    for number in range(3):
        learner.learn(tiny, Experience(f"e{number}", rows(number)))
        sizes.append(sum(value.numel() for value in method.last.values()))
    assert sizes[0] == sizes[2] == sum(found.b.numel() for found in pairs(tiny).values())
    assert all(torch.equal(tiny.module.state_dict()[name], value) for name, value in frozen.items())


def test_a_model_with_adapters_keeps_its_own_and_a_past_shown_changes_nothing() -> None:
    model = load_model("tiny", lora=Lora(rank=3))
    learner, before = Gradient([SLAO(rank=8)], SETTINGS), pair(model)
    learner.prepare(model)
    learner.remember(model, rows(0))
    assert all(torch.equal(one, two) for one, two in zip(pair(model), before, strict=True))
    assert before[0].shape[0] == 3


def test_teachers_still_see_the_merged_model(tiny: CausalModel) -> None:
    class Teacher(Method):
        def begin(self, model: CausalModel, rows: list[Row]) -> None:
            self.seen = pair(model)

    teacher = Teacher()
    learner = Gradient([SLAO(rank=2), teacher], SETTINGS)
    learner.prepare(tiny)
    for number in range(2):
        before = pair(tiny)
        learner.learn(tiny, Experience(f"e{number}", rows(number)))
        assert all(torch.equal(one, two) for one, two in zip(teacher.seen, before, strict=True))


def test_wrong_settings_and_states_are_refused() -> None:
    with pytest.raises(SettingError, match="slao rank must be at least 0, got -1"):
        SLAO(rank=-1)
    with pytest.raises(SettingError, match="slao power must be between 0 and 1, got 2"):
        SLAO(power=2)
    with pytest.raises(StateError, match=r"how many experiences it has learned \(keys=\['seen'\]\)"):
        SLAO().load({"seen": 1})
