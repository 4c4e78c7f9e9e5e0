"""La-MAML: step sizes that fall where the past is harmed and rise where it is helped."""

from __future__ import annotations

from random import Random

import pytest
import torch

from everlearn import CausalModel, Example, LaMAML, SettingError, StateError, Step

OLD = tuple(Example(prompt=f"Question: What is {n} plus 2?\nAnswer:", completion=f" {n + 2}") for n in range(4))


def stepping(model: CausalModel, method: LaMAML, remembered: dict[str, torch.Tensor], change: dict[str, torch.Tensor]) -> list[dict[str, torch.Tensor]]:
    """One step whose change is given, with the remembered rows' gradient given; the weights at which that gradient was asked for."""
    asked: list[dict[str, torch.Tensor]] = []
    step = Step(1, 1, 0.1, model.encoder.rows(OLD), lambda rows: (asked.append(model.state()), remembered)[1], None, model.state())
    assert method.draw(model, step, Random(0)) == []
    with torch.no_grad():
        for name, weight in model.trained().items():
            weight.add_(change[name])
    method.stepped(model, step)
    return asked


def test_each_tensor_goes_by_its_own_learned_size(tiny: CausalModel) -> None:
    """cos(g', d) is 1 for the first tensor and -1 for all others: sizes 1 - 0.4 = 0.6 and min(1, 1.4) = 1; then 0.2 and 1; then 0."""
    method = LaMAML(strength=0.4)
    method.end(tiny, Step(0, 0, 0.0, tiny.encoder.rows(OLD), lambda rows: {}), Random(0))
    first = next(iter(tiny.trained()))
    change = {name: torch.full_like(weight, 0.01) for name, weight in tiny.trained().items()}
    remembered = {name: torch.full_like(value, 5.0 if name == first else -5.0) for name, value in change.items()}
    for size, before_size in ((0.6, 1.0), (0.2, 0.6), (0.0, 0.2)):
        before = tiny.state()
        asked = stepping(tiny, method, remembered, change)
        assert float((asked[0][first] - before[first]).mean()) == pytest.approx(0.01 * before_size, abs=1e-6), "it looked ahead with another size"
        for name, weight in tiny.state().items():
            wanted = size if name == first else 1.0
            assert torch.allclose(weight - before[name], wanted * change[name], atol=1e-6), name
            assert float(method.sizes[name]) == pytest.approx(wanted, abs=1e-4)
    before = tiny.state()
    stepping(tiny, method, {name: -value for name, value in remembered.items()}, change)
    assert float((tiny.state()[first] - before[first]).mean()) == pytest.approx(0.004, abs=1e-6), "a closed gate opens again"


def test_with_room_above_one_agreement_speeds_up(tiny: CausalModel) -> None:
    method = LaMAML(strength=0.4, most=1.3)
    method.end(tiny, Step(0, 0, 0.0, tiny.encoder.rows(OLD), lambda rows: {}), Random(0))
    change = {name: torch.full_like(weight, 0.01) for name, weight in tiny.trained().items()}
    stepping(tiny, method, {name: -value for name, value in change.items()}, change)
    assert all(float(size) == pytest.approx(1.3) for size in method.sizes.values())


def test_without_a_past_the_step_stays_as_it_was(tiny: CausalModel) -> None:
    method = LaMAML()
    before = tiny.state()
    assert stepping(tiny, method, {}, {name: torch.zeros_like(weight) for name, weight in before.items()}) == []
    assert all(torch.equal(weight, before[name]) for name, weight in tiny.state().items())


def test_settings_and_states_are_refused() -> None:
    with pytest.raises(SettingError, match="la_maml strength must be at least 0, got -1"):
        LaMAML(strength=-1)
    with pytest.raises(SettingError, match="la_maml share must be between 1e-09 and 10, got 0"):
        LaMAML(share=0)
    with pytest.raises(SettingError, match="la_maml most must be at least 1, got 0.5"):
        LaMAML(most=0.5)
    with pytest.raises(SettingError, match="la_maml rows must be at least 1, got 0"):
        LaMAML(rows=0)
    with pytest.raises(StateError, match="no tensors under 'sizes'"):
        LaMAML().load({"buffer": LaMAML().memory.buffer.to_json()})
