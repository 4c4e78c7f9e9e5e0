"""With adapters, no method holds anything of the size of the frozen base, while it learns and afterwards."""

from __future__ import annotations

import gc

import pytest
import torch

from everlearn import CausalModel, Experience, Gradient, Lora, Settings, load_model
from everlearn.checks.methods import small_stream
from everlearn.errors import ModelError
from everlearn.methods import BY_NAME
from everlearn.methods.base import Method, State, Step

LEARNS_WEIGHTS = {"expand", "subspace"}  # these put layers of their own in, or learn the weights themselves, and take no adapters


def storages() -> dict[int, int]:
    """Every live tensor's memory, once: bytes by address."""
    found = {}
    for thing in gc.get_objects():
        if type(thing) in (torch.Tensor, torch.nn.Parameter):
            storage = thing.untyped_storage()
            found[storage.data_ptr()] = storage.nbytes()
    return found


def most_held(method: Method) -> tuple[int, int]:
    """Bytes of the frozen weights, and the most that lived beside the model in the second of two experiences."""
    model = load_model("tiny", Lora(rank=1))
    frozen = sum(p.numel() * p.element_size() for p in model.module.parameters() if not p.requires_grad)
    base, experiences = small_stream()
    learner = Gradient([method], Settings(rate=1e-3, passes=1, batch=12))
    learner.prepare(model)
    learner.remember(model, base[:12])
    learner.learn(model, Experience("1", experiences[0].train[:12]))
    held: list[int] = []

    def look(step: Step, state: object) -> None:
        own = {p.untyped_storage().data_ptr() for p in model.module.parameters()}
        held.append(sum(size for place, size in storages().items() if place not in own and place not in before))

    gc.collect()
    before = {place for place, _ in storages().items()} - kept_by(learner)
    learner.learn(model, Experience("2", experiences[1].train[:12]), look)
    look(Step(0, 0, 0.0, (), dict), None)
    return frozen, max(held)


def kept_by(learner: Gradient) -> set[int]:
    """Addresses of what the learner's state holds."""

    def walk(state: object) -> set[int]:
        if isinstance(state, torch.Tensor):
            return {state.untyped_storage().data_ptr()}
        return set().union(*(walk(part) for part in state.values())) if isinstance(state, dict) else set()

    return walk(learner.state())


@pytest.mark.parametrize("name", [name for name in BY_NAME if name not in LEARNS_WEIGHTS])
def test_no_method_holds_a_copy_of_the_frozen_base(name: str) -> None:
    frozen, held = most_held(BY_NAME[name](**BY_NAME[name].active))
    assert held < frozen / 2, f"{name} holds {held:,} bytes beside a frozen base of {frozen:,}"


def test_a_method_that_clones_the_base_is_seen() -> None:
    class Cloning(Method):
        def begin(self, model: CausalModel, rows: object) -> None:  # type: ignore[override]
            self.copy = {name: value.clone() for name, value in model.module.state_dict().items()}

        def state(self) -> State:
            return {}

    frozen, held = most_held(Cloning())
    assert held > frozen


@pytest.mark.parametrize("name", sorted(LEARNS_WEIGHTS))
def test_what_takes_no_adapters_says_so(name: str) -> None:
    with pytest.raises(ModelError):
        BY_NAME[name](**BY_NAME[name].active).prepare(load_model("tiny", Lora(rank=1)))
