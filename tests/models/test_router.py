"""Which domain a prompt belongs to: the statistics against formulas, known and new, none of them, two made one."""

from __future__ import annotations

import pytest
import torch

from everlearn import CausalModel, Example, StateError
from everlearn.models.router import BASE, SHRINK, Moments, Router, asked
from everlearn.models.wording import Prompt

PLACES = ("bank", "river", "mayor", "bridge", "museum", "station", "market", "harbour")


def prompts(model: CausalModel, *texts: str) -> list[Prompt]:
    return [tuple(tokens) for tokens in model.encoder.prompts([Example(prompt=text, completion="") for text in texts])]


@pytest.fixture
def sums(shared_tiny: CausalModel) -> list[Prompt]:
    return prompts(shared_tiny, *(f"Question: What is {a} plus {b}?\nAnswer:" for a in range(2, 8) for b in range(3, 9)))


@pytest.fixture
def people(shared_tiny: CausalModel) -> list[Prompt]:
    return prompts(shared_tiny, *(f"Who works at the {place} in {town} today?\nAnswer:" for place in PLACES for town in ("Avon", "Bree", "Cray")))


def random(count: int, seed: int) -> torch.Tensor:
    return torch.randn(count, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_moments_in_parts_are_those_of_all_at_once() -> None:
    whole, parts = random(20, 0), random(20, 0).split([3, 1, 16])
    found, wanted = Moments.of(parts[0]) + Moments.of(parts[1]) + Moments.of(parts[2]), Moments.of(whole)
    assert found.count == wanted.count == 20
    assert torch.allclose(found.mean, whole.mean(0))
    assert torch.allclose(found.scatter, torch.cov(whole.T, correction=0) * 20)


def test_a_prompt_is_the_mean_over_its_tokens(shared_tiny: CausalModel) -> None:
    router = Router(shared_tiny, features=8)
    table = shared_tiny.module.get_input_embeddings().weight.detach()
    each = [torch.relu(table[token] / table[token].norm() @ router._matrix) for token in (5, 9, 5)]
    assert torch.allclose(router.embed([(5, 9, 5), (7,)])[0].float(), torch.stack(each).mean(0), atol=1e-6)


def test_distances_are_mahalanobis_in_the_shrunk_covariance(shared_tiny: CausalModel, sums: list[Prompt], people: list[Prompt]) -> None:
    router = Router(shared_tiny, features=6)
    router.learn("a", sums)
    router.learn("b", people)
    a, b = router.embed(sums), router.embed(people)
    within = ((a - a.mean(0)).T @ (a - a.mean(0)) + (b - b.mean(0)).T @ (b - b.mean(0))) / (len(a) + len(b))
    metric = torch.linalg.inv((1 - SHRINK) * within + SHRINK * within.trace() / 6 * torch.eye(6))
    off = a[0] - b.mean(0)
    assert float(router.distances(a[:1])[0, 1]) == pytest.approx(float(off @ metric @ off) ** 0.5, rel=1e-4)
    assert router.choose([*sums, *people]) == ["a"] * len(sums) + ["b"] * len(people)


def test_learned_in_parts_a_domain_is_the_same_and_nothing_grows(shared_tiny: CausalModel, sums: list[Prompt]) -> None:
    once, parts = Router(shared_tiny, features=16), Router(shared_tiny, features=16)
    once.learn("a", sums)
    parts.learn("a", sums[:7])
    parts.learn("a", sums[7:])
    assert torch.allclose(parts.means, once.means, atol=1e-6)
    assert torch.allclose(parts.scatter, once.scatter, atol=1e-5)
    assert parts.counts == {"a": len(sums)}
    assert parts.state()["scatter"].shape == (16, 16)  # type: ignore[attr-defined]


def test_new_prompts_are_told_from_known_ones(shared_tiny: CausalModel, sums: list[Prompt], people: list[Prompt]) -> None:
    router = Router(shared_tiny, features=128)
    assert router.newness(sums) == 1.0
    router.learn("a", sums[::2])
    assert router.newness(people) > 0.9
    assert router.newness(sums[1::2]) < 0.6
    assert router.newness(people[:1]) == 0.0, "one prompt alone cannot be told from what is known"
    assert router.nearest(people) == "a"


def test_what_is_far_from_every_domain_goes_to_the_base(shared_tiny: CausalModel, sums: list[Prompt], people: list[Prompt]) -> None:
    router = Router(shared_tiny, features=128)
    assert router.choose(sums[:2]) == [BASE, BASE]
    router.learn("a", sums)
    assert set(router.choose(sums)) == {"a"}
    assert set(router.choose(people)) == {BASE}
    never = Router(shared_tiny, features=128, unknown=1e9)
    never.learn("a", sums)
    assert set(never.choose(people)) == {"a"}


def test_two_domains_made_one_are_as_if_they_had_always_been(shared_tiny: CausalModel, sums: list[Prompt], people: list[Prompt]) -> None:
    merged, always = Router(shared_tiny, features=16), Router(shared_tiny, features=16)
    for name, given in (("a", sums[:9]), (BASE, people), ("b", sums[9:20]), ("c", people[:5])):
        merged.learn(name, given)
        always.learn("a" if name == "b" else name, given)
    assert merged.closest() == ("a", "b")
    merged.merge("a", "b")
    assert merged.names == always.names == ["a", BASE, "c"]
    assert merged.counts == always.counts
    assert torch.allclose(merged.means, always.means, atol=1e-6)
    assert torch.allclose(merged.scatter, always.scatter, atol=1e-5)
    assert torch.equal(merged.grams, always.grams)


def _orders() -> tuple[list[Prompt], list[Prompt]]:
    return [(5, 6, 7, n) for n in range(20, 40)], [(7, 6, 5, n) for n in range(20, 40)]


def test_pairs_tell_domains_apart_whose_means_are_the_same(shared_tiny: CausalModel) -> None:
    """The same tokens in another order have one mean; the pairs they stand in differ."""
    router, forward, backward = Router(shared_tiny, features=16), *_orders()
    router.learn("forward", forward)
    router.learn("backward", backward)
    assert router.choose([*forward, *backward]) == ["forward"] * 20 + ["backward"] * 20
    assert [router.nearest(forward), router.nearest(backward)] == ["forward", "backward"]


def test_a_state_from_before_tokens_were_counted_is_routed_by_distances(shared_tiny: CausalModel) -> None:
    """Also when it has learned more: counts of a part of a domain would send the rest of it elsewhere."""
    router, older, forward, backward = Router(shared_tiny, features=16), Router(shared_tiny, features=16), *_orders()
    router.learn("forward", forward)
    router.learn("backward", backward)
    older.load({name: value for name, value in router.state().items() if name != "grams"})
    asked = [*forward, *backward]
    for _ in range(2):
        near = [older.names[at] for at in (-older.distances(older.embed(asked)).square() / 2).argmax(1).tolist()]
        assert older.choose(asked) == near != router.choose(asked)
        older.learn("backward", [(7, 6, 5, 60)] * 2)


def test_a_domain_that_is_too_far_is_not_chosen_by_its_words(shared_tiny: CausalModel, monkeypatch: pytest.MonkeyPatch) -> None:
    router, forward, backward = Router(shared_tiny, features=16), *_orders()
    router.learn("backward", backward)
    router.learn("forward", forward)
    monkeypatch.setattr(router, "distances", lambda vectors: torch.tensor([[1.0, 1.1]], dtype=torch.float64))
    router.near = (2.0, 0.0)
    assert router.choose(forward[:1]) == ["forward"], "its pairs say so, though it lies farther"
    router.near = (1.05, 0.0)
    assert router.choose(forward[:1]) == ["backward"]


def test_nothing_asked_is_nothing_chosen(shared_tiny: CausalModel, sums: list[Prompt]) -> None:
    router = Router(shared_tiny, features=16)
    router.learn("a", sums)
    assert router.choose([]) == []


def test_a_saved_router_goes_on_the_same(shared_tiny: CausalModel, sums: list[Prompt], people: list[Prompt]) -> None:
    one, again = Router(shared_tiny, features=16), Router(shared_tiny, features=16)
    one.learn("a", sums)
    again.load(one.state())
    one.learn("b", people)
    again.learn("b", people)
    assert torch.equal(one.scatter, again.scatter)
    assert one.near == again.near
    with pytest.raises(StateError, match=r"other features \(features=16\)"):
        Router(shared_tiny, features=8).load(one.state())


def test_one_prompt_alone_is_a_domain_without_a_limit(shared_tiny: CausalModel, sums: list[Prompt]) -> None:
    router = Router(shared_tiny, features=8)
    router.learn("a", sums[:1])
    assert router.farthest() == float("inf")
    assert router.choose(sums) == ["a"] * len(sums)


def test_a_row_is_routed_by_its_prompt_and_a_text_by_all_of_it(shared_tiny: CausalModel) -> None:
    prompted, text = shared_tiny.encoder.rows([Example(prompt="Question: Who?\nAnswer:", completion=" Ann"), Example(text="The mayor opened it.")])
    start = len(shared_tiny.encoder.start)
    assert asked(prompted, start) == prompted.tokens[: prompted.learned[0]]
    assert asked(text, start) == text.tokens
