"""Reptile: the way back, by hand, and over a whole experience."""

from __future__ import annotations

import pytest
import torch

from everlearn import CausalModel, Example, Experience, Gradient, Reptile, SettingError, Settings, Step, load_model

ROWS = tuple(Example(prompt=f"Question: What is {n} plus 2?\nAnswer:", completion=f" {n + 2}") for n in range(9))


def test_each_span_goes_its_fraction_from_where_the_last_ended(tiny: CausalModel) -> None:
    """Every step adds 1: after 2 steps 0.25 * 2 = 0.5, after 4 it is 0.5 + 0.5 = 1, and the fifth and last span of one step adds 0.25."""
    method, start = Reptile(fraction=0.25, every=2), tiny.state()
    method.begin(tiny, [])
    seen = []
    for number in range(1, 6):
        with torch.no_grad():
            for weight in tiny.trained().values():
                weight.add_(1.0)
        method.stepped(tiny, Step(number, 5, 0.1, [], lambda rows: {}))
        seen.append([float((weight - start[name]).mean()) for name, weight in tiny.state().items()])
    assert [values[0] for values in seen] == pytest.approx([1, 0.5, 1.5, 1, 1.25], abs=1e-5)
    assert all(value == pytest.approx(1.25, abs=1e-5) for value in seen[-1])


def test_one_span_over_an_experience_is_the_average_with_the_start(tiny: CausalModel) -> None:
    plain, start = load_model("tiny"), tiny.state()
    settings = Settings(rate=1e-3, passes=1, batch=3)
    Gradient([], settings).learn(plain, Experience("e", ROWS))
    Gradient([Reptile(fraction=0.5, every=100)], settings).learn(tiny, Experience("e", ROWS))
    for name, weight in tiny.state().items():
        assert torch.allclose(weight, (start[name] + plain.state()[name]) / 2, atol=1e-6)
        assert not torch.equal(weight, start[name])


def test_settings_outside_their_range_are_refused() -> None:
    with pytest.raises(SettingError, match="reptile fraction must be between 1e-09 and 1, got 0"):
        Reptile(fraction=0)
    with pytest.raises(SettingError, match="reptile every must be at least 1, got 0"):
        Reptile(every=0)
