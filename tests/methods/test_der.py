"""DER++: whose words are kept, from when, and what they cost."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest
import torch

from everlearn import DER, Batch, CausalModel, Example, Experience, Gradient, Method, Out, SettingError, Settings, StateError, Step
from everlearn.methods.der import Said

OLD = tuple(Example(prompt=f"Question: What is {n} plus 2?\nAnswer:", completion=f" {n + 2}") for n in range(9))
NEW = tuple(Example(prompt=f"Question: Who is the mayor of town {n}?\nAnswer:", completion=" Ann") for n in range(9))
SETTINGS = Settings(rate=1e-3, passes=2, batch=3)


class Heard(Method):
    """The logits of each row at its last step, as the loop showed them."""

    def __init__(self) -> None:
        self.logits: dict[str, torch.Tensor] = {}

    def observe(self, model: CausalModel, batch: Batch, out: Out) -> None:
        for place, row in enumerate(batch.rows):
            self.logits[row.id] = out.logits[batch.row == place]


def past(model: CausalModel, method: DER) -> DER:
    method.end(model, Step(0, 0, 0.0, model.encoder.rows(OLD), lambda rows: {}), Random(0))
    return method


def test_what_is_kept_is_what_the_model_said_when_it_learned_the_row(tiny: CausalModel) -> None:
    method, heard, seen = DER(rows=4, k=5), Heard(), list[int]()
    watch = Heard()
    watch.observe = lambda model, batch, out: seen.append(len(method.said))  # type: ignore[method-assign]
    Gradient([method, heard, watch], SETTINGS).learn(tiny, Experience("e", NEW))
    held = {e.id for e in method.buffer.examples()}
    assert len(held) == 4
    assert set(method.said) == held
    assert max(seen) <= 4, "logits of rows that will not stay were kept"
    for key, said in method.said.items():
        top = heard.logits[key].topk(5, 1)
        assert torch.equal(said.ids, top.indices)
        assert torch.allclose(said.logits, torch.cat([top.values, heard.logits[key].logsumexp(1, keepdim=True)], 1))
    row = tiny.encoder.rows([next(e for e in NEW if e.id in held)])[0]
    after = tiny.logits(tiny.batch([row])).logits.detach().topk(5, 1).values
    assert not torch.allclose(method.said[row.id].logits[:, :-1], after, atol=1e-3), "taken after the experience, not when it was learned"


@pytest.mark.parametrize("distance", ["kl", "mse"])
def test_the_distance_is_that_worked_by_hand(shared_tiny: CausalModel, distance: str) -> None:
    """Three tokens, two of them kept; then (2, 1, 0), now (1, 1, 1): squares 1 and 0, mean 0.5; KL of (p1, p2, p3) from a third each."""
    row = replace(shared_tiny.encoder.rows(OLD[:1])[0], from_memory=True)
    method = DER(strength=0.7, distance=distance, k=2)  # type: ignore[arg-type]
    n = len(row.learned)
    then = torch.tensor([2.0, 1.0, 0.0])
    method.said = {row.id: Said(torch.tensor([[0, 1]] * n), torch.tensor([[2.0, 1.0, float(then.logsumexp(0))]] * n))}
    batch = shared_tiny.batch([row, shared_tiny.encoder.rows(NEW[:1])[0]])
    found = method.loss(shared_tiny, batch, Out(torch.ones(len(batch.targets), 3)))
    p = then.softmax(0)
    wanted = 0.5 if distance == "mse" else float((p * (p * 3).log()).sum())
    assert found.tolist() == pytest.approx([0.7 * wanted] * n, rel=1e-5)
    assert method.count(batch) == n


def test_its_gradient_leads_back_to_what_was_said(tiny: CausalModel) -> None:
    method = past(tiny, DER())
    rows = tiny.encoder.rows(OLD, from_memory=True)
    batch = tiny.batch(rows)
    assert float(method.loss(tiny, batch, tiny.logits(batch)).detach().abs().max()) < 1e-4
    with torch.no_grad():
        for weight in tiny.trained().values():
            weight.add_(0.02 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(1)))
    far = method.loss(tiny, batch, tiny.logits(batch)).sum()
    assert far.item() > 0.01
    gradients = torch.autograd.grad(far, list(tiny.trained().values()))
    with torch.no_grad():
        for weight, gradient in zip(tiny.trained().values(), gradients, strict=True):
            weight.sub_(1e-4 * gradient)
    assert method.loss(tiny, batch, tiny.logits(batch)).sum().item() < far.item()


def test_remembered_rows_weigh_what_labels_says_and_newer_answers_win(shared_tiny: CausalModel) -> None:
    method = past(shared_tiny, DER(labels=0.25, share=1.0))
    changed = [Example(prompt=OLD[0].prompt, completion=" 9"), *NEW]
    rows = method.mix(shared_tiny, shared_tiny.encoder.rows(changed), Random(1))
    remembered = [row for row in rows if row.from_memory]
    assert {row.weight for row in remembered} == {0.25}
    assert {row.weight for row in rows if not row.from_memory} == {1.0}
    assert OLD[0].id not in {row.id for row in remembered}
    assert OLD[0].id not in {e.id for e in method.coming.examples()}
    assert sum(len(row.tokens) for row in remembered) >= sum(len(row.tokens) for row in rows if not row.from_memory)


def test_rows_another_method_remembers_are_asked_before_the_experience(shared_tiny: CausalModel) -> None:
    method = DER()
    rows = shared_tiny.encoder.rows(OLD, from_memory=True)
    method.begin(shared_tiny, [*rows, *shared_tiny.encoder.rows(NEW)])
    assert set(method.said) == {row.id for row in rows}
    assert DER(strength=0).count(shared_tiny.batch(rows)) == 0


def test_settings_and_states_are_refused() -> None:
    for name, value in (("strength", -1), ("labels", -1), ("share", -1)):
        with pytest.raises(SettingError, match=f"der {name} must be .*, got -1"):
            DER(**{name: value})
    with pytest.raises(SettingError, match="der rows must be at least 1, got 0"):
        DER(rows=0)
    with pytest.raises(SettingError, match="der k must be at least 1, got 0"):
        DER(k=0)
    with pytest.raises(SettingError, match="der distance must be 'kl' or 'mse', got 'l2'"):
        DER(distance="l2")  # type: ignore[arg-type]
    with pytest.raises(StateError, match=r"no buffers.*\['kind'\]"):
        DER().load({"kind": "reservoir"})
