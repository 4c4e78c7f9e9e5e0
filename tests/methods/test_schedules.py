"""The schedules' factors against their formulas; the loop uses them."""

from __future__ import annotations

from collections.abc import Callable
from math import cos, pi, sqrt
from random import Random

import pytest
import torch

from everlearn import WSD, Autoregressive, CausalModel, Example, Experience, Finch, Gradient, Method, Rewarm, RSqrt, SettingError, Settings, StateError, Step
from everlearn.types import Out

EXAMPLES = tuple(Example(prompt=f"Question: What is {n} plus 2?\nAnswer:", completion=f" {n + 2}") for n in range(8))

HARD = tuple(Example(prompt=e.prompt, completion=" many years ago") for e in EXAMPLES)


def course(method: Method, total: int) -> list[float]:
    return [method.rate(Step(number, total, 1.0, [], lambda rows: {})) for number in range(1, total + 1)]


class Watch(Method):
    """Notes the rate each step was taken with."""

    def __init__(self) -> None:
        self.seen: list[float] = []

    def stepped(self, model: CausalModel, step: Step) -> None:
        self.seen.append(step.rate)


def test_rewarm_rises_then_falls_to_its_floor() -> None:
    found = course(Rewarm(warmup=0.1, floor=0.1), 100)
    assert found[:10] == pytest.approx([k / 10 for k in range(1, 11)])
    assert found[10:] == pytest.approx([0.1 + 0.9 * (1 + cos(pi * (k - 11) / 90)) / 2 for k in range(11, 101)])
    assert found[-1] < 0.101


def test_wsd_rises_stays_and_falls() -> None:
    found = course(WSD(warmup=0.1, cooldown=0.2, floor=0.5), 100)
    assert found[:10] == pytest.approx([k / 10 for k in range(1, 11)])
    assert found[10:80] == [1.0] * 70
    assert found[80:] == pytest.approx([0.5 + 0.5 * (101 - k) / 20 for k in range(81, 101)])
    root = course(WSD(warmup=0, cooldown=0.2, shape="sqrt"), 100)
    assert root[80:] == pytest.approx([1 - sqrt(1 - (101 - k) / 20) for k in range(81, 101)])


def test_rsqrt_goes_on_over_the_stream_and_cools_down_in_each_experience(tiny: CausalModel) -> None:
    method = RSqrt(timescale=50, cooldown=0.1)
    first = course(method, 100)
    method.end(tiny, Step(100, 100, 1.0, [], lambda rows: {}), Random(0))
    second = course(method, 100)
    assert first[:90] == pytest.approx([1 / sqrt(1 + n / 50) for n in range(90)])
    assert second[:90] == pytest.approx([1 / sqrt(1 + (100 + n) / 50) for n in range(90)])
    assert second[-1] == pytest.approx(1 / sqrt(1 + 199 / 50) / 10)


def test_autoregressive_peaks_stand_on_one_cosine(tiny: CausalModel) -> None:
    method, peaks, ends = Autoregressive(floor=0.0), [], []
    for _ in range(3):
        found = course(method, 40)
        peaks.append(found[0])
        ends.append(found[-1])
        method.end(tiny, Step(40, 40, 1.0, [], lambda rows: {}), Random(0))
    assert peaks == pytest.approx([1.0, 0.5, 0.25])  # (1 + cos(pi N / (N + T))) / 2
    assert max(ends) < 0.01


def test_a_known_past_takes_no_steps(tiny: CausalModel) -> None:
    for method in (RSqrt(), Autoregressive()):
        Gradient([method]).remember(tiny, EXAMPLES)
        assert method.past == 0


def test_a_count_survives_saving() -> None:
    for make in (RSqrt, Autoregressive):
        one, other = make(), make()
        one.past = 7
        other.load(one.state())
        assert other.past == 7
        with pytest.raises(StateError, match=r"no count of past steps \(past=None\)"):
            other.load({})


def test_the_loop_takes_its_steps_at_the_scheduled_rate(tiny: CausalModel) -> None:
    watch = Watch()
    Gradient([WSD(warmup=0.5, cooldown=0.5), watch], Settings(rate=1e-4, passes=4, batch=8)).learn(tiny, Experience("1", EXAMPLES))
    assert watch.seen == pytest.approx([0.5e-4, 1e-4, 1e-4, 0.5e-4])


def test_finch_divides_by_the_root_of_the_steps_own_loss(tiny: CausalModel) -> None:
    """Two micro-batches of known logits: uniform over the vocabulary, so the loss is log V."""
    method = Finch(floor=0.1)
    method.reference = 0.5
    batch = tiny.batch(tiny.encoder.rows(EXAMPLES))
    size = int(tiny.module.config.vocab_size)
    for _ in range(2):
        method.observe(tiny, batch, Out(torch.zeros(len(batch.targets), size)))
    step = Step(1, 1, 1.0, [], lambda rows: {})
    method.gradients(tiny, step)
    loss = float(torch.tensor(float(size)).log())
    assert method.losses == pytest.approx([loss])
    assert step.rate == pytest.approx(sqrt(0.5 / loss))
    method.reference = 1e-9
    assert method.factor() == 0.1
    method.reference = 1e9
    assert method.factor() == 1.0


def test_finch_smooths_where_it_is_told_to(tiny: CausalModel) -> None:
    method, batch = Finch(smooth=0.5), tiny.batch(tiny.encoder.rows(EXAMPLES))
    for height in (0.0, 50.0):
        logits = torch.zeros(len(batch.targets), int(tiny.module.config.vocab_size))
        logits[torch.arange(len(logits)), batch.targets] = height
        method.observe(tiny, batch, Out(logits))
        method.gradients(tiny, Step(1, 1, 1.0, [], lambda rows: {}))
    assert method.mean == pytest.approx(method.losses[0] / 2, rel=1e-3)
    assert method.losses[1] < 1e-6


def test_finch_learns_its_reference_from_the_past_and_slows_what_is_hard(tiny: CausalModel) -> None:
    method, watch = Finch(floor=0.05), Watch()
    learner = Gradient([method, watch], Settings(rate=1e-3, passes=6, batch=8))
    learner.learn(tiny, Experience("1", EXAMPLES))
    assert watch.seen == [1e-3] * 6  # nothing is known yet
    assert method.reference == pytest.approx(method.losses[-1])
    learner.learn(tiny, Experience("2", HARD))
    assert watch.seen[6] == pytest.approx(0.05e-3)  # the first experience was known by heart, so this one is learned at the floor


def test_finch_speeds_up_as_the_loss_falls_to_a_given_reference(tiny: CausalModel) -> None:
    method, watch = Finch(floor=0.05, reference=0.5), Watch()
    Gradient([method, watch], Settings(rate=1e-3, passes=30, batch=8)).learn(tiny, Experience("1", HARD))
    assert watch.seen == pytest.approx([1e-3 * max(0.05, min(1.0, sqrt(0.5 / loss))) for loss in method.losses])
    assert watch.seen[0] < 0.5e-3
    assert watch.seen[-1] > 1.5 * watch.seen[0]
    assert method.reference == 0.5


def test_finch_knows_the_loss_of_a_given_past(tiny: CausalModel) -> None:
    method = Finch()
    Gradient([method]).remember(tiny, EXAMPLES)
    batch = tiny.batch(tiny.encoder.rows(EXAMPLES))
    with torch.no_grad():
        wanted = torch.nn.functional.cross_entropy(tiny.logits(batch).logits, batch.targets)
    assert method.reference == pytest.approx(float(wanted), rel=1e-3)
    with pytest.raises(StateError, match=r"no losses \(losses=None\)"):
        method.load({})


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Rewarm(warmup=2), "rewarm warmup must be between 0 and 1, got 2"),
        (lambda: Rewarm(floor=-1), "rewarm floor must be between 0 and 1, got -1"),
        (lambda: WSD(warmup=0.6, cooldown=0.6), "wsd warmup and cooldown must be at most 1 together, got 0.6 and 0.6"),
        (lambda: WSD(warmup=-1), "wsd warmup must be between 0 and 1, got -1"),
        (lambda: WSD(cooldown=3), "wsd cooldown must be between 0 and 1, got 3"),
        (lambda: WSD(floor=3), "wsd floor must be between 0 and 1, got 3"),
        (lambda: WSD(shape="cosine"), "wsd shape must be 'linear' or 'sqrt', got 'cosine'"),
        (lambda: RSqrt(timescale=0), "rsqrt timescale must be at least 1e-06, got 0"),
        (lambda: RSqrt(cooldown=2), "rsqrt cooldown must be between 0 and 1, got 2"),
        (lambda: Autoregressive(floor=2), "autoregressive floor must be between 0 and 1, got 2"),
        (lambda: Finch(floor=2), "finch floor must be between 0 and 1, got 2"),
        (lambda: Finch(reference=0), "finch reference must be at least 1e-09, got 0"),
        (lambda: Finch(smooth=1), "finch smooth must be between 0 and 0.9999, got 1"),
    ],
)
def test_settings_out_of_range_are_refused(make: Callable[[], Method], words: str) -> None:
    with pytest.raises(SettingError, match=words):
        make()
