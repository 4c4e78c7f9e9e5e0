"""Courses of the learning rate within an experience and over a stream: factors on the rate, multiplied with the loop's own."""

from __future__ import annotations

from math import cos, pi, sqrt
from random import Random
from typing import Literal

from everlearn.errors import SettingError, StateError
from everlearn.methods.base import Method, State, Step, at_least
from everlearn.models.weights import TrainedModel


class Rewarm(Method):
    """Warm the rate up again for each experience, then let it fall along a cosine to `floor`.

    Factor k / (warmup T) while it is below 1, then floor + (1 - floor) * (1 + cos(pi s)) / 2, s from 0 to 1 over the other steps of T. Ibrahim et
    al. 2024, arXiv:2403.08763.

    warmup: share of the steps, in [0, 1].   floor: the share of the rate it falls to, in [0, 1]; 0.1 in the paper.

    >>> [round(Rewarm(warmup=0.5, floor=0.1).rate(Step(k, 4, 1e-3, [], dict)), 2) for k in (1, 2, 3, 4)]
    [0.5, 1.0, 1.0, 0.55]
    """

    neutral = {"warmup": 0.0, "floor": 1.0}
    active = {"warmup": 0.2, "floor": 0.1}
    family = "schedules"
    paper = "Ibrahim et al. 2024, arXiv:2403.08763"
    cost = "nothing"

    def __init__(self, warmup: float = 0.01, floor: float = 0.1) -> None:
        at_least("rewarm warmup", warmup, 0, 1)
        at_least("rewarm floor", floor, 0, 1)
        self.warmup, self.floor = warmup, floor

    def rate(self, step: Step) -> float:
        warm = self.warmup * step.total
        if step.number < warm:
            return step.number / warm
        return falling(max(0.0, step.number - 1 - warm) / max(1.0, step.total - warm), 1.0, self.floor)


class WSD(Method):
    """Warm up, stay, and cool down at the end of each experience (warmup, stable, decay).

    Factor k / (warmup T) while it is below 1, then 1, and over the last cooldown * T steps down to `floor`. Hu et al. 2024 (MiniCPM),
    arXiv:2404.06395; shape "sqrt", 1 - sqrt(s), after Hägele et al. 2024, arXiv:2405.18392.

    warmup, cooldown: shares of the steps, together at most 1.   floor: the share of the rate it falls to, in [0, 1].

    >>> [round(WSD(warmup=0.25, cooldown=0.5).rate(Step(k, 8, 1e-3, [], dict)), 2) for k in (1, 2, 4, 6, 8)]
    [0.5, 1.0, 1.0, 0.75, 0.25]
    """

    neutral = {"warmup": 0.0, "cooldown": 0.0}
    active = {"warmup": 0.1, "cooldown": 0.5}
    family = "schedules"
    paper = "Hu et al. 2024, arXiv:2404.06395"
    cost = "nothing"

    def __init__(self, warmup: float = 0.05, cooldown: float = 0.2, floor: float = 0.0, shape: Literal["linear", "sqrt"] = "linear") -> None:
        at_least("wsd warmup", warmup, 0, 1)
        at_least("wsd cooldown", cooldown, 0, 1)
        at_least("wsd floor", floor, 0, 1)
        if warmup + cooldown > 1:
            raise SettingError(f"wsd warmup and cooldown must be at most 1 together, got {warmup!r} and {cooldown!r}. They are shares of the steps.")
        if shape not in ("linear", "sqrt"):
            raise SettingError(f"wsd shape must be 'linear' or 'sqrt', got {shape!r}.")
        self.warmup, self.cooldown, self.floor, self.shape = warmup, cooldown, floor, shape

    def rate(self, step: Step) -> float:
        rising = min(1.0, step.number / (self.warmup * step.total)) if self.warmup else 1.0
        left = cooling(step, self.cooldown)
        if self.shape == "sqrt":
            left = 1.0 - sqrt(1.0 - left)
        return rising * (self.floor + (1.0 - self.floor) * left)


class RSqrt(Method):
    """Let the rate fall with the inverse square root of all steps of the stream, and cool it down at the end of each experience.

    Factor 1 / sqrt(1 + n / timescale), n the steps before this one in all experiences so far, times a linear fall to 0 over the last
    cooldown * T steps. Zhai et al. 2022, arXiv:2106.04560; for streams Li et al. 2025 (TiC-LM), arXiv:2504.02107. Differs: an experience goes on
    from the cooled weights, which are those that were tested, not from those before the cooldown; and the timescale isn't the warmup's length.

    timescale: steps, > 0; inf for no fall.   cooldown: share of an experience's steps, in [0, 1].

    >>> [round(RSqrt(timescale=3, cooldown=0).rate(Step(k, 10, 1e-3, [], dict)), 2) for k in (1, 10)]
    [1.0, 0.5]
    """

    neutral = {"timescale": float("inf"), "cooldown": 0.0}
    active = {"timescale": 10.0, "cooldown": 0.2}
    family = "schedules"
    paper = "Zhai et al. 2022, arXiv:2106.04560"
    stores = "a count"
    cost = "nothing"

    def __init__(self, timescale: float = 1000.0, cooldown: float = 0.2) -> None:
        at_least("rsqrt timescale", timescale, 1e-6)
        at_least("rsqrt cooldown", cooldown, 0, 1)
        self.timescale, self.cooldown, self.past = timescale, cooldown, 0

    def rate(self, step: Step) -> float:
        return cooling(step, self.cooldown) / sqrt(1.0 + (self.past + step.number - 1) / self.timescale)

    def end(self, model: TrainedModel, step: Step, random: Random) -> None:
        self.past += step.total

    def state(self) -> State:
        return {"past": self.past}

    def load(self, state: State) -> None:
        self.past = count_of(state)


class Autoregressive(Method):
    """Each experience's peak rate is where one long cosine would stand, had it been drawn over the stream so far and this experience.

    Peak p = floor + (1 - floor) * (1 + cos(pi * N / (N + T))) / 2, N the steps of all experiences before, T of this one; within it the rate falls
    along a cosine from p to `floor`. Roth et al. 2024, arXiv:2408.14471, as used by Li et al. 2025 (TiC-LM), arXiv:2504.02107. Differs: no warmup
    of its own; join settings(warmup=...) for one.

    floor: the share of the rate it falls to, in [0, 1]; 1 is exactly plain training.

    >>> schedule = Autoregressive(floor=0.0)
    >>> schedule.past = 10  # the second of two equal experiences starts at half the rate
    >>> round(schedule.rate(Step(1, 10, 1e-3, [], dict)), 2)
    0.5
    """

    neutral = {"floor": 1.0}
    active = {"floor": 0.1}
    family = "schedules"
    paper = "Roth et al. 2024, arXiv:2408.14471"
    stores = "a count"
    cost = "nothing"

    def __init__(self, floor: float = 0.03) -> None:
        at_least("autoregressive floor", floor, 0, 1)
        self.floor, self.past = floor, 0

    def rate(self, step: Step) -> float:
        peak = falling(self.past / (self.past + step.total), 1.0, self.floor)
        return falling((step.number - 1) / step.total, peak, self.floor)

    def end(self, model: TrainedModel, step: Step, random: Random) -> None:
        self.past += step.total

    def state(self) -> State:
        return {"past": self.past}

    def load(self, state: State) -> None:
        self.past = count_of(state)


def falling(done: float, top: float, floor: float) -> float:
    """The cosine from `top` at 0 to `floor` at 1."""
    return floor + (top - floor) * 0.5 * (1.0 + cos(pi * done))


def cooling(step: Step, share: float) -> float:
    """1, and over the last `share` of the steps linearly toward 0, which the step after the last would have."""
    return min(1.0, (step.total - step.number + 1) / (share * step.total)) if share else 1.0


def count_of(state: State) -> int:
    """The steps of past experiences that a state saved."""
    past = state.get("past")
    if not isinstance(past, int):
        raise StateError(f"the saved state has no count of past steps (past={past!r}). Load the state of the same method.")
    return past
