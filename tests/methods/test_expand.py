"""Expand: copies that say nothing at first, alone learn, and make a plain model."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import (
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    MixtralConfig,
    MixtralForCausalLM,
    OPTConfig,
    OPTForCausalLM,
    PreTrainedModel,
    Qwen2Config,
    Qwen2ForCausalLM,
    T5Config,
    T5ForConditionalGeneration,
)

from everlearn import CausalModel, Example, Expand, Experience, Gradient, Lora, ModelError, Seq2SeqModel, SettingError, Settings, load_model

ROWS = tuple(Example(prompt=f"Question: What is {n} plus 2?\nAnswer:", completion=f" {n + 2}") for n in range(12))
SETTINGS = Settings(rate=3e-3, passes=2, batch=6)
SIZES = {"vocab_size": 1509, "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 1}
LLAMA = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 2}


def qwen() -> PreTrainedModel:
    return Qwen2ForCausalLM(Qwen2Config(**SIZES, **LLAMA, use_sliding_window=True, sliding_window=4, max_window_layers=2))


def gemma() -> PreTrainedModel:
    kinds = ["sliding_attention", "full_attention"] * 2
    return Gemma3ForCausalLM(Gemma3TextConfig(**SIZES, **LLAMA, head_dim=8, layer_types=kinds, sliding_window=4))


def gpt2() -> PreTrainedModel:
    return GPT2LMHeadModel(GPT2Config(vocab_size=1509, n_embd=32, n_layer=4, n_head=2, n_positions=64, bos_token_id=0, eos_token_id=0))


def neox() -> PreTrainedModel:
    return GPTNeoXForCausalLM(GPTNeoXConfig(**SIZES, hidden_size=32, intermediate_size=48, num_hidden_layers=4, num_attention_heads=4))


def opt(before: bool = True) -> PreTrainedModel:
    config = {"hidden_size": 32, "ffn_dim": 48, "num_hidden_layers": 4, "num_attention_heads": 4, "word_embed_proj_dim": 32}
    return OPTForCausalLM(OPTConfig(**SIZES, **config, max_position_embeddings=64, do_layer_norm_before=before, dropout=0.0))


def made(shared_tiny: CausalModel, module: PreTrainedModel) -> CausalModel:
    return CausalModel(module.train(), shared_tiny.tokenizer, "made")


def said(model: CausalModel) -> torch.Tensor:
    with torch.no_grad():
        return model.logits(model.batch(model.encoder.rows(ROWS))).logits


@pytest.mark.parametrize("architecture", [qwen, gemma, gpt2, neox, opt])
def test_the_answers_start_unchanged_the_copies_learn_and_a_cache_changes_nothing(shared_tiny: CausalModel, architecture: object, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = made(shared_tiny, architecture())  # type: ignore[operator]
    model.module.eval()
    before, old = said(model), {id(weight) for weight in model.module.parameters()}
    learner = Gradient([Expand(every=2)], SETTINGS)
    learner.prepare(model)
    assert torch.equal(said(model), before)
    assert model.module.config.num_hidden_layers == 6
    assert model.trained()
    assert not {id(weight) for weight in model.trained().values()} & old
    frozen = {name: value.detach().clone() for name, value in model.module.named_parameters() if not value.requires_grad}
    learner.learn(model, Experience("e", ROWS))
    model.module.eval()
    assert float((said(model) - before).abs().max()) > 1e-3
    assert all(torch.equal(dict(model.module.named_parameters())[name], value) for name, value in frozen.items())
    prompt = torch.arange(2, 12)[None]
    cached = model.module.generate(prompt, max_new_tokens=8, do_sample=False, eos_token_id=None, use_cache=True)
    assert torch.equal(cached, model.module.generate(prompt, max_new_tokens=8, do_sample=False, eos_token_id=None, use_cache=False))
    model.module.save_pretrained(tmp_path)
    again = made(shared_tiny, type(model.module).from_pretrained(tmp_path))
    again.module.eval()
    assert torch.equal(said(again), said(model))


def test_copies_stand_after_every_mth_block_and_share_the_configuration(tiny: CausalModel) -> None:
    count = len(tiny.module.model.layers)
    Expand(every=3).prepare(tiny)
    layers, added = tiny.module.model.layers, count // 3
    assert len(layers) == count + added
    assert torch.equal(layers[3].mlp.up_proj.weight, layers[2].mlp.up_proj.weight)
    assert not layers[3].mlp.down_proj.weight.any()
    assert not layers[3].self_attn.o_proj.weight.any()
    assert layers[3].mlp.up_proj.weight.requires_grad
    assert not layers[2].mlp.up_proj.weight.requires_grad
    assert [layer.self_attn.layer_idx for layer in layers] == list(range(len(layers)))
    assert all(layer.self_attn.config is tiny.module.config for layer in layers)
    assert tiny.generate([Example(prompt="Question: What is 7 plus 5?\nAnswer:", completion="")], limit=4) == [" 12"]


def test_models_that_cannot_grow_this_way_are_refused(shared_tiny: CausalModel) -> None:
    with pytest.raises(ModelError, match=r"this model has adapters \(model='tiny'\)"):
        Expand().prepare(load_model("tiny", lora=Lora(rank=2)))
    config = T5Config(vocab_size=1509, d_model=16, d_kv=8, d_ff=32, num_layers=1, num_heads=2, decoder_start_token_id=0)
    with pytest.raises(ModelError, match="this model is an encoder-decoder"):
        Expand().prepare(Seq2SeqModel(T5ForConditionalGeneration(config), shared_tiny.tokenizer))
    torch.manual_seed(0)
    normed_after = opt(before=False)
    with torch.no_grad():
        for name, weight in normed_after.named_parameters():
            if "layer_norm" in name:
                weight.normal_(1)
    with pytest.raises(ModelError, match=r"copies of its blocks change this model's answers \(architecture='OPTForCausalLM'\)"):
        Expand(every=2).prepare(made(shared_tiny, normed_after))
    mixture = MixtralForCausalLM(MixtralConfig(**SIZES, **LLAMA, num_local_experts=2))
    with pytest.raises(ModelError, match=r"does not know what this model's blocks end with \(architecture='MixtralForCausalLM'\)"):
        Expand(every=2).prepare(made(shared_tiny, mixture))


def test_wrong_settings_are_refused(tiny: CausalModel) -> None:
    with pytest.raises(SettingError, match="expand every must be at least 0, got -1"):
        Expand(every=-1)
    with pytest.raises(SettingError, match=r"at most the model's number of blocks, got 9 \(blocks=4\)"):
        Expand(every=9).prepare(tiny)
