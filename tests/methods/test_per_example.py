"""Gradients made together are those of each row alone, for every architecture that is treated; the others fall back."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from transformers import (
    BartConfig,
    BartForConditionalGeneration,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    T5Config,
    T5ForConditionalGeneration,
)

from everlearn import CausalModel, Example, Lora, Row, Seq2SeqModel, TrainedModel, load_model
from everlearn.methods import at_once, per_example
from everlearn.methods.at_once import MOST_TOKENS, batches, most_tokens
from everlearn.methods.per_example import gradient_alone, gradients_together, log_likelihood, sum_of, summed, treatable
from everlearn.models import late
from everlearn.models.adapters import with_lora as put_lora

EXAMPLES = [Example(prompt="Question:" + " what" * n + "\nAnswer:", completion=" one" * (1 + n % 3)) for n in range(7)]


def squares(total: Tensor, gradients: Tensor, weights: Tensor, group: Tensor) -> None:
    total += gradients.square().sum(0)


def rough(module: PreTrainedModel) -> PreTrainedModel:
    seeded = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in module.parameters():
            weight.normal_(0, 0.3, generator=seeded)
    return module


def llama(tied: bool) -> TrainedModel:
    tokenizer = load_model("tiny").tokenizer
    shape = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1}
    return CausalModel(rough(LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), tie_word_embeddings=tied, pad_token_id=1, **shape))), tokenizer)


def gpt2() -> TrainedModel:
    tokenizer = load_model("tiny").tokenizer
    return CausalModel(rough(GPT2LMHeadModel(GPT2Config(vocab_size=len(tokenizer), n_positions=64, n_embd=16, n_layer=1, n_head=2))), tokenizer)


def bart() -> TrainedModel:
    tokenizer = load_model("tiny").tokenizer
    sides = {f"{side}_{part}": n for side in ("encoder", "decoder") for part, n in (("layers", 1), ("attention_heads", 2), ("ffn_dim", 24))}
    config = BartConfig(vocab_size=len(tokenizer), d_model=16, max_position_embeddings=64, pad_token_id=1, decoder_start_token_id=0, **sides)
    config.forced_eos_token_id = None
    return Seq2SeqModel(rough(BartForConditionalGeneration(config)), tokenizer)


def t5() -> TrainedModel:
    tokenizer = load_model("tiny").tokenizer
    shape = {"d_model": 16, "d_kv": 8, "d_ff": 24, "num_layers": 1, "num_heads": 2}
    return Seq2SeqModel(rough(T5ForConditionalGeneration(T5Config(vocab_size=len(tokenizer), decoder_start_token_id=0, **shape))), tokenizer)


def with_lora() -> TrainedModel:
    model = load_model("tiny", Lora(rank=4))
    rough_adapters = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in model.trained().values():
            weight.normal_(0, 0.1, generator=rough_adapters)
    return model


def rows_of(model: TrainedModel) -> list[Row]:
    return model.encoder.rows(EXAMPLES)


def t5_with_lora() -> TrainedModel:
    model = t5()
    return Seq2SeqModel(rough(put_lora(model.module, Lora(rank=2))), model.tokenizer)


TREATED = {"tied": lambda: llama(True), "untied": lambda: llama(False), "gpt2": gpt2, "lora": with_lora, "t5 with lora": t5_with_lora}


@pytest.mark.parametrize("kind", TREATED)
def test_gradients_made_together_are_those_of_each_row_alone(kind: str) -> None:
    model = TREATED[kind]()
    model.module.eval()
    rows = rows_of(model)
    made = gradients_together(model, rows, log_likelihood)
    assert made is not None
    assert treatable(model, rows)
    for place, row in enumerate(rows):
        for name, alone in gradient_alone(model, row, log_likelihood).items():
            if name not in made:  # positions that are never read
                assert float(alone.abs().max()) == 0
                continue
            together = sum_of(made[name], place, place + 1)[0]
            assert torch.allclose(together, alone, rtol=1e-4, atol=1e-5 * float(alone.abs().max())), f"{name} of row {place}"


@pytest.mark.parametrize("kind", TREATED)
def test_sums_made_together_are_those_of_the_loop(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = TREATED[kind]()
    rows = rows_of(model)
    found = summed(model, [[row] for row in rows], log_likelihood, squares)
    monkeypatch.setattr(per_example, "treatable", lambda *_: False)
    for name, wanted in summed(model, [[row] for row in rows], log_likelihood, squares).items():
        assert torch.allclose(found[name], wanted, rtol=1e-3, atol=1e-5 * float(wanted.max())), name


@pytest.mark.parametrize("make", [t5, bart])
def test_a_model_with_tables_of_its_own_kind_falls_back_to_the_loop(make: Callable[[], TrainedModel]) -> None:
    model = make()  # T5's relative positions are looked up once for the whole batch; BART's embeddings scale and shift
    model.module.eval()
    assert not treatable(model, rows_of(model))
    assert max(float(value.max()) for value in summed(model, [[row] for row in rows_of(model)], log_likelihood, squares).values()) > 0


def test_a_module_that_mixes_rows_is_seen() -> None:
    model = llama(False)
    model.module.eval()
    inner = model.module.model.layers[0].mlp.up_proj
    handle = inner.register_forward_pre_hook(lambda _, given: (given[0] + given[0].mean(0, keepdim=True),))
    assert not treatable(model, rows_of(model))
    handle.remove()
    assert treatable(model, rows_of(model))


def test_a_weight_used_behind_its_modules_back_is_seen() -> None:
    model = llama(False)
    model.module.eval()
    norm = model.module.model.norm
    model.module.model.layers[0].register_forward_hook(lambda _, given, gave: gave * norm.weight)
    assert not treatable(model, rows_of(model))


def test_it_is_tried_once_for_a_model_and_what_learns(monkeypatch: pytest.MonkeyPatch) -> None:
    tried, model = list[int](), llama(False)
    monkeypatch.setattr(per_example, "same_as_alone", lambda *_: not tried.append(1))
    for _ in range(3):
        summed(model, [[row] for row in rows_of(model)], log_likelihood, squares)
    assert len(tried) == 1
    model.module.model.norm.weight.requires_grad_(False)
    assert treatable(model, rows_of(model))
    assert treatable(llama(False), rows_of(model))
    assert len(tried) == 3


def test_a_model_that_is_changed_is_tried_again() -> None:
    model = llama(False)
    model.module.eval()
    assert treatable(model, rows_of(model))
    norm, other = model.module.model.norm, model.module.model.layers[0].input_layernorm
    norm.forward = lambda given: type(norm).forward(norm, given) * other.weight
    assert not treatable(model, rows_of(model))
    del norm.forward
    assert treatable(model, rows_of(model))
    model.module.model.layers[0].mlp.up_proj.register_forward_pre_hook(lambda _, given: (given[0] + given[0].mean(0, keepdim=True),))
    assert not treatable(model, rows_of(model))


def test_rows_that_pass_otherwise_than_those_tried_are_treated_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    model = llama(False)
    wanted = summed(model, [[row] for row in rows_of(model)], log_likelihood, squares)
    monkeypatch.setattr(per_example, "gradients_together", lambda *_: None)
    assert treatable(model, rows_of(model)), "known from before"
    found = summed(model, [[row] for row in rows_of(model)], log_likelihood, squares)
    assert all(torch.allclose(found[name], value, rtol=1e-3, atol=1e-5 * float(value.max())) for name, value in wanted.items())


def test_one_row_alone_needs_no_batch() -> None:
    model = llama(True)
    assert not treatable(model, rows_of(model)[:1])
    assert summed(model, [rows_of(model)[:1]], log_likelihood, squares).keys() == model.trained().keys()


def test_small_chunks_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    model = llama(True)
    groups = [rows_of(model)[:3], rows_of(model)[3:4], rows_of(model)[4:]]
    whole = summed(model, groups, log_likelihood, squares)
    monkeypatch.setattr(at_once, "MOST_VALUES", 1)
    monkeypatch.setattr(at_once, "MOST_TOKENS", 40)
    for name, value in summed(model, groups, log_likelihood, squares).items():
        assert torch.allclose(value, whole[name], rtol=1e-4, atol=1e-6 * float(value.max())), name


def test_groups_stay_whole_and_batches_small() -> None:
    model = llama(True)
    rows = rows_of(model)
    parts = batches([rows[:2], rows[2:6], [rows[6]]])
    assert sorted(len(group) for part in parts for group in part) == [1, 2, 4]


def test_an_accelerator_takes_more_at_once_but_no_more_logits_than_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    model = llama(True)
    assert most_tokens(model) == MOST_TOKENS
    monkeypatch.setattr(type(model), "device", torch.device("meta"))
    assert most_tokens(model) == 16_384
    monkeypatch.setattr(late, "MOST_LOGITS", 2000 * len(model.tokenizer))
    assert most_tokens(model) == 2000
