"""The fixed mask: how many, which, and for how long."""

from __future__ import annotations

import pytest
import torch

from everlearn import CausalModel, Gradient, Lora, MagnitudeMask, SettingError, Settings, load_model
from everlearn.types import Example, Experience

ROWS = tuple(Example(prompt=f"Question: What is {n} plus 2?\nAnswer:", completion=f" {n + 2}") for n in range(8))
SETTINGS = Settings(rate=1e-2, passes=1, batch=4)


@pytest.mark.parametrize("kind", ["largest", "smallest", "random"])
def test_the_share_learns_and_all_else_stays_over_experiences(tiny: CausalModel, kind: str) -> None:
    start, method = tiny.state(), MagnitudeMask(share=0.05, kind=kind)  # type: ignore[arg-type]
    learner = Gradient([method], SETTINGS)
    for name in ("one", "two"):
        learner.learn(tiny, Experience(name, ROWS))
    name = "model.layers.0.mlp.up_proj.weight"
    moved = tiny.state()[name] != start[name]
    assert int(method.learns[name].sum()) == round(0.05 * moved.numel())
    assert not (moved & ~method.learns[name]).any()
    assert float(moved.sum()) > 0.9 * float(method.learns[name].sum())
    size = start[name].abs()
    inside, outside = size[method.learns[name]], size[~method.learns[name]]
    if kind == "largest":
        assert float(inside.min()) >= float(outside.max())
    elif kind == "smallest":
        assert float(inside.max()) <= float(outside.min())
    else:
        assert float(inside.mean()) == pytest.approx(float(outside.mean()), rel=0.1)


def test_a_fresh_adapters_zeros_are_chosen_among_at_random() -> None:
    model, method = load_model("tiny", lora=Lora(rank=8)), MagnitudeMask(share=0.25)
    method.begin(model, [])
    mask = next(mask for name, mask in method.learns.items() if "lora_B" in name)
    rows = mask.sum(1)
    assert int(mask.sum()) == mask.numel() // 4
    assert int((rows > 0).sum()) > 0.6 * len(rows), "one corner of the tensor was chosen"


def test_another_seed_draws_another_mask(shared_tiny: CausalModel) -> None:
    masks = []
    for seed in (0, 0, 1):
        method = MagnitudeMask(kind="random", seed=seed)
        method.begin(shared_tiny, [])
        masks.append(method.learns["model.embed_tokens.weight"])
    assert torch.equal(masks[0], masks[1])
    assert not torch.equal(masks[0], masks[2])


def test_settings_outside_their_range_are_refused() -> None:
    with pytest.raises(SettingError, match="magnitude_mask share must be between 1e-09 and 1, got 0"):
        MagnitudeMask(share=0)
    with pytest.raises(SettingError, match="'largest', 'smallest' or 'random', got 'small'"):
        MagnitudeMask(kind="small")  # type: ignore[arg-type]
