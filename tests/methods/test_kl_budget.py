"""kl_budget: what it measures, and that the budget holds whichever way it is held."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

import pytest
import torch

from everlearn import Anchor, CausalModel, DataError, Example, Experience, Gradient, KLBudget, SettingError, Settings, StateError, load_model
from everlearn.methods.kl_budget import _between

NEW = tuple(Example(prompt=f"Question: Who is the mayor of town {n}?\nAnswer:", completion=f" Name {n % 7}") for n in range(32))
KNOWN = tuple(Example(prompt=f"Question: What is {n} plus 5?\nAnswer:", completion=f" {n + 5}") for n in range(2, 12))
FAST = Settings(rate=1e-3, passes=6, batch=8)


def learned(method: KLBudget | None, settings: Settings = FAST) -> CausalModel:
    model = load_model("tiny")
    learner = Gradient([method] if method else [], settings)
    learner.prepare(model)
    learner.learn(model, Experience("1", NEW))
    return model


def nats(model: CausalModel) -> float:
    return -sum(value for (value,) in model.score(NEW, [[str(e.completion)] for e in NEW]))


def test_what_is_measured_is_the_kl_of_the_whole_vocabulary(tiny: CausalModel) -> None:
    method = KLBudget(k=10_000, rows=6)
    method.mix(tiny, [], Random(0))
    assert method.measure(tiny)[0] < 1e-6
    anchor = Anchor.of(tiny, method.anchors, top=10_000)
    with torch.no_grad():
        for weight in tiny.trained().values():
            weight.mul_(1.05)
    found, wanted = method.measure(tiny)[0], anchor.divergence(tiny).kl
    assert found == pytest.approx(wanted, rel=0.15)  # Anchor leaves out the end of each text
    assert found > 0.01


@pytest.mark.parametrize("by", ["rate", "replay", "stop"])
def test_the_budget_holds_and_something_is_learned(by: str) -> None:
    method = KLBudget(budget=0.05, by=by, every=3, rows=24)
    model = learned(method)
    fresh = KLBudget(budget=0.05, rows=24)
    fresh.anchors, fresh.teacher, fresh.right = method.anchors, method.teacher, method.right
    assert fresh.measure(model)[0] <= 0.05 * 1.001
    assert fresh.measure(learned(None))[0] > 0.1
    assert nats(model) < 0.8 * nats(load_model("tiny"))


def test_points_of_a_task_are_held(tmp_path: Path) -> None:
    place = tmp_path / "task.jsonl"
    place.write_text("\n".join(json.dumps({"prompt": e.prompt, "completion": e.completion}) for e in KNOWN))
    method = KLBudget(budget=None, points=10, on=str(place), every=2)
    model = learned(method, Settings(rate=2e-3, passes=8, batch=8))
    assert sum(method.right.values()) >= 8
    assert method.measure(model)[1] <= 10
    assert method.measure(learned(None, Settings(rate=2e-3, passes=8, batch=8)))[1] > 10


def test_what_was_taught_is_held_to(tiny: CausalModel) -> None:
    method = KLBudget(on="memory", rows=4)
    learner = Gradient([method], FAST)
    learner.prepare(tiny)
    learner.remember(tiny, KNOWN)
    assert len(method.anchors) == 4
    assert {e.id for e in method.anchors} <= {e.id for e in KNOWN}


def test_the_rate_falls_as_the_budget_runs_out_and_stop_stops() -> None:
    slower, stopped = KLBudget(budget=0.02, by="rate", every=2, rows=16), KLBudget(budget=0.02, by="stop", every=2, rows=16)
    learned(slower)
    learned(stopped)
    assert slower.factor < 0.5
    assert stopped.over
    assert stopped.rate(None) == 0.0  # type: ignore[arg-type]


def test_halfway_between_two_weights() -> None:
    assert _between({"w": torch.tensor([0.0, 2.0])}, {"w": torch.tensor([4.0, 2.0])}, 0.25)["w"].tolist() == [1.0, 2.0]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"budget": 0.0}, "kl_budget budget must be at least 1e-09, got 0.0"),
        ({"points": 101.0}, "kl_budget points must be between 1e-06 and 100, got 101.0"),
        ({"every": 0}, "kl_budget every must be at least 1, got 0"),
        ({"rows": 0}, "kl_budget rows must be at least 1, got 0"),
        ({"k": 0}, "kl_budget k must be at least 1, got 0"),
        ({"by": "luck"}, "kl_budget by must be 'rate', 'replay' or 'stop', got 'luck'"),
    ],
)
def test_bad_settings(settings: dict[str, object], words: str) -> None:
    with pytest.raises(SettingError, match=words):
        KLBudget(**settings)


def test_a_task_that_the_model_cannot_do_has_no_points_to_lose(tiny: CausalModel, tmp_path: Path) -> None:
    place = tmp_path / "task.jsonl"
    place.write_text(json.dumps({"prompt": "Who?", "completion": " nobody at all"}))
    with pytest.raises(DataError, match="none of the anchors right.*on='.*task.jsonl'"):
        KLBudget(points=1, on=str(place)).mix(tiny, [], Random(0))
    with pytest.raises(StateError, match="no kl_budget's .keys=.'x'."):
        KLBudget().load({"x": 1})
