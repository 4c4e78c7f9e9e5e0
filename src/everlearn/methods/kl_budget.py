"""A budget for how far the model may move from where it started, measured while it learns and held."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import sqrt
from pathlib import Path
from random import Random
from typing import Any, Literal

import torch
from torch import Tensor

from everlearn.errors import DataError, SettingError, StateError
from everlearn.methods.base import Method, State, Step, at_least
from everlearn.methods.distill import Teacher, top_with_tail, with_tail
from everlearn.methods.tensors import tensors_of
from everlearn.models.batch import by_length
from everlearn.models.sampling import Sampling
from everlearn.models.weights import TrainedModel, as_found
from everlearn.streams.files import read_examples
from everlearn.types import Batch, Example, Row

LENGTH = 48  # tokens of a text that the model writes to be held to
FIRST, FASTER = 0.1, 2.0  # the factor on the rate of an experience's first step, which AdamW makes as large as any, and its growth from look to look
SLOWEST, MOST = 0.02, 4.0  # bounds of the factor on the rate, and of the share of anchor rows
TRIES = 6  # of finding how far back to go: a part in 64 of the way
BACK, EDGE, MARGIN = 0.9, 1.05, 2.0  # of the budget: what going back leaves used, and what may be used at the next measurement at MARGIN times the pace so far


class KLBudget(Method):
    """Never farther from the starting model than the owner allows: KL(p_start || p) a token on anchor texts, and points lost on a task of the owner's.

        used = max(KL / budget, points lost / points);   measured after the first step, then before what is left could be spent at twice the pace so
        far (of the distance: KL grows with its square), at least every `every` steps, and at the end of the experience

    An experience begins at a tenth of the rate, doubled from look to look. Where used is above 1 the weights go back toward where it last was not, as little
    as brings it to 0.9, and the rate is halved. Before that, by="replay" rehearses more of the anchors with the starting model's distribution, beside
    whatever is learned, as used nears 1; "rate" lowers the rate; "stop" learns on unhindered, and where used passes 1 no more in this experience.
    That KL from the start tells what is forgotten: Shenfeld et al. 2025, *RL's Razor*, arXiv:2509.04259; the control is ours.

    budget: nats a token, > 0; None for no such limit.   points: most per cent of the anchors once answered right (every token the likeliest) that may be
    wrong now, in (0, 100]; None for no such limit.   With neither, exactly plain training.   on: "own" texts the starting model writes (an
    encoder-decoder: its answers to the first new prompts); "memory", what it was taught (a stream's base); or a file of examples.
    every: most steps between two measurements, >= 1.   rows: most anchors, >= 1.   k: tokens kept of the start's distribution, >= 1.
    """

    neutral = {"budget": None, "points": None}
    active = {"budget": 0.001, "every": 1, "rows": 8}
    stage = "mask"
    moves_at_end = True
    family = "with reinforcement learning"
    paper = "Shenfeld et al. 2025, arXiv:2509.04259"
    stores = "a copy of the trained weights; of each anchor's tokens k ids and k + 1 log-probabilities"
    cost = "a forward pass over the anchors at least every `every` steps; by=replay up to `share` 4 more rows a step"

    def __init__(
        self,
        budget: float | None = 0.1,
        points: float | None = None,
        by: Literal["rate", "replay", "stop"] = "replay",
        on: str = "own",
        every: int = 10,
        rows: int = 64,
        k: int = 256,
    ) -> None:
        at_least("kl_budget budget", 1.0 if budget is None else budget, 1e-9)
        at_least("kl_budget points", 1.0 if points is None else points, 1e-6, 100)
        at_least("kl_budget every", every, 1)
        at_least("kl_budget rows", rows, 1)
        at_least("kl_budget k", k, 1)
        if by not in ("rate", "replay", "stop"):
            raise SettingError(f"kl_budget by must be 'rate', 'replay' or 'stop', got {by!r}.")
        self.budget, self.points, self.by, self.on, self.every, self.most, self.k = budget, points, by, on, every, rows, k
        self.anchors: list[Example] = []
        self.teacher: dict[str, Teacher] = {}
        self.right: dict[str, bool] = {}
        self.good: dict[str, Tensor] = {}  # weights when used was last at most 1
        self.used, self.factor, self.share, self.over = 0.0, FIRST, 0.0, False
        self.looked, self.look, self.speed = 0, 1, 0.0  # the step of the last measurement, and of the next; the root of what is used, a step
        self._rows: list[Row] = []

    def mix(self, model: TrainedModel, rows: list[Row], random: Random) -> list[Row]:
        if self._limited and not self.anchors:
            self._take(model, self._given(model, rows, random))
        return rows

    def begin(self, model: TrainedModel, rows: Sequence[Row]) -> None:
        if self._limited:
            self.good, self.factor, self.share, self.over = model.state(), FIRST, 0.0, False
            self.looked, self.look, self.speed = 0, 1, 0.0

    def gradients(self, model: TrainedModel, step: Step) -> None:
        """With by="replay": share * the mean of KL(p_start || p) on the next anchors, as many as share times the step's rows."""
        if self.by != "replay" or not self.share:
            return
        anchors, trained = self._anchored(model), model.trained()
        count = min(len(anchors), max(1, round(self.share * len(step.rows))))
        rows = [anchors[(step.number * count + at) % len(anchors)] for at in range(count)]
        tokens = sum(len(row.learned) for row in rows)
        for part in by_length(rows, 16_384, model.tokens_a_pass()):
            values = _kl(model.logits(model.batch(part)).logits, [self.teacher[row.id] for row in part])
            found = torch.autograd.grad(self.share * values.sum() / tokens, list(trained.values()), allow_unused=True)
            for weight, gradient in zip(trained.values(), found, strict=True):
                if gradient is not None:
                    weight.grad = gradient if weight.grad is None else weight.grad + gradient

    def rate(self, step: Step) -> float:
        return 1.0 if not self._limited else 0.0 if self.over else self.factor

    def stepped(self, model: TrainedModel, step: Step) -> None:
        if self._limited and step.number >= self.look and not self.over:
            self._hold(model, step.number)

    def end(self, model: TrainedModel, step: Step, random: Random) -> None:
        if self._limited and step.number:
            self._hold(model, step.number)
            self.good = {}
        elif self._limited and self.on == "memory":
            self._take(model, [row.example for row in random.sample(list(step.rows), min(self.most, len(step.rows)))])

    def state(self) -> State:
        if not self.anchors:
            return {}
        ids, logs = ({key: part[at] for key, part in self.teacher.items()} for at in (0, 1))
        told = {"anchors": [e.to_json() for e in self.anchors], "right": self.right, "ids": ids, "logs": logs, "good": dict(self.good)}
        return {**told, "used": self.used, "factor": self.factor, "share": self.share, "over": self.over, "looks": [self.looked, self.look, self.speed]}

    def load(self, state: State) -> None:
        self.anchors = []
        if not state:
            return
        anchors, right, numbers = state.get("anchors"), state.get("right"), [state.get(name) for name in ("used", "factor", "share")]
        if not (isinstance(anchors, list) and isinstance(right, dict) and all(isinstance(number, float | int) for number in numbers)):
            raise StateError(f"the saved state is no kl_budget's (keys={sorted(state)[:5]!r}). Load the state of the same method.")
        self.anchors, self.right, self._rows = [Example.from_json(saved) for saved in anchors], right, []
        self.used, self.factor, self.share = (float(str(number)) for number in numbers)
        self.over, self.good = bool(state.get("over")), tensors_of(state, "good")
        looks: Any = state.get("looks", [0, 1, 0.0])
        self.looked, self.look, self.speed = looks
        ids, logs = tensors_of(state, "ids"), tensors_of(state, "logs")
        self.teacher = {key: Teacher(ids[key], logs[key]) for key in ids}

    def measure(self, model: TrainedModel) -> tuple[float, float]:
        """KL(p_start || p) in nats a token of the anchors, and the per cent of all anchors that were right at the start and are not now."""
        total, count, lost = 0.0, 0, 0
        with as_found(model.module), torch.no_grad():
            for part in by_length(self._anchored(model), 16_384, model.tokens_a_pass()):
                batch = model.batch(part)
                logits = model.logits(batch).logits
                values = _kl(logits, [self.teacher[row.id] for row in part])
                total, count = total + float(values.double().sum()), count + len(values)
                lost += sum(self.right[row.id] and not now for row, now in zip(part, _right(batch, logits), strict=True))
        return max(0.0, total / count), 100 * lost / len(self.anchors)

    @property
    def _limited(self) -> bool:
        return self.budget is not None or self.points is not None

    def _given(self, model: TrainedModel, rows: Sequence[Row], random: Random) -> list[Example]:
        """The anchors of a model whose past was not shown: its own texts, or those of the owner's file."""
        if self.on not in ("own", "memory"):
            given = read_examples(Path(self.on))
            return random.sample(given, min(self.most, len(given)))
        if not model.begins:
            asked = [row.example for row in random.sample(list({row.id: row for row in rows}.values()), min(self.most, len({row.id for row in rows})))]
            return [e.answered(text) for e, text in zip(asked, model.sample(asked, LENGTH, Sampling(), random, lines=True), strict=True)]
        said = model.sample([Example(prompt="", completion="")] * self.most, LENGTH, Sampling(), random, lines=True)
        return [Example(text=text) for text in dict.fromkeys(said) if text.strip()]

    def _take(self, model: TrainedModel, examples: Sequence[Example]) -> None:
        """Keep the anchors and what the model, as it is now, thinks of them."""
        self.anchors = list({e.id: e for e in examples}.values())
        self._rows, found = [], dict[str, bool]()
        with as_found(model.module), torch.no_grad():
            for part in by_length(self._anchored(model), 16_384, model.tokens_a_pass()):
                batch = model.batch(part)
                logits = model.logits(batch).logits
                logs, ids = top_with_tail(logits, self.k, 1.0)
                counts = [len(row.learned) for row in part]
                self.teacher |= {row.id: Teacher(i, v) for row, i, v in zip(part, torch.split(ids, counts), torch.split(logs, counts), strict=True)}
                found |= {row.id: now for row, now in zip(part, _right(batch, logits), strict=True)}
        self.right = found
        if self.points is not None and not any(found.values()):
            raise DataError(f"the model answers none of the anchors right, so no points can be lost (on={self.on!r}). Give a task that it can do.")

    def _anchored(self, model: TrainedModel) -> list[Row]:
        if not self._rows:
            self._rows = [row for row in model.encoder.rows(self.anchors, from_memory=True) if row.learned]
            if not self._rows:
                raise DataError(f"there is no text to hold the model to (on={self.on!r}). Give a file of examples, as kl_budget(on='anchors.jsonl').")
        return self._rows

    def _used(self, model: TrainedModel) -> float:
        kl, lost = self.measure(model)
        return max(kl / self.budget if self.budget else 0.0, lost / self.points if self.points else 0.0)

    def _hold(self, model: TrainedModel, number: int) -> None:
        """Measure; go back where the budget is spent, else learn slower or rehearse more as it runs out; say when to measure again."""
        now = self._used(model)
        steps = max(1, number - self.looked)
        pace, speed = max(now - self.used, 1e-9) / steps, max((sqrt(now) - sqrt(self.used)) / steps, self.speed / 2, 1e-9)  # a lull is believed by halves
        if now > 1:
            now = self._back(model)
            self.over = self.by == "stop"
            slower = max(SLOWEST, self.factor / 2)
            speed *= slower / self.factor
            self.factor, self.share = slower, min(MOST, 1.5 * max(0.5, self.share))
        else:
            self.good = model.state()
            most = (1 - now) / 2 / (pace * self.every) if self.by == "rate" else FASTER  # at most half of what is left in the next `every` steps
            factor = min(1.0, max(SLOWEST, self.factor * min(FASTER, most)))
            speed, self.factor = speed * factor / self.factor, factor
            self.share = min(MOST, 1.5 * max(0.1, self.share)) if now > 0.5 else self.share / 1.5
        self.used, self.looked, self.speed = now, number, speed
        self.look = number + min(self.every, 2 * steps, max(1, int((sqrt(EDGE) - sqrt(now)) / MARGIN / speed)))

    def _back(self, model: TrainedModel) -> float:
        """Put the weights between the last good ones and these, as far as the budget allows; what is used there."""
        far, low, high, used = model.state(), 0.0, 1.0, self.used
        for _ in range(TRIES):
            middle = (low + high) / 2
            model.load(_between(self.good, far, middle))
            if (now := self._used(model)) <= BACK:
                low, used = middle, now
            else:
                high = middle
        self.good = _between(self.good, far, low)
        model.load(self.good)
        return used


def _between(one: Mapping[str, Tensor], other: Mapping[str, Tensor], share: float) -> dict[str, Tensor]:
    return {name: torch.lerp(value, other[name], share) for name, value in one.items()}


def _kl(logits: Tensor, answers: Sequence[Teacher]) -> Tensor:
    """KL(teacher || p) a token, (N,), for logits (N, V) and the teachers of the rows they belong to."""
    old = torch.cat([a.logs for a in answers])
    return (old.exp() * (old - with_tail(logits.float(), torch.cat([a.ids for a in answers])))).sum(1)


def _right(batch: Batch, logits: Tensor) -> list[bool]:
    """By row: is each learned token the likeliest, so that the greedy answer is the given one."""
    wrong = torch.zeros(len(batch.rows), device=logits.device).index_add(0, batch.row, (logits.argmax(1) != batch.targets).float())
    return [not value for value in wrong.tolist()]
