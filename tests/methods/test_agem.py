"""A-GEM: the projection by hand, and what it promises of a real step."""

from __future__ import annotations

from random import Random

import pytest
import torch

from everlearn import AGEM, CausalModel, Example, Experience, Gradient, Method, SettingError, Settings, StateError, Step, load_model
from everlearn.learn.fit import objective_gradient
from everlearn.learn.objectives.base import Supervised
from everlearn.methods.agem import project

OLD = tuple(Example(prompt=f"Question: What is {n} plus 2?\nAnswer:", completion=f" {n + 2}") for n in range(8))
NEW = tuple(Example(prompt=f"Question: What is {n} plus 3?\nAnswer:", completion=" 0") for n in range(8))
SETTINGS = Settings(rate=1e-3, passes=1, batch=4)


def test_the_projection_is_the_papers_over_all_tensors_together() -> None:
    """g = (3, -4 | 1), ref = (0, 1 | 2): <g, ref> = -2, <ref, ref> = 5, so g + 0.4 ref = (3, -3.6 | 1.8), at right angles to ref."""
    gradient = {"a": torch.tensor([3.0, -4.0]), "b": torch.tensor([1.0])}
    reference = {"a": torch.tensor([0.0, 1.0]), "b": torch.tensor([2.0])}
    assert project(gradient, reference)
    assert torch.allclose(gradient["a"], torch.tensor([3.0, -3.6]))
    assert torch.allclose(gradient["b"], torch.tensor([1.8]))
    agreeing = {"a": torch.tensor([3.0, 4.0]), "b": torch.tensor([1.0])}
    assert not project(agreeing, reference)
    assert agreeing["a"].tolist() == [3, 4]


class Watch(Method):
    """How each step's change lies to the reference's gradient: the cosine."""

    stage = "mask"
    wants_before = True

    def __init__(self, watched: AGEM) -> None:
        self.watched, self.cosines = watched, list[float]()

    def stepped(self, model: CausalModel, step: Step) -> None:
        assert step.before is not None
        change = torch.cat([(weight - step.before[name]).flatten() for name, weight in model.state().items()])
        reference = torch.cat([self.watched._reference[name].flatten() for name in model.trained()])
        self.cosines.append(float(torch.cosine_similarity(change, reference, 0)))


def test_a_projected_change_never_raises_the_remembered_loss_where_a_projected_gradient_may(tiny: CausalModel) -> None:
    cosines = []
    for model, method in ((tiny, AGEM(share=5.0, change=True)), (load_model("tiny"), AGEM(share=5.0))):
        watch = Watch(method)
        method.end(model, Step(0, 0, 0.0, model.encoder.rows(OLD), lambda rows: {}), Random(0))
        Gradient([method, watch], SETTINGS).learn(model, Experience("e", NEW))
        cosines.append(max(watch.cosines))
    assert cosines[0] <= 1e-4
    assert cosines[1] > 1e-3


def test_a_gradient_against_the_past_is_made_to_agree(tiny: CausalModel) -> None:
    method = AGEM(share=5.0)
    rows = tiny.encoder.rows(OLD)
    step = Step(1, 1, 0.1, tiny.encoder.rows(NEW), lambda given: objective_gradient(tiny, given, Supervised(), SETTINGS))
    method.end(tiny, Step(0, 0, 0.0, rows, step.gradient), Random(0))
    assert method.draw(tiny, step, Random(1)) == []
    wanted = step.gradient(method._drawn)
    for name, weight in tiny.trained().items():
        weight.grad = -wanted[name]
    method.gradients(tiny, step)
    assert max(float(weight.grad.abs().max()) for weight in tiny.trained().values() if weight.grad is not None) < 1e-6


def test_what_the_new_rows_answer_differently_leaves_the_memory(shared_tiny: CausalModel) -> None:
    method = AGEM()
    method.end(shared_tiny, Step(0, 0, 0.0, shared_tiny.encoder.rows(OLD), lambda rows: {}), Random(0))
    method.begin(shared_tiny, shared_tiny.encoder.rows([Example(prompt=OLD[0].prompt, completion=" 9")]))
    assert [e.id for e in method.memory.buffer.examples()] == [e.id for e in OLD[1:]]


def test_settings_and_states_are_refused() -> None:
    with pytest.raises(SettingError, match="agem share must be between 0 and 10, got 11"):
        AGEM(share=11)
    with pytest.raises(SettingError, match="agem rows must be at least 1, got 0"):
        AGEM(rows=0)
    with pytest.raises(StateError, match=r"no buffer.*\['kind'\]"):
        AGEM().load({"kind": "reservoir"})
