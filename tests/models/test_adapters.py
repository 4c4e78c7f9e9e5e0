"""Adapters in place: what they leave alone, what folding changes, and that PEFT reads what is written."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from peft import PeftModel

from everlearn import CausalModel, Example, Lora, ModelError, load_model
from everlearn.models.adapters import adapted, add_adapter, joined, pairs, write_adapter
from everlearn.models.weights import holding

ROWS = (Example(prompt="Question: What is 7 plus 5?\nAnswer:", completion=" 12"), Example(text="The mayor opened the bridge."))


def said(model: CausalModel) -> torch.Tensor:
    with torch.no_grad():
        return model.logits(model.batch(model.encoder.rows(ROWS))).logits


def roughened(model: CausalModel) -> CausalModel:
    with torch.no_grad():
        for pair in pairs(model).values():
            pair.b.add_(0.1 * torch.randn(pair.b.shape, generator=torch.Generator().manual_seed(0)))
    return model


def test_fresh_adapters_change_no_answer_and_alone_learn(tiny: CausalModel) -> None:
    before = said(tiny)
    assert adapted(tiny, Lora(rank=2))
    assert torch.equal(said(tiny), before)
    assert all("lora_" in name for name in tiny.trained())
    assert len(tiny.trained()) == 2 * len(pairs(tiny)) == 2 * 7 * len(tiny.module.base_model.model.model.layers)
    assert not adapted(tiny, Lora(rank=3))
    assert {pair.a.shape[0] for pair in pairs(tiny).values()} == {2}


def test_folding_puts_the_adapter_into_the_weights_beneath(tiny: CausalModel) -> None:
    adapted(tiny, Lora(rank=2))
    with_adapter = said(roughened(tiny))
    for pair in pairs(tiny).values():
        pair.fold()
        with torch.no_grad():
            pair.b.zero_()
    assert torch.allclose(said(tiny), with_adapter, atol=1e-4)


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")  # peft asks transformers the old way
def test_peft_reads_what_is_written(tiny: CausalModel, tmp_path: Path) -> None:
    adapted(tiny, Lora(rank=2))
    add_adapter(tiny, "other", Lora(rank=3, seed=1))
    write_adapter(roughened(tiny), tmp_path)
    write_adapter(tiny, tmp_path, "other")
    again = load_model("tiny", lora=None)
    again.module = PeftModel.from_pretrained(again.module, str(tmp_path))
    assert torch.equal(said(again), said(tiny))
    assert (tmp_path / "other" / "adapter_model.safetensors").exists()
    assert all("default" in name for name in tiny.trained())


def test_a_model_without_adapters_has_none_to_write(tiny: CausalModel, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no adapters to write"):
        write_adapter(tiny, tmp_path)


def test_a_model_holds_other_weights_for_a_while(tiny: CausalModel) -> None:
    before, answer = tiny.state(), said(tiny)
    others = {name: value * 0.5 for name, value in before.items()}
    with holding(tiny, others):
        assert not torch.equal(said(tiny), answer)
    assert torch.equal(said(tiny), answer)
    assert all(torch.equal(value, before[name] * 0.5) for name, value in others.items())


def test_two_adapters_in_one_are_the_nearest_of_that_rank(tiny: CausalModel) -> None:
    adapted(tiny, Lora(rank=2))
    add_adapter(tiny, "other", Lora(rank=2, seed=1))
    for seed, name in enumerate(("default", "other")):
        with torch.no_grad():
            for pair in pairs(tiny, name).values():
                pair.b.add_(torch.randn(pair.b.shape, generator=torch.Generator().manual_seed(seed)))
    one, other = (next(iter(pairs(tiny, name).values())) for name in ("default", "other"))
    change = [(pair.scale * pair.b @ pair.a).detach() for pair in (one, other)]
    a, b = joined(one, other, 0.75)
    u, size, v = torch.linalg.svd(0.75 * change[0] + 0.25 * change[1], full_matrices=False)
    assert torch.allclose(one.scale * b @ a, u[:, :2] * size[:2] @ v[:2], atol=1e-5)
    a, b = joined(one, other, 1.0)
    assert torch.allclose(one.scale * b @ a, change[0], atol=1e-5)
    assert a.shape == one.a.shape
