"""What the sparse methods share: which entries learn, and that the others stay, whatever else rewrites the update."""

from __future__ import annotations

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from everlearn import L2SP, CausalModel, Example, Experience, Gradient, MagnitudeMask, MoFO, PackNet, SettingError, Settings, Step
from everlearn.methods.masks import largest, mask_gradients, put_back

ROWS = tuple(Example(prompt=f"Question: What is {n} plus 2?\nAnswer:", completion=f" {n + 2}") for n in range(12))
SETTINGS = Settings(rate=1e-2, passes=2, batch=4, weight_decay=0.1)


def small_model(shared: CausalModel) -> CausalModel:
    torch.manual_seed(0)
    config = LlamaConfig(vocab_size=1509, hidden_size=8, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, max_position_embeddings=64)
    return CausalModel(LlamaForCausalLM(config), shared.tokenizer, "small")


def test_the_largest_share_is_exact_also_among_equals() -> None:
    assert int(largest(torch.zeros(1000), 0.3).sum()) == 300
    assert largest(torch.tensor([[1.0, 4.0], [3.0, 2.0]]), 0.5).tolist() == [[False, True], [True, False]]
    assert int(largest(torch.zeros(10), 0.001).sum()) == 1
    assert int(largest(torch.zeros(10), 0).sum()) == 0


def test_a_masked_gradient_alone_does_not_freeze(shared_tiny: CausalModel) -> None:
    """Momentum and weight decay move a weight whose gradient is zero; putting it back does not."""
    model = small_model(shared_tiny)
    learns = {name: torch.zeros_like(weight, dtype=torch.bool) for name, weight in model.trained().items()}
    optimizer = torch.optim.AdamW(model.trained().values(), lr=0.1, weight_decay=0.1)
    for weight in model.trained().values():
        weight.grad = torch.ones_like(weight)
    mask_gradients(model, learns)
    assert all(float(weight.grad.abs().max()) == 0 for weight in model.trained().values() if weight.grad is not None)
    step = Step(1, 1, 0.1, [], lambda rows: {}, optimizer, model.state())
    optimizer.step()
    assert step.before is not None
    assert any(not torch.equal(weight, step.before[name]) for name, weight in model.trained().items())
    put_back(model, step, learns)
    assert all(torch.equal(weight, step.before[name]) for name, weight in model.trained().items())


def test_without_the_weights_from_before_a_mask_says_what_to_set(shared_tiny: CausalModel) -> None:
    with pytest.raises(SettingError, match=r"before=None.*wants_before = True"):
        put_back(shared_tiny, Step(1, 1, 0.1, [], lambda rows: {}), {})


@pytest.mark.parametrize("pull_first", [True, False])
@pytest.mark.parametrize("share", [0.2, 0.7])
def test_what_is_frozen_stays_wherever_another_method_stands_in_the_list(shared_tiny: CausalModel, share: float, pull_first: bool) -> None:
    model, mask, pull = small_model(shared_tiny), MagnitudeMask(share=share), L2SP(strength=50.0, decoupled=True)
    start = model.state()
    learner = Gradient([pull, mask] if pull_first else [mask, pull], SETTINGS)
    pull.begin = lambda model, rows: setattr(pull, "anchor", {name: weight + 1 for name, weight in model.state().items()})  # type: ignore[method-assign]
    learner.learn(model, Experience("e", ROWS))
    for name, weight in model.state().items():
        moved = weight != start[name]
        assert torch.equal(moved, mask.learns[name]), name


def test_neutral_masks_leave_momentum_alone(shared_tiny: CausalModel) -> None:
    for method in (MagnitudeMask(share=1), MoFO(share=1), PackNet(keep=0, base=0)):
        model, plain = small_model(shared_tiny), small_model(shared_tiny)
        Gradient([method], SETTINGS).learn(model, Experience("e", ROWS))
        Gradient([], SETTINGS).learn(plain, Experience("e", ROWS))
        assert all(torch.equal(weight, plain.state()[name]) for name, weight in model.state().items())
