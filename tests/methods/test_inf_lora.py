"""InfLoRA: what A may read, how the past's space grows, and that what was learned later says nothing there."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from peft import PeftModel
from transformers import T5Config, T5ForConditionalGeneration

from everlearn import CausalModel, Example, Experience, Gradient, InfLoRA, Lora, Seq2SeqModel, SettingError, Settings, StateError, load_model
from everlearn.methods.inf_lora import LENGTH, directions, grown, outside
from everlearn.models.adapters import pairs

SETTINGS = Settings(rate=3e-3, passes=2, batch=6)


def rows(number: int) -> tuple[Example, ...]:
    return tuple(Example(prompt=f"Question: What is {n} plus {number}?\nAnswer:", completion=f" {n + number}") for n in range(12))


def learned(model: CausalModel, method: InfLoRA, experiences: int = 2) -> InfLoRA:
    learner = Gradient([method], SETTINGS)
    learner.prepare(model)
    for number in range(experiences):
        learner.learn(model, Experience(f"e{number}", rows(number)))
    return method


def said(model: CausalModel) -> torch.Tensor:
    with torch.no_grad():
        return model.logits(model.batch(model.encoder.rows(rows(9)))).logits


def test_the_directions_are_those_of_the_features_outside_the_past() -> None:
    """The past used x; the features are mostly x, then z, then y: A reads z, then y, never x."""
    used, features = torch.tensor([[1.0], [0.0], [0.0]]), torch.tensor([[9.0, 0.0, 2.0], [8.0, 1.0, 0.0], [7.0, 0.0, -2.0]])
    found = directions(outside(features, used), 3)
    assert torch.allclose(found.abs(), LENGTH * torch.tensor([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.0]]), atol=1e-6)


def test_the_past_grows_by_the_fewest_directions_that_hold_the_energy() -> None:
    """Squares 16, 4, 1 of 21: 0.75 needs one direction, 0.9 two; with the first known, 0.9 needs one more and 0.75 none."""
    features = torch.diag(torch.tensor([4.0, 2.0, 1.0]))
    one = grown(None, features, 0.75)
    assert torch.allclose(one.abs(), torch.tensor([[1.0], [0.0], [0.0]]))
    assert grown(None, features, 0.9).shape == (3, 2)
    assert grown(one, features, 0.75).shape == (3, 1)
    two = grown(one, features, 0.9)
    assert torch.allclose(two.abs(), torch.eye(3)[:, :2], atol=1e-6)
    assert grown(two, features, 1.0).shape == (3, 3)
    assert grown(grown(two, features, 1.0), torch.randn(5, 3), 1.0).shape == (3, 3)


def test_what_is_learned_later_adds_nothing_to_what_lies_in_the_past(tiny: CausalModel) -> None:
    method = learned(tiny, InfLoRA(rank=4, energy=0.9), 1)
    used = dict(method.used)
    learner = Gradient([method], SETTINGS)
    learner.learn(tiny, Experience("later", rows(5)))
    for place, pair in pairs(tiny).items():
        assert bool(pair.b.any()), "nothing was learned"
        first = place.replace("k_proj", "q_proj").replace("v_proj", "q_proj").replace("up_proj", "gate_proj")
        assert float((pair.a.detach() @ used[first]).abs().max()) < 1e-5
        assert (place in used) == (place == first), "layers that read the same share one basis"
    for place, now in method.used.items():
        assert float((now.T @ now - torch.eye(now.shape[1])).abs().max()) < 1e-4
        assert now.shape[1] >= used[place].shape[1]


def test_a_holds_still_and_b_alone_learns(tiny: CausalModel) -> None:
    method = InfLoRA(rank=4)
    learner = Gradient([method], SETTINGS)
    learner.prepare(tiny)
    assert all("lora_B" in name for name in tiny.trained())
    start = said(tiny)
    method.begin(tiny, tiny.encoder.rows(rows(0)))
    a = {place: pair.a.detach().clone() for place, pair in pairs(tiny).items()}
    assert torch.equal(said(tiny), start)
    assert all(float(value.norm(dim=1).max()) == pytest.approx(LENGTH, rel=1e-4) for value in a.values())


def test_a_base_is_a_past_and_no_energy_protects_nothing(tiny: CausalModel) -> None:
    for energy, used in ((0.9, True), (0.0, False)):
        model, method = load_model("tiny"), InfLoRA(rank=2, energy=energy)
        learner = Gradient([method], SETTINGS)
        learner.prepare(model)
        learner.remember(model, rows(0))
        assert bool(method.used) is used


def test_no_more_tokens_than_wanted_are_looked_at(tiny: CausalModel) -> None:
    method = learned(tiny, InfLoRA(rank=2, energy=1.0, tokens=3), 1)
    assert {value.shape[1] for value in method.used.values()} <= {2, 3}


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")
def test_past_and_present_are_one_adapter_of_peft(tiny: CausalModel, tmp_path: Path) -> None:
    method = learned(tiny, InfLoRA(rank=2))
    method.write(tiny, tmp_path)
    again = load_model("tiny", lora=None)
    again.module = PeftModel.from_pretrained(again.module, str(tmp_path))
    assert torch.allclose(said(again), said(tiny), atol=1e-4)


def test_adapters_a_model_was_loaded_with_are_folded_not_lost() -> None:
    model = load_model("tiny", lora=Lora(rank=3))
    model.module.double()
    with torch.no_grad():
        for pair in pairs(model).values():
            pair.b.normal_(0, 0.02, generator=torch.Generator().manual_seed(0))
    before, method = said(model), InfLoRA(rank=8)
    method.prepare(model)
    method.begin(model, model.encoder.rows(rows(0)))
    assert len(method.folded.past) == 1
    assert torch.allclose(said(model), before, atol=1e-4)


def test_an_encoder_decoder_learns_too(shared_tiny: CausalModel) -> None:
    torch.manual_seed(0)
    config = T5Config(vocab_size=1509, d_model=16, d_kv=8, d_ff=32, num_layers=1, num_heads=2, decoder_start_token_id=0, dropout_rate=0.0)
    model = Seq2SeqModel(T5ForConditionalGeneration(config), shared_tiny.tokenizer)
    method = learned(model, InfLoRA(rank=2))  # type: ignore[arg-type]
    assert len(method.used) == 11  # of 16: the encoder's 4, the decoder's own 2 and 2, the 3 of its look at the encoder


def test_wrong_settings_and_states_are_refused() -> None:
    with pytest.raises(SettingError, match="inf_lora rank must be at least 0, got -1"):
        InfLoRA(rank=-1)
    with pytest.raises(SettingError, match="inf_lora energy must be between 0 and 1, got 2"):
        InfLoRA(energy=2)
    with pytest.raises(SettingError, match="inf_lora tokens must be at least 1, got 0"):
        InfLoRA(tokens=0)
    with pytest.raises(StateError, match=r"how many experiences it has begun \(keys=\['seen'\]\)"):
        InfLoRA().load({"seen": 1})
