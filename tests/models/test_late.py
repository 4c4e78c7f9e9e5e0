"""Logits made some tokens at a time: the same loss and gradients, and never whole in memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import (
    CohereConfig,
    Gemma2Config,
    GPT2Config,
    GPTNeoXConfig,
    GraniteConfig,
    LlamaConfig,
    OPTConfig,
    PreTrainedConfig,
)
from transformers.models.auto import AutoModelForCausalLM

from everlearn import CausalModel, Example, load_model
from everlearn.learn.objectives.base import nats
from everlearn.models import late
from everlearn.models.adapters import Lora, with_lora
from everlearn.models.late import LateOut
from everlearn.models.weights import TrainedModel
from everlearn.types import Batch, Out

EXAMPLES = [Example(prompt=f"Question: What is {n} plus 2?\nAnswer:", completion=f" it is {n + 2}, as {n + 1} and one more are") for n in range(6)]
SIDES = {"num_hidden_layers": 2, "num_attention_heads": 2, "hidden_size": 16, "intermediate_size": 24, "max_position_embeddings": 64}
SHAPES: dict[type[PreTrainedConfig], dict[str, object]] = {
    LlamaConfig: SIDES,
    GPT2Config: {"n_layer": 2, "n_head": 2, "n_embd": 16, "n_positions": 64},
    Gemma2Config: {**SIDES, "num_key_value_heads": 2, "head_dim": 8, "final_logit_softcapping": 0.5},
    CohereConfig: {**SIDES, "logit_scale": 0.25},
    GraniteConfig: {**SIDES, "logits_scaling": 3.0},
    GPTNeoXConfig: SIDES,
    OPTConfig: {"num_hidden_layers": 2, "num_attention_heads": 2, "hidden_size": 16, "word_embed_proj_dim": 8, "ffn_dim": 24, "dropout": 0.0},
}


@pytest.fixture
def some_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("MOST_LOGITS", 1), ("PART", 1), ("LEAST_TOKENS", 7)):
        monkeypatch.setattr(late, name, value)


def made(kind: type[PreTrainedConfig], tiny: CausalModel) -> CausalModel:
    torch.manual_seed(0)
    config = kind(vocab_size=len(tiny.tokenizer), pad_token_id=0, bos_token_id=1, eos_token_id=1, **SHAPES[kind])
    module = AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for weight in module.parameters():
            weight.normal_(0, 0.3)
    return CausalModel(module.eval(), tiny.tokenizer)


def learned(model: TrainedModel, out: Callable[[Batch], Out], values: Callable[..., Tensor] = nats) -> dict[str, Tensor]:
    """The loss's gradients and, under "", its values."""
    batch = model.batch(model.encoder.rows(EXAMPLES))
    found = out(batch).each(values, batch.targets)
    model.module.zero_grad()
    found.mean().backward()
    return {"": found.detach()} | {name: weight.grad.clone() for name, weight in model.trained().items() if weight.grad is not None}


def equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert torch.allclose(value, other[name], atol=1e-6 + 1e-5 * float(value.abs().max())), name


@pytest.mark.parametrize("kind", list(SHAPES))
def test_loss_and_gradients_are_those_of_whole_logits(kind: type[PreTrainedConfig], some_at_a_time: None, shared_tiny: CausalModel) -> None:
    model = made(kind, shared_tiny)
    batch = model.batch(model.encoder.rows(EXAMPLES))
    assert isinstance(model.outputs(batch), LateOut)
    assert len(batch.targets) > 3 * 7
    assert torch.allclose(model.outputs(batch).logits, model.logits(batch).logits, atol=1e-5)
    equal(learned(model, model.outputs), learned(model, model.logits))


def test_encoder_decoders_read_their_source_once(folder: Path, some_at_a_time: None) -> None:
    model, reads = load_model(folder), list[int]()
    model.module.get_encoder().register_forward_hook(lambda *_: reads.append(1))
    model.module.eval()
    assert isinstance(model.outputs(model.batch(model.encoder.rows(EXAMPLES))), LateOut)
    one = learned(model, model.outputs)
    assert len(reads) == 2
    equal(one, learned(model, model.logits))


def test_adapters_learn_the_same(some_at_a_time: None, shared_tiny: CausalModel) -> None:
    model = CausalModel(with_lora(made(LlamaConfig, shared_tiny).module, Lora(rank=2)), shared_tiny.tokenizer)
    assert isinstance(model.outputs(model.batch(model.encoder.rows(EXAMPLES))), LateOut)
    equal(learned(model, model.outputs), learned(model, model.logits))


def test_values_of_any_shape_may_be_asked_of_some_tokens(some_at_a_time: None, shared_tiny: CausalModel) -> None:
    batch = shared_tiny.batch(shared_tiny.encoder.rows(EXAMPLES))
    here = torch.arange(len(batch.targets)) % 2 == 0
    with torch.no_grad():
        wanted = shared_tiny.logits(batch).logits[here].topk(3, 1).values
    out = shared_tiny.outputs(batch)
    assert torch.allclose(out.at(here).each(lambda logits: logits.topk(3, 1).values), wanted, atol=1e-5)
    assert not out.detached().each(nats, batch.targets).requires_grad
    assert not out.detached().logits.requires_grad


def largest_saved(model: CausalModel, out: Callable[[Batch], Out]) -> int:
    """Of the tensors with a value for each word that autograd keeps between the forward and the backward pass, the largest's values; the weights aside."""
    weights, sizes = {weight.data_ptr() for weight in model.module.parameters()}, [0]

    def note(tensor: Tensor) -> Tensor:
        if tensor.shape[-1:] == (len(model.tokenizer),) and tensor.untyped_storage().data_ptr() not in weights:
            sizes.append(tensor.numel())
        return tensor

    batch = model.batch(model.encoder.rows(EXAMPLES))
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        out(batch).each(nats, batch.targets)
    return max(sizes)


def test_whole_logits_are_never_kept(some_at_a_time: None, shared_tiny: CausalModel) -> None:
    learned_tokens = sum(len(row.learned) for row in shared_tiny.encoder.rows(EXAMPLES))
    assert largest_saved(shared_tiny, shared_tiny.logits) == learned_tokens * len(shared_tiny.tokenizer)
    assert largest_saved(shared_tiny, shared_tiny.outputs) <= len(shared_tiny.tokenizer)


def test_the_head_never_makes_more_than_some_at_a_time(some_at_a_time: None, tiny: CausalModel) -> None:
    sizes = []
    tiny.module.get_output_embeddings().register_forward_hook(lambda _, given, out: sizes.append(out.numel()))
    learned(tiny, tiny.outputs)
    assert max(sizes) == 7 * len(tiny.tokenizer)


def test_few_logits_are_made_whole_and_at_once(shared_tiny: CausalModel) -> None:
    batch = shared_tiny.batch(shared_tiny.encoder.rows(EXAMPLES))
    assert type(shared_tiny.outputs(batch)) is Out
    assert torch.equal(shared_tiny.outputs(batch).logits, shared_tiny.logits(batch).logits)


def test_half_precision_holds_when_they_are_made_later(some_at_a_time: None, shared_tiny: CausalModel) -> None:
    batch = shared_tiny.batch(shared_tiny.encoder.rows(EXAMPLES))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out, whole = shared_tiny.outputs(batch), shared_tiny.logits(batch)
    seen = []
    out.each(lambda logits: (seen.append(logits.dtype), logits.sum(1))[1])
    assert whole.logits.dtype == seen[0] == torch.bfloat16
    assert torch.allclose(out.logits.float(), whole.logits.float(), atol=1e-2, rtol=1e-2)


def test_an_architecture_that_says_otherwise_this_way_is_read_whole(some_at_a_time: None, tiny: CausalModel) -> None:
    """A head that also looks at how many states it's given."""
    head = tiny.module.get_output_embeddings()
    head.register_forward_hook(lambda _, given, out: out * (1 + tiny.passes))  # type: ignore[operator]
    tiny.passes = 0.0  # type: ignore[attr-defined]
    head.register_forward_pre_hook(lambda *_: setattr(tiny, "passes", tiny.passes + 1))
    assert type(tiny.outputs(tiny.batch(tiny.encoder.rows(EXAMPLES)))) is Out
