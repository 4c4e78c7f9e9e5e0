"""O-LoRA: its penalty against autograd, what is folded, and that one adapter of PEFT's says it all."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from peft import PeftModel

from everlearn import CausalModel, Example, Experience, Gradient, Lora, OLoRA, SettingError, Settings, StateError, load_model
from everlearn.methods.o_lora import overlap_gradient
from everlearn.models.adapters import pairs

SETTINGS = Settings(rate=3e-3, passes=4, batch=6)


def rows(number: int) -> tuple[Example, ...]:
    return tuple(Example(prompt=f"Question: What is {n} plus {number}?\nAnswer:", completion=f" {n + number}") for n in range(12))


def learned(model: CausalModel, method: OLoRA, experiences: int = 3) -> OLoRA:
    learner = Gradient([method], SETTINGS)
    learner.prepare(model)
    for number in range(experiences):
        learner.learn(model, Experience(f"e{number}", rows(number)))
    return method


def said(model: CausalModel) -> torch.Tensor:
    with torch.no_grad():
        return model.logits(model.batch(model.encoder.rows(rows(9)))).logits


def test_the_penaltys_gradient_is_autograds() -> None:
    random = torch.Generator().manual_seed(0)
    a = torch.randn(3, 2, 7, generator=random, dtype=torch.float64, requires_grad=True)
    past = torch.nn.functional.normalize(torch.randn(3, 5, 7, generator=random, dtype=torch.float64), dim=2)
    (past @ torch.nn.functional.normalize(a, dim=2).transpose(1, 2)).abs().sum().backward()
    assert torch.allclose(overlap_gradient(a.detach(), past), a.grad, atol=1e-12)


def test_a_case_worked_by_hand() -> None:
    """a = (3, 4): unit (0.6, 0.8); the past (1, 0) gives sign +, toward (1, 0); less its part along the unit, 0.6: (0.64, -0.48), by the length 5."""
    found = overlap_gradient(torch.tensor([[[3.0, 4.0]]]), torch.tensor([[[1.0, 0.0]]]))
    assert torch.allclose(found, torch.tensor([[[0.128, -0.096]]]))


def test_a_row_of_zeros_is_left_alone() -> None:
    assert torch.equal(overlap_gradient(torch.zeros(1, 1, 2), torch.tensor([[[1.0, 0.0]]])), torch.zeros(1, 1, 2))


def overlap(model: CausalModel, method: OLoRA) -> float:
    unit = torch.nn.functional.normalize
    found = pairs(model)
    return sum(float((unit(method.folded.rows(place), dim=1) @ unit(pair.a.detach(), dim=1).T).abs().mean()) for place, pair in found.items()) / len(found)


def test_with_the_penalty_new_rows_overlap_less_with_the_past() -> None:
    without, weak = load_model("tiny"), load_model("tiny")
    free = overlap(without, learned(without, OLoRA(rank=4, strength=0)))
    held = overlap(weak, learned(weak, OLoRA(rank=4, strength=0.5)))
    assert held < 0.5 * free


def test_each_later_experience_begins_with_a_fresh_adapter_and_the_same_answers(tiny: CausalModel) -> None:
    method = learned(tiny, OLoRA(rank=2), 1)
    before, place = said(tiny), next(iter(pairs(tiny)))
    a = pairs(tiny)[place].a.detach().clone()
    method.begin(tiny, [])
    assert torch.allclose(said(tiny), before, atol=1e-4)
    assert torch.equal(method.folded.rows(place), a)
    assert not pairs(tiny)[place].b.any()
    assert not torch.equal(pairs(tiny)[place].a, a)
    assert float(pairs(tiny)[place].a.detach().std()) == pytest.approx(float(a.std()), rel=0.2)


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")
def test_past_and_present_are_one_adapter_of_peft(tiny: CausalModel, tmp_path: Path) -> None:
    method = learned(tiny, OLoRA(rank=2))
    method.write(tiny, tmp_path)
    again = load_model("tiny", lora=None)
    start = said(again)
    again.module = PeftModel.from_pretrained(again.module, str(tmp_path))
    assert again.module.peft_config["default"].r == 6
    assert torch.allclose(said(again), said(tiny), atol=1e-4)
    assert float((said(again) - start).abs().max()) > 1e-2


def test_a_model_with_adapters_keeps_its_own_also_in_float64() -> None:
    model = load_model("tiny", lora=Lora(rank=3))
    model.module.double()
    method = learned(model, OLoRA(rank=8), 2)
    assert {pair.a.shape[0] for pair in pairs(model).values()} == {3}
    assert next(iter(method.folded.past[0].values()))[0].dtype == torch.float64


def test_wrong_settings_and_states_are_refused(tiny: CausalModel) -> None:
    with pytest.raises(SettingError, match="o_lora rank must be at least 0, got -1"):
        OLoRA(rank=-1)
    with pytest.raises(SettingError, match="o_lora strength must be at least 0, got -1"):
        OLoRA(strength=-1)
    with pytest.raises(StateError, match=r"how many experiences it has learned \(keys=\['seen'\]\)"):
        OLoRA().load({"seen": 1})
    with pytest.raises(StateError, match=r"no past adapters \(past='int'\)"):
        OLoRA().load({"learned": 1, "past": 1})
    method = learned(tiny, OLoRA(rank=2), 2)
    with pytest.raises(StateError, match=r"holds one already \(folded=1\)"):
        method.load(method.state())
    with pytest.raises(StateError, match=r"of other layers \(differing=\['base_model"):
        OLoRA().load(method.state())
