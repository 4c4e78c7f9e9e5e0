"""average and merge against cases worked by hand; what they leave is what the others measure."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest
import torch

from everlearn import EWC, Average, CausalModel, Example, Experience, Gradient, Merge, Method, SettingError, Settings, StateError, Step, load_model
from everlearn.checks import methods as checks
from everlearn.methods.merge import mean_loss
from everlearn.methods.task_vectors import elected, larger, mean, thinned, trimmed

EXAMPLES = tuple(Example(prompt=f"Question: What is {n} plus 2?\nAnswer:", completion=f" {n + 2}") for n in range(12))
OTHERS = tuple(Example(prompt=f"Question: What is {n} plus 9?\nAnswer:", completion=" many") for n in range(12))
FAST = Settings(rate=2e-3, passes=4, batch=6)


class Last(Method):
    """Keeps every step's weights."""

    stage = "mask"

    def __init__(self) -> None:
        self.seen: list[dict[str, torch.Tensor]] = []

    def stepped(self, model: CausalModel, step: Step) -> None:
        self.seen.append(model.state())


def test_the_model_becomes_the_moving_average_of_its_weights(tiny: CausalModel) -> None:
    last, start, name = Last(), tiny.state(), "model.norm.weight"
    Gradient([Average(decay=0.8), last], FAST).learn(tiny, Experience("1", OTHERS))
    wanted = start[name]
    for weights in last.seen:
        wanted = 0.8 * wanted + 0.2 * weights[name]
    assert torch.allclose(tiny.state()[name], wanted, atol=1e-6)
    assert not torch.allclose(tiny.state()[name], last.seen[-1][name], atol=1e-5)


def test_a_ramp_forgets_the_start_of_a_short_experience(tiny: CausalModel) -> None:
    last, name = Last(), "model.norm.weight"
    start = tiny.state()[name]
    Gradient([Average(decay=0.999, ramp=True), last], FAST).learn(tiny, Experience("1", OTHERS))
    wanted = start
    for number, weights in enumerate(last.seen, 1):
        decay = (1 + number) / (10 + number)
        wanted = decay * wanted + (1 - decay) * weights[name]
    assert torch.allclose(tiny.state()[name], wanted, atol=1e-6)


@pytest.mark.parametrize("mover", [lambda: Average(decay=0.8), lambda: Merge(alpha=0.5)])
def test_importances_and_anchors_are_those_of_the_weights_that_stay(tiny: CausalModel, mover: Callable[[], Method]) -> None:
    ewc = EWC(strength=1.0, samples=2)
    Gradient([ewc, mover()], FAST).learn(tiny, Experience("1", OTHERS))
    assert all(torch.equal(ewc.anchor[name], value) for name, value in tiny.state().items())


def test_wise_goes_part_of_the_way(tiny: CausalModel, load_tiny: Callable[[], CausalModel]) -> None:
    plain, start = load_tiny(), tiny.state()
    Gradient([], FAST).learn(plain, Experience("1", OTHERS))
    Gradient([Merge(alpha=0.25)], FAST).learn(tiny, Experience("1", OTHERS))
    for name, value in tiny.state().items():
        assert torch.allclose(value, start[name] + 0.25 * (plain.state()[name] - start[name]), atol=1e-6), name


def test_wise_judges_on_rows_held_out_and_on_remembered_ones(tiny: CausalModel) -> None:
    merge, last = Merge(held=0.25), Last()
    learner = Gradient([merge, last], FAST)
    learner.remember(tiny, EXAMPLES)
    start = tiny.state()
    mixed = merge.mix(tiny, tiny.encoder.rows(OTHERS) * 2, Random(0))
    assert len(merge._apart) == 3
    assert len(mixed) == 18
    assert not {row.id for row in mixed} & merge._apart
    learner.learn(tiny, Experience("1", OTHERS))
    fresh = [row for row in tiny.encoder.rows(OTHERS) if row.id in merge._apart]
    assert {row.id for row in fresh} == merge._apart
    losses = {}
    after = tiny.state()
    for alpha in (1.0, 0.75, 0.5, 0.25):
        tiny.load({name: torch.lerp(start[name], value, alpha) for name, value in last.seen[-1].items()})
        losses[alpha] = mean_loss(tiny, fresh) + mean_loss(tiny, tiny.encoder.rows(EXAMPLES))
    assert merge.chosen == min(losses, key=lambda alpha: losses[alpha])
    assert all(torch.allclose(value, torch.lerp(start[name], last.seen[-1][name], merge.chosen), atol=1e-6) for name, value in after.items())
    assert {e.id for e in merge.memory.examples()} == {e.id for e in (*EXAMPLES, *OTHERS)}


def test_with_nothing_to_lose_wise_keeps_what_was_learned(tiny: CausalModel) -> None:
    merge = Merge(held=0)
    Gradient([merge], FAST).learn(tiny, Experience("1", OTHERS))
    assert merge.chosen == 1.0


def test_a_mean_loss_is_over_tokens(tiny: CausalModel) -> None:
    rows = tiny.encoder.rows(EXAMPLES)
    with torch.no_grad():
        batch = tiny.batch(rows)
        wanted = torch.nn.functional.cross_entropy(tiny.logits(batch).logits, batch.targets)
    assert mean_loss(tiny, rows) == pytest.approx(float(wanted), rel=1e-4)


def test_task_vectors_by_hand() -> None:
    one, two = {"a": torch.tensor([4.0, -1.0]), "b": torch.tensor([2.0, 0.5])}, {"a": torch.tensor([-2.0, -3.0]), "b": torch.tensor([2.0, -0.5])}
    assert [value.tolist() for value in trimmed(one, 0.5).values()] == [[4.0, 0.0], [2.0, 0.0]]
    assert [value.tolist() for value in elected([one, two]).values()] == [[4.0, -2.0], [2.0, 0.0]]
    assert [value.tolist() for value in mean([one, two]).values()] == [[1.0, -2.0], [2.0, 0.0]]
    assert [value.tolist() for value in larger(one, two).values()] == [[4.0, -3.0], [2.0, 0.5]]


def test_dropping_and_rescaling_keeps_the_sum() -> None:
    found = thinned({"w": torch.ones(100_000)}, 0.1, Random(0))["w"]
    assert sorted(set(found.tolist())) == [0.0, 10.0]
    assert float(found.mean()) == pytest.approx(1.0, rel=0.05)


@pytest.mark.parametrize("kind", ["ties", "dare", "magmax"])
def test_task_vectors_are_merged_from_the_first_weights(tiny: CausalModel, kind: str) -> None:
    last, merge, name = Last(), Merge(kind=kind, share=1.0, alpha=0.5), "model.norm.weight"
    start = tiny.state()[name]
    learner, ends = Gradient([merge, last], FAST), []
    for number, rows in enumerate((OTHERS, EXAMPLES)):
        learner.learn(tiny, Experience(str(number), rows))
        ends.append(last.seen[-1][name] - start)
    both = torch.stack(ends)
    agree = torch.sign(both) == torch.sign(both.sum(0))
    wanted = {"ties": (both * agree).sum(0) / agree.sum(0), "dare": both.mean(0), "magmax": torch.where(both[1].abs() > both[0].abs(), both[1], both[0])}
    assert torch.allclose(tiny.state()[name], start + 0.5 * wanted[kind], atol=1e-5)


def test_only_the_newest_vectors_are_kept_and_magmax_keeps_one(tiny: CausalModel) -> None:
    for merge, count in ((Merge(kind="ties", vectors=2), 2), (Merge(kind="magmax"), 1)):
        merge.begin(tiny, [])
        for _ in range(3):
            merge.end(tiny, Step(1, 1, 0.1, [], lambda rows: {}), Random(0))
        assert len(merge.vectors) == count


@pytest.mark.parametrize("kind", ["ties", "dare"])
def test_every_kind_resumes(kind: str) -> None:
    made = type("Merged", (Merge,), {"active": {"kind": kind}})
    assert checks.resume_is_uninterrupted(made, load_model)


def test_a_foreign_state_is_refused() -> None:
    with pytest.raises(StateError, match="is no merge's"):
        Merge().load({"origin": {}})


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Average(decay=1), "average decay must be between 0 and 0.999999, got 1"),
        (lambda: Merge(kind="slerp"), "merge kind must be one of wise, ties, dare, magmax, got 'slerp'"),
        (lambda: Merge(alpha=2), "merge alpha must be between 0 and 1, got 2"),
        (lambda: Merge(kind="ties", alpha=-1), "merge alpha must be between 0 and 10, got -1"),
        (lambda: Merge(share=0), "merge share must be between 1e-06 and 1, got 0"),
        (lambda: Merge(held=0.9), "merge held must be between 0 and 0.5, got 0.9"),
        (lambda: Merge(rows=0), "merge rows must be at least 1, got 0"),
        (lambda: Merge(vectors=0), "merge vectors must be at least 1, got 0"),
    ],
)
def test_settings_out_of_range_are_refused(make: Callable[[], Method], words: str) -> None:
    with pytest.raises(SettingError, match=words):
        make()
