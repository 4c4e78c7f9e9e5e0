"""Subspace: what is protected stays, on both sides, whatever the optimizer proposes."""

from __future__ import annotations

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from everlearn import CausalModel, Example, Experience, Gradient, Lora, Method, ModelError, SettingError, Settings, StateError, Step, Subspace, load_model
from everlearn.methods import subspace
from everlearn.methods.subspace import protect

ROWS = tuple(Example(prompt=f"Question: What is {n} plus 2?\nAnswer:", completion=f" {n + 2}") for n in range(12))
SETTINGS = Settings(rate=1e-3, passes=2, batch=6, weight_decay=0.01)


def leak(change: torch.Tensor, u: torch.Tensor, v: torch.Tensor) -> float:
    """Share of the change that is not (I - u u^T) change (I - v v^T)."""
    free = change - u @ (u.T @ change)
    free = free - (free @ v) @ v.T
    return float((change - free).norm() / change.norm())


def whole(model: CausalModel) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in model.module.state_dict().items()}


def top(weight: torch.Tensor, share: float) -> tuple[torch.Tensor, torch.Tensor]:
    u, _, vt = torch.linalg.svd(weight.double(), full_matrices=False)
    rank = int(share * min(weight.shape))
    return u[:, :rank], vt[:rank].T


def test_a_change_is_projected_on_both_sides_by_the_formula() -> None:
    random = torch.Generator().manual_seed(0)
    for shape in ((12, 8), (8, 12)):
        weight, change = (torch.randn(shape, generator=random, dtype=torch.float64) for _ in range(2))
        u, v = top(weight, 0.5)
        moved = weight + change
        protect(weight, 4).restore(moved)
        left, right = torch.eye(shape[0], dtype=torch.float64) - u @ u.T, torch.eye(shape[1], dtype=torch.float64) - v @ v.T
        assert torch.allclose(moved - weight, left @ change @ right, atol=1e-12)


def test_with_adam_in_float64_less_than_a_millionth_of_a_millionth_leaks(tiny: CausalModel) -> None:
    tiny.module.double()
    before = whole(tiny)
    learner = Gradient([Subspace(share=0.5)], SETTINGS)
    learner.prepare(tiny)
    learner.learn(tiny, Experience("e", ROWS))
    after, learned = whole(tiny), tiny.trained()
    assert len(learned) == 7 * len(tiny.module.model.layers)
    for name in learned:
        assert leak(after[name] - before[name], *top(before[name], 0.5)) < 1e-12
        assert float((after[name] - before[name]).norm() / before[name].norm()) > 1e-3
    assert all(torch.equal(after[name], value) for name, value in before.items() if name not in learned)


def test_the_subspace_is_that_of_the_present_weights_in_each_experience(tiny: CausalModel) -> None:
    learner = Gradient([Subspace(share=0.25)], SETTINGS)
    learner.prepare(tiny)
    name = "model.layers.0.mlp.down_proj.weight"
    for number in range(2):
        before = tiny.state()[name].double()
        learner.learn(tiny, Experience(f"e{number}", ROWS))
        assert leak(tiny.state()[name].double() - before, *top(before, 0.25)) < 1e-3  # float32's rounding of the weights themselves


def test_without_the_projection_half_of_the_change_would_leak(tiny: CausalModel) -> None:
    before = tiny.state()
    Gradient([], SETTINGS).learn(tiny, Experience("e", ROWS))
    name = "model.layers.0.mlp.down_proj.weight"
    assert leak((tiny.state()[name] - before[name]).double(), *top(before[name], 0.5)) > 0.5


def test_a_large_weight_is_protected_without_a_whole_decomposition(monkeypatch: pytest.MonkeyPatch) -> None:
    random = torch.Generator().manual_seed(0)
    for shape in ((96, 64), (64, 96)):
        weight = torch.randn(shape, generator=random) @ torch.diag(0.9 ** torch.arange(shape[1]))
        exact = protect(weight, 4)
        with monkeypatch.context() as patch:
            patch.setattr(subspace, "SMALL", 32)
            state, sketched = torch.get_rng_state(), protect(weight, 4)
            assert torch.equal(torch.get_rng_state(), state)
            assert protect(weight, 17).left is None, "a sketch of a large share is no cheaper"
        assert sketched.left is not None
        assert torch.allclose(sketched.s, exact.s, rtol=1e-4)
        assert float((sketched.u.T @ exact.u).abs().diagonal().min()) > 0.999
        change = 1e-2 * torch.randn(shape, generator=random)
        moved = weight + change
        sketched.restore(moved)
        assert leak((moved - weight).double(), sketched.u.double(), sketched.v.double()) < 1e-4


def test_half_precision_weights_are_projected_in_float32() -> None:
    weight = torch.randn(12, 8, generator=torch.Generator().manual_seed(0)).bfloat16()
    kept, moved = protect(weight, 4), (weight + 0.5).bfloat16()
    kept.restore(moved)
    assert kept.u.dtype == torch.float32
    assert moved.dtype == torch.bfloat16
    change = moved.double() - weight.double()
    assert leak(change, kept.u.double(), kept.v.double()) < 0.05  # bfloat16 keeps 8 bits
    assert float(change.norm()) > 0.1


def test_the_weights_of_gpt2_are_protected_the_same_way(shared_tiny: CausalModel) -> None:
    torch.manual_seed(0)
    config = GPT2Config(vocab_size=1509, n_embd=32, n_layer=2, n_head=2, n_positions=64, bos_token_id=0, eos_token_id=0)
    model = CausalModel(GPT2LMHeadModel(config).double(), shared_tiny.tokenizer)
    before, learner = whole(model), Gradient([Subspace()], SETTINGS)
    learner.prepare(model)
    learner.learn(model, Experience("e", ROWS))
    assert len(model.trained()) == 8
    for name in model.trained():
        assert leak(whole(model)[name] - before[name], *top(before[name], 0.5)) < 1e-12


def test_between_experiences_nothing_is_kept(tiny: CausalModel) -> None:
    class Look(Method):
        def stepped(self, model: CausalModel, step: Step) -> None:
            self.seen = method.state()

    method, look = Subspace(), Look()
    learner = Gradient([method, look], SETTINGS)
    learner.prepare(tiny)
    learner.learn(tiny, Experience("e", ROWS))
    assert look.seen
    assert method.state() == {}


def test_wrong_settings_models_and_states_are_refused() -> None:
    with pytest.raises(SettingError, match=r"subspace share must be between 0 and 0.999, got 1"):
        Subspace(share=1)
    with pytest.raises(ModelError, match="the model has adapters"):
        Subspace().prepare(load_model("tiny", lora=Lora(rank=2)))
    Subspace(share=0).prepare(load_model("tiny", lora=Lora(rank=2)))
    with pytest.raises(StateError, match=r"no subspace's \(keys=\['seen'\]\)"):
        Subspace().load({"seen": 1})
