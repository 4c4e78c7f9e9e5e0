"""The mask by Fisher: chosen from the right rows, at the right moment."""

from __future__ import annotations

from random import Random

import pytest
import torch

from everlearn import CausalModel, Example, Experience, FisherMask, Gradient, SettingError, Settings, Step
from everlearn.methods.fisher import fisher

OLD = [Example(prompt=f"Question: What is {n} plus 2?\nAnswer:", completion=f" {n + 2}") for n in range(4)]
NEW = tuple(Example(prompt=f"Question: Who is the mayor of town {n}?\nAnswer:", completion=" Ann") for n in range(4))
SETTINGS = Settings(rate=1e-3, passes=1, batch=4)
NAME = "model.layers.1.mlp.down_proj.weight"


def step_of(model: CausalModel, examples: list[Example]) -> Step:
    return Step(0, 0, 0.0, model.encoder.rows(examples), lambda rows: {})


def test_least_freezes_what_the_past_needs_most(tiny: CausalModel) -> None:
    method, step = FisherMask(share=0.6, learn="least"), step_of(tiny, OLD)
    method.end(tiny, step, Random(0))
    found, start = fisher(tiny, step.rows, "empirical", Random(0))[NAME], tiny.state()[NAME]
    Gradient([method], SETTINGS).learn(tiny, Experience("e", NEW))
    moved = tiny.state()[NAME] != start
    needed = found >= found.flatten().topk(round(0.4 * found.numel())).values[-1]
    assert not (moved & needed).any()
    assert float(moved[~needed].float().mean()) > 0.9


def test_most_lets_learn_what_the_new_rows_need_most(tiny: CausalModel) -> None:
    method, step = FisherMask(share=0.1, learn="most", samples=4), step_of(tiny, list(NEW))
    found, start = fisher(tiny, step.rows, "empirical", Random(0))[NAME], tiny.state()[NAME]
    Gradient([method], SETTINGS).learn(tiny, Experience("e", NEW))
    moved = tiny.state()[NAME] != start
    wanted = found >= found.flatten().topk(round(0.1 * found.numel())).values[-1]
    assert float((moved & wanted).sum()) > 0.99 * float(wanted.sum())
    assert float((moved & ~wanted).sum()) < 0.01 * float(wanted.sum())


def test_without_a_past_least_is_plain(tiny: CausalModel) -> None:
    start, method = tiny.state(), FisherMask(share=0.1)
    Gradient([method], SETTINGS).learn(tiny, Experience("e", NEW))
    assert float((tiny.state()[NAME] != start[NAME]).float().mean()) > 0.9


def test_the_past_adds_up(shared_tiny: CausalModel) -> None:
    method, step = FisherMask(samples=2), step_of(shared_tiny, OLD[:2])
    method.end(shared_tiny, step, Random(0))
    once = method.fisher[NAME].clone()
    method.end(shared_tiny, step, Random(0))
    assert torch.allclose(method.fisher[NAME], 2 * once)


def test_settings_outside_their_range_are_refused() -> None:
    with pytest.raises(SettingError, match="fisher_mask share must be between 1e-09 and 1, got 0"):
        FisherMask(share=0)
    with pytest.raises(SettingError, match="fisher_mask samples must be at least 1, got 0"):
        FisherMask(samples=0)
    with pytest.raises(SettingError, match="fisher_mask learn must be 'most' or 'least', got 'all'"):
        FisherMask(learn="all")  # type: ignore[arg-type]
