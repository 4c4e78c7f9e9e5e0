"""MIGU: the mean output by hand, padding left out, the quiet outputs still."""

from __future__ import annotations

from random import Random

import pytest
import torch
from transformers import T5Config, T5ForConditionalGeneration

from everlearn import MIGU, CausalModel, Example, Experience, Gradient, Lora, Seq2SeqModel, SettingError, Settings, StateError, Step, load_model
from everlearn.methods.migu import linear_layers

ROWS = tuple(Example(prompt=f"Question: What is {n} plus {'2' * n}?\nAnswer:", completion=f" {n + 2}") for n in range(1, 9))
SETTINGS = Settings(rate=1e-3, passes=1, batch=8)
LAYER = "model.layers.1.mlp.up_proj"


def past(model: CausalModel, method: MIGU) -> MIGU:
    method.prepare(model)
    method.end(model, Step(0, 0, 0.0, model.encoder.rows(ROWS), lambda rows: {}), Random(0))
    return method


def by_hand(model: CausalModel) -> torch.Tensor:
    """Each row by itself, without padding: |output| over its sum, added up over all tokens."""
    total, layer = torch.zeros(352), model.module.get_submodule(LAYER)
    for row in model.encoder.rows(ROWS):
        heard: list[torch.Tensor] = []
        hook = layer.register_forward_hook(lambda part, given, said, heard=heard: heard.append(said.detach().abs()[0]))
        model.logits(model.batch([row]))
        hook.remove()
        total += (heard[0] / heard[0].sum(1, keepdim=True)).sum(0)
    return total


def test_only_the_loudest_outputs_of_a_layer_move(tiny: CausalModel) -> None:
    start, wanted = tiny.state(), by_hand(tiny).topk(round(0.25 * 352)).indices
    learner = Gradient([past(tiny, MIGU(share=0.25))], SETTINGS)
    learner.learn(tiny, Experience("e", ROWS))
    here = tiny.state()
    moved = (here[f"{LAYER}.weight"] != start[f"{LAYER}.weight"]).any(1)
    assert set(moved.nonzero()[:, 0].tolist()) == set(wanted.tolist())
    assert (here["model.norm.weight"] != start["model.norm.weight"]).any(), "norms learn as ever"


def test_padding_does_not_count(tiny: CausalModel) -> None:
    method = past(tiny, MIGU(share=0.25))
    batch = tiny.batch(tiny.encoder.rows(ROWS))
    assert not batch.mask.all()
    method.observe(tiny, batch, tiny.logits(batch))
    assert torch.allclose(method._sums[LAYER], by_hand(tiny), rtol=1e-4)


def test_the_first_experience_without_a_past_is_plain(tiny: CausalModel) -> None:
    method, plain = MIGU(share=0.25), load_model("tiny")
    learner = Gradient([method], SETTINGS)
    learner.prepare(tiny)
    learner.learn(tiny, Experience("e", ROWS))
    Gradient([], SETTINGS).learn(plain, Experience("e", ROWS))
    assert all(torch.equal(value, plain.state()[name]) for name, value in tiny.state().items())
    assert method.past == 1


def test_an_encoder_decoder_is_masked_without_its_padding(shared_tiny: CausalModel) -> None:
    torch.manual_seed(0)
    config = T5Config(vocab_size=1509, d_model=16, d_kv=8, d_ff=32, num_layers=1, num_heads=2, decoder_start_token_id=0, dropout_rate=0.0)
    model = Seq2SeqModel(T5ForConditionalGeneration(config), shared_tiny.tokenizer)
    method, rows = MIGU(share=0.5), model.encoder.rows(ROWS)
    method.prepare(model)
    method.past = 1
    for part in (rows, *([row] for row in rows)):
        batch = model.batch(part)
        method.observe(model, batch, model.logits(batch))
        if part is rows:
            together, method._sums = method._sums, {}
    assert len(together) == 16
    assert all(torch.allclose(value, method._sums[name], rtol=1e-3) for name, value in together.items())


def test_of_an_adapters_pair_the_second_is_masked() -> None:
    layers = linear_layers(load_model("tiny", lora=Lora(rank=2)))
    assert len(layers) == 28
    assert all("lora_B" in name for name in layers)


def test_a_second_prepare_leaves_one_set_of_hooks(tiny: CausalModel) -> None:
    method = past(tiny, MIGU())
    method.prepare(tiny)
    assert len(tiny.module.get_submodule(LAYER)._forward_hooks) == 1


def test_wrong_settings_and_states_are_refused() -> None:
    with pytest.raises(SettingError, match="migu share must be between 1e-09 and 1, got 0"):
        MIGU(share=0)
    with pytest.raises(StateError, match=r"does not say how many experiences.*\['seen'\]"):
        MIGU().load({"seen": 1})
