"""MIR: rehearse what the coming step would harm most."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import torch
from torch import Tensor
from torch.optim import Optimizer

from everlearn.methods.base import Method, State, Step, at_least
from everlearn.methods.remembered import Remembered, row_losses
from everlearn.models.weights import TrainedModel
from everlearn.types import Example, Row


class MIR(Method):
    """Of some remembered rows drawn at each step, those join it whose loss a step on the new rows alone would raise most.

    s(x) = loss(x; theta_v) - loss(x; theta), theta_v the weights after a virtual step on the step's rows. Aljundi et al. 2019,
    arXiv:1908.04742 (its MI-1 criterion). Differs: the virtual step is the one that AdamW would take, with its moments; the amount is
    counted in tokens; what the new rows answer differently is not rehearsed.

    share: remembered tokens / tokens of the step, >= 0; 0 is exactly plain training.   candidates: rows compared at each step, >= 1 (the paper's C).
    rows: most examples kept, None for all.

    >>> from everlearn import MIR, Gradient
    >>> learner = Gradient([MIR(share=0.5, candidates=32)])
    """

    neutral = {"share": 0.0}
    active = {"share": 0.5, "candidates": 16, "rows": 64}
    family = "experience replay"
    paper = "Aljundi et al. 2019, arXiv:1908.04742"
    stores = "examples, at most `rows`"
    cost = "about two more steps a step: one backward, two forwards over `candidates`, `share` more tokens"

    def __init__(self, share: float = 0.5, candidates: int = 50, rows: int | None = None) -> None:
        at_least("mir share", share, 0, 10)
        at_least("mir candidates", candidates, 1)
        at_least("mir rows", 1 if rows is None else rows, 1)
        self.share, self.candidates, self.memory = share, candidates, Remembered(rows)

    def begin(self, model: TrainedModel, rows: Sequence[Row]) -> None:
        self.memory.begin(rows)

    def draw(self, model: TrainedModel, step: Step, random: Random) -> list[Row]:
        rows = self.memory.sample(model.encoder, random, self.candidates) if self.share else []
        if not rows:
            return []
        order = sorted(zip(harm(model, step, rows), range(len(rows)), strict=True), key=lambda pair: (-pair[0], pair[1]))
        tokens, chosen = self.share * sum(len(row.tokens) for row in step.rows), list[Row]()
        for _, place in order:
            if tokens <= 0:
                break
            chosen.append(rows[place])
            tokens -= len(rows[place].tokens)
        return chosen

    def end(self, model: TrainedModel, step: Step, random: Random) -> None:
        if self.share:
            self.memory.end(step.rows, random)

    def supersede(self, newer: Sequence[Example]) -> None:
        self.memory.supersede(newer)

    def state(self) -> State:
        return self.memory.state()

    def load(self, state: State) -> None:
        self.memory.load(state)


def harm(model: TrainedModel, step: Step, rows: Sequence[Row]) -> list[float]:
    """By how much a step on `step.rows` would raise each row's loss, nats per token; weights and optimizer stay as they are."""
    before, change = row_losses(model, rows), virtual_change(model, step.gradient(step.rows), step.optimizer, step.rate)
    weights, kept = model.trained(), model.state()
    with torch.no_grad():
        for name, moved in change.items():
            weights[name].add_(moved)
    after = row_losses(model, rows)
    model.load(kept)
    return [later - earlier for later, earlier in zip(after, before, strict=True)]


def virtual_change(model: TrainedModel, gradient: dict[str, Tensor], optimizer: Optimizer | None, rate: float) -> dict[str, Tensor]:
    """What the optimizer's step on this gradient would add to each weight, without weight decay: AdamW's, where it is one, else plain descent."""
    betas = None if optimizer is None else optimizer.defaults.get("betas")
    if optimizer is None or betas is None:
        return {name: -rate * value for name, value in gradient.items()}
    change, (first, second) = {}, betas
    for name, weight in model.trained().items():
        kept, value = optimizer.state.get(weight, {}), gradient[name]
        number = float(kept.get("step", 0)) + 1
        mean = torch.lerp(value, kept.get("exp_avg", torch.zeros_like(value)), first) / (1 - first**number)
        square = torch.lerp(value**2, kept.get("exp_avg_sq", torch.zeros_like(value)), second) / (1 - second**number)
        change[name] = -rate * mean / (square.sqrt() + optimizer.defaults["eps"])
    return change
