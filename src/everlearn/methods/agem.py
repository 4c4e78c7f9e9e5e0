"""A-GEM: no step against the past."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random

import torch
from torch import Tensor

from everlearn.methods.base import Method, State, Step, at_least
from everlearn.methods.remembered import Remembered
from everlearn.models.weights import TrainedModel
from everlearn.types import Example, Row


class AGEM(Method):
    """Where the gradient points against that of remembered rows, the part against them is taken out.

    If <g, g_ref> < 0: g <- g - <g, g_ref> / <g_ref, g_ref> g_ref, g_ref the objective's gradient on rows drawn from memory at every
    step. Chaudhry et al. 2019, arXiv:1812.00420. Differs: the reservoir holds rows of all the past, no task is named; change=True
    projects the optimizer's change of the weights instead (<change, g_ref> > 0 would raise the remembered loss), because a projected
    gradient need not stay so in AdamW.

    share: tokens of the reference / of the step, >= 0; 0 is exactly plain training.   rows: most examples kept, None for all.

    >>> from everlearn import AGEM, Gradient
    >>> learner = Gradient([AGEM(share=0.5, rows=2000)])
    """

    neutral = {"share": 0.0}
    active = {"share": 1.0, "rows": 64}
    stage = "projection"
    wants_before = True
    family = "experience replay"
    paper = "Chaudhry et al. 2019, arXiv:1812.00420"
    stores = "examples, at most `rows`"
    cost = "one more forward and backward a step, on `share` of its tokens"

    def __init__(self, share: float = 1.0, rows: int | None = None, change: bool = False) -> None:
        at_least("agem share", share, 0, 10)
        at_least("agem rows", 1 if rows is None else rows, 1)
        self.share, self.change, self.memory = share, change, Remembered(rows)
        self._drawn: list[Row] = []
        self._reference: dict[str, Tensor] = {}

    def begin(self, model: TrainedModel, rows: Sequence[Row]) -> None:
        self.memory.begin(rows)

    def draw(self, model: TrainedModel, step: Step, random: Random) -> list[Row]:
        self._drawn = self.memory.sample(model.encoder, random, tokens=self.share * sum(len(row.tokens) for row in step.rows))
        return []

    def gradients(self, model: TrainedModel, step: Step) -> None:
        self._reference = step.gradient(self._drawn) if self._drawn else {}
        if self._reference and not self.change:
            project({name: weight.grad for name, weight in model.trained().items() if weight.grad is not None}, self._reference)

    def stepped(self, model: TrainedModel, step: Step) -> None:
        if self._reference and self.change and step.before:
            weights = {name: weight.detach() for name, weight in model.trained().items()}
            back = {name: step.before[name] - weight for name, weight in weights.items()}  # minus the change points as a gradient does
            if project(back, self._reference):
                for name, weight in weights.items():
                    weight.copy_(step.before[name] - back[name])

    def end(self, model: TrainedModel, step: Step, random: Random) -> None:
        if self.share:
            self.memory.end(step.rows, random)

    def supersede(self, newer: Sequence[Example]) -> None:
        self.memory.supersede(newer)

    def state(self) -> State:
        return self.memory.state()

    def load(self, state: State) -> None:
        self.memory.load(state)


def project(gradient: Mapping[str, Tensor], reference: Mapping[str, Tensor]) -> bool:
    """In place: take out of the gradient what points against the reference, all tensors together; False, and nothing, where they agree."""
    names = list(gradient)
    theirs = [reference[name] for name in names]
    inner = torch.stack([(gradient[name] * other).sum() for name, other in zip(names, theirs, strict=True)]).sum()
    size = torch.stack([(other * other).sum() for other in theirs]).sum()
    against = bool(inner < 0)
    if against:
        torch._foreach_sub_([gradient[name] for name in names], torch._foreach_mul(theirs, float(inner / size)))
    return against
