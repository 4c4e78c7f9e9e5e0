"""Adapters folded one after the other: the same weights again from the start, in a model loaded with adapters too."""

from __future__ import annotations

import pytest
import torch

from everlearn import SLAO, CausalModel, InfLoRA, Lora, Method, OLoRA, load_model
from everlearn.checks.methods import neutral_is_plain, resume_is_uninterrupted
from everlearn.methods.folded import Folded, begin_again
from everlearn.models.adapters import adapted, pairs


def with_adapters() -> CausalModel:
    return load_model("tiny", lora=Lora(rank=2))


@pytest.mark.parametrize("method", [OLoRA, InfLoRA, SLAO])
def test_a_model_loaded_with_adapters_resumes_bit_for_bit(method: type[Method]) -> None:
    assert resume_is_uninterrupted(method, with_adapters)


def test_neutral_is_plain_for_a_model_loaded_with_adapters() -> None:
    assert neutral_is_plain(OLoRA, with_adapters)


def test_a_saved_past_folds_to_the_same_weights_bit_for_bit(tiny: CausalModel) -> None:
    adapted(tiny, Lora(rank=2))
    folded, found = Folded(), pairs(tiny)
    for number in range(3):
        begin_again(found.values(), number)
        with torch.no_grad():
            for pair in found.values():
                pair.b.normal_(0, 0.1, generator=torch.Generator().manual_seed(number))
        folded.fold(found)
    again = load_model("tiny")
    adapted(again, Lora(rank=2))
    fresh, layers = Folded(), pairs(again)
    fresh.load(folded.state(), layers)
    place = next(iter(found))
    assert folded.rows(place).shape == (6, found[place].a.shape[1])
    assert torch.equal(fresh.rows(place), folded.rows(place))
    for name, pair in found.items():
        assert torch.equal(layers[name].layer.get_base_layer().weight, pair.layer.get_base_layer().weight)
    start = load_model("tiny").state()[f"{place.removeprefix('base_model.model.')}.weight"]
    added = sum(found[place].scale * (finished[place][1] @ finished[place][0]) for finished in folded.past)
    assert torch.allclose(found[place].layer.get_base_layer().weight, start + added, atol=1e-5)


def test_fresh_adapters_leave_the_random_state_alone(tiny: CausalModel) -> None:
    adapted(tiny, Lora(rank=2))
    state = torch.get_rng_state()
    begin_again(pairs(tiny).values(), 1)
    assert torch.equal(torch.get_rng_state(), state)
