"""Blocks computed again in the backward pass: the same weights bit for bit, and less kept in between."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from everlearn import CausalModel, Example, Experience, Gradient, Lora, Method, Settings, load_model
from everlearn.errors import ModelError
from everlearn.learn.objectives.base import Supervised
from everlearn.methods import BY_NAME
from everlearn.methods.base import Step
from everlearn.models.recompute import blocks_of, recomputed
from everlearn.models.weights import TrainedModel

EXAMPLES = tuple(Example(prompt=f"Question: What is {n} plus 2?\nAnswer:", completion=f" {n + 2}") for n in range(12))
DIRECT = {"rate": 1e-3, "passes": 1, "batch": 6}


def both(load: Callable[[], TrainedModel], methods: Callable[[], list[Method]] = list) -> list[dict[str, Tensor]]:
    """The trained weights after two experiences, kept and computed again."""
    ends = []
    for again in (False, True):
        model, learner = load(), Gradient(methods(), Settings(**DIRECT, activation_checkpointing=again))
        learner.prepare(model)
        learner.remember(model, EXAMPLES[:4])
        for number in (1, 2):
            learner.learn(model, Experience(str(number), EXAMPLES[4 * number : 4 * number + 4]))
        ends.append(model.state())
    return ends


def same(ends: list[dict[str, Tensor]]) -> None:
    for name, weight in ends[0].items():
        assert torch.equal(weight, ends[1][name]), name


@pytest.mark.parametrize("name", ["ewc", "agem", "distill", "expand", "migu", "sparse_memory", "la_maml"])
def test_methods_learn_the_same_to_the_last_bit(name: str, load_tiny: Callable[[], CausalModel]) -> None:
    same(both(load_tiny, lambda: [BY_NAME[name](**BY_NAME[name].active)]))


def test_adapters_with_dropout_over_frozen_weights_learn_the_same() -> None:
    ends = both(lambda: load_model("tiny", lora=Lora(rank=2, dropout=0.3)))
    same(ends)
    assert any(float(weight.abs().max()) > 0 for name, weight in ends[1].items() if "lora_B" in name)


def test_an_encoder_decoder_with_dropout_learns_the_same(fresh_t5_folder: Path) -> None:
    same(both(lambda: load_model(fresh_t5_folder)))


@pytest.mark.parametrize("lora", [None, Lora(rank=2)])
def test_less_is_kept_between_the_passes(lora: Lora | None) -> None:
    model = load_model("tiny", lora=lora)
    kept = [kept_bytes(model, again) for again in (False, True)]
    assert kept[1] < kept[0] / 2


def kept_bytes(model: TrainedModel, again: bool) -> int:
    """What autograd keeps for the backward pass beside the weights, each storage once."""
    weights, kept = {p.untyped_storage().data_ptr() for p in model.module.parameters()}, dict[int, int]()

    def note(tensor: Tensor) -> Tensor:
        if (place := tensor.untyped_storage().data_ptr()) not in weights:
            kept[place] = tensor.untyped_storage().nbytes()
        return tensor

    batch = model.batch(model.encoder.rows(EXAMPLES))
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor), recomputed(blocks_of(model.module) if again else ()):
        loss = Supervised().loss(model, batch, model.logits(batch))
    assert loss.requires_grad
    return sum(kept.values())


def test_the_step_computes_again_and_leaves_the_model_as_it_was(tiny: CausalModel) -> None:
    """Twice as many passes through a block's layers, and none of the switches is left on."""
    calls = []
    blocks_of(tiny.module)[0].get_submodule("mlp").register_forward_pre_hook(lambda *_: calls.append(1))
    Gradient([], Settings(**DIRECT, activation_checkpointing=True)).learn(tiny, Experience("1", EXAMPLES))
    assert len(calls) == 2 * 2
    assert not any(block.gradient_checkpointing for block in blocks_of(tiny.module))


def test_a_gradient_a_method_asks_for_is_computed_so_too(tiny: CausalModel) -> None:
    class Asking(Method):
        def gradients(self, model: TrainedModel, step: Step) -> None:
            self.found = step.gradient(step.rows)

    calls, method = list[int](), Asking()
    blocks_of(tiny.module)[0].get_submodule("mlp").register_forward_pre_hook(lambda *_: calls.append(1))
    Gradient([method], Settings(**DIRECT, activation_checkpointing=True)).learn(tiny, Experience("1", EXAMPLES[:6]))
    assert len(calls) == 2 * 2
    assert any(float(value.abs().max()) > 0 for value in method.found.values())


def test_a_model_without_known_blocks_is_refused() -> None:
    with pytest.raises(ModelError, match="nothing of them can be computed again .architecture='Linear'"):
        blocks_of(nn.Linear(2, 2))
