"""Several adapters in one batch: every prompt gets what its own adapter says alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from transformers.cache_utils import DynamicCache

from everlearn import CausalModel, Example, Lora, ModelError, load_model
from everlearn.models.adapters import add_adapter, pairs
from everlearn.models.arrow import directions, scores
from everlearn.models.routed import RoutedModel
from everlearn.models.wording import Prompt

QUESTIONS = tuple(
    Example(prompt=text, completion="")
    for text in (
        "Question: What is 7 plus 5?\nAnswer:",
        "Who is the mayor of the old town by the long river?\nAnswer:",
        "Question: What is 3 plus 9?\nAnswer:",
        "Where?",
        "Question: Name the bridge.\nAnswer:",
        "Question: What is 1 plus 1?\nAnswer:",
    )
)
OPTIONS = (
    [" 12", " nobody at all", " 7"],
    [" Ann", " the old bridge by the river"],
    [" 12", " 13"],
    [" here"],
    [" London bridge", " x"],
    [" 2", " two of them", " 3"],
)
NAMES = ("one", "two", "__base__")


@pytest.fixture(scope="module")
def several() -> CausalModel:
    """The tiny model with two rough adapters beside the one that learns."""
    model = load_model("tiny", lora=Lora(rank=2))
    for seed, name in enumerate(("one", "two")):
        add_adapter(model, name, Lora(rank=2, seed=seed))
        noise = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for pair in pairs(model, name).values():
                pair.b.add_(0.1 * torch.randn(pair.b.shape, generator=noise))
    return model


def in_turn(prompts: Sequence[Prompt]) -> list[str]:
    """An adapter for each prompt that depends on the prompt alone."""
    return [NAMES[sum(prompt) // 6 % 3] for prompt in prompts]


def chosen(model: CausalModel) -> list[str]:
    return in_turn([tuple(tokens) for tokens in model.encoder.prompts(QUESTIONS)])


def test_a_mixed_batch_answers_as_each_domain_alone(several: CausalModel) -> None:
    names = chosen(several)
    assert set(names) == set(NAMES)
    mixed = RoutedModel(several, in_turn)
    said, one, many = mixed.generate(QUESTIONS, 12), mixed.score(QUESTIONS, [[given[0]] for given in OPTIONS]), mixed.score(QUESTIONS, OPTIONS)
    for at, name in enumerate(names):
        alone = RoutedModel(several, lambda prompts, name=name: [name] * len(prompts))  # type: ignore[misc]
        only = QUESTIONS[at : at + 1]
        assert alone.generate(only, 12) == said[at : at + 1]
        assert alone.score(only, [OPTIONS[at][:1]])[0] == pytest.approx(one[at], abs=1e-4)
        assert alone.score(only, [OPTIONS[at]])[0] == pytest.approx(many[at], abs=1e-4)
    assert len(set(said)) > 1


def test_an_adapter_alone_is_what_peft_makes_active(several: CausalModel) -> None:
    rows = several.encoder.rows([Example(prompt=e.prompt, completion=" 12") for e in QUESTIONS])
    batch = several.batch(rows)
    for name in ("one", "two"):
        with torch.no_grad():
            routed = RoutedModel(several, lambda prompts, name=name: [name] * len(prompts)).logits(batch).logits  # type: ignore[misc]
            several.module.set_adapter(name)
            wanted = several.logits(batch).logits
            several.module.set_adapter("default")
        assert torch.allclose(routed, wanted, atol=1e-4)
        assert not torch.allclose(routed, several.logits(batch).logits, atol=1e-2)


def test_the_base_is_the_model_without_adapters(several: CausalModel) -> None:
    bare = load_model("tiny", lora=None)
    routed = RoutedModel(several, lambda prompts: ["__base__"] * len(prompts))
    assert routed.generate(QUESTIONS, 6) == bare.generate(QUESTIONS, 6)
    assert routed.score(QUESTIONS, OPTIONS)[1] == pytest.approx(bare.score(QUESTIONS, OPTIONS)[1], abs=1e-5)


def test_asking_leaves_the_mode_and_what_learns(several: CausalModel) -> None:
    several.module.train()
    RoutedModel(several, in_turn).logits(several.batch(several.encoder.rows(QUESTIONS)))
    assert several.module.training
    assert all("default" in name for name in several.trained())


def test_a_foreign_cache_and_an_encoder_decoder_are_refused(several: CausalModel, t5_folder: Path) -> None:
    with pytest.raises(ModelError, match=r"its own cache alone \(cache='DynamicCache'\)"):
        RoutedModel(several, in_turn)._forward(torch.tensor([0]), past_key_values=DynamicCache())
    with pytest.raises(ModelError, match=r"only decoder-only models .* type=Seq2SeqModel"):
        RoutedModel(load_model(t5_folder, lora=None), in_turn)


def test_an_adapters_direction_is_what_it_stretches_most(several: CausalModel) -> None:
    vectors = directions(several, ["one", "two"])
    for place, pair in pairs(several, "two").items():
        change = (pair.b @ pair.a).detach()
        assert float((change @ vectors[place][1]).norm()) == pytest.approx(float(torch.linalg.matrix_norm(change, 2)), rel=1e-4)
        assert float(vectors[place][1].norm()) == pytest.approx(1, abs=1e-5)
    assert directions(several, []) == {}


def test_arrow_scores_are_the_mean_cosine_of_a_layers_inputs(several: CausalModel) -> None:
    vectors = {place: each for place, each in directions(several, ["one", "two"]).items() if "layers.0.self_attn.q_proj" in place}
    table, norm = several.module.get_input_embeddings().weight, several.module.base_model.model.model.layers[0].input_layernorm
    with torch.no_grad():
        reads = norm(table[torch.tensor([5, 9, 7])])
    wanted = (torch.nn.functional.normalize(reads, dim=1) @ next(iter(vectors.values())).T).abs().mean(0)
    found = scores(several, [(5, 9, 7), (4, 4, 4, 4, 4)], vectors)
    assert torch.allclose(found[0], wanted, atol=1e-5)
