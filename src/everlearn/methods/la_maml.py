"""La-MAML: tensors whose change helps the past learn at full rate, tensors whose change harms it learn slower or not at all."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import torch
from torch import Tensor

from everlearn.methods.base import Method, State, Step, at_least
from everlearn.methods.remembered import Remembered
from everlearn.methods.tensors import tensors_of
from everlearn.models.weights import TrainedModel
from everlearn.types import Example, Row


class LaMAML(Method):
    """Each tensor has a step size of its own, learned from whether its steps agree with remembered rows.

    After the optimizer's step, change d_j of tensor j: look ahead to theta' = before + a_j d_j, take the remembered rows' gradient g' there,
    a_j <- min(most, max(0, a_j - strength * cos(g'_j, d_j))), and the step is before + a_j d_j with the new a_j. La-MAML (Gupta, Yadav, Paull 2020,
    arXiv:2007.13904): the hypergradient of the remembered loss by a_j is <g'_j, d_j>, step sizes clipped at 0 gate. Differs: one step size a tensor,
    not an entry, a factor on AdamW's change; the cosine in place of the product, so that one strength fits all tensors; one inner step;
    at most `most`. Step sizes live on over experiences.

    strength: of the step sizes' own learning (eta), >= 0; 0 is exactly plain training.   share: remembered tokens looked at / tokens of the
    step, > 0.   most: >= 1; 1 only gates.   rows: most examples kept, None for all.

    >>> from everlearn import Gradient, LaMAML, Replay
    >>> learner = Gradient([Replay(share=0.5), LaMAML(strength=0.1)])
    """

    neutral = {"strength": 0.0}
    active = {"strength": 0.3, "rows": 64}
    stage = "projection"
    wants_before = True
    family = "meta-learning"
    paper = "Gupta et al. 2020, arXiv:2007.13904"
    stores = "examples, at most `rows`; one number a tensor"
    cost = "one more forward and backward a step, on `share` of its tokens"

    def __init__(self, strength: float = 0.1, share: float = 0.5, most: float = 1.0, rows: int | None = None) -> None:
        at_least("la_maml strength", strength, 0)
        at_least("la_maml share", share, 1e-9, 10)
        at_least("la_maml most", most, 1)
        at_least("la_maml rows", 1 if rows is None else rows, 1)
        self.strength, self.share, self.most, self.memory = strength, share, most, Remembered(rows)
        self.sizes: dict[str, Tensor] = {}
        self._drawn: list[Row] = []

    def begin(self, model: TrainedModel, rows: Sequence[Row]) -> None:
        self.memory.begin(rows)

    def draw(self, model: TrainedModel, step: Step, random: Random) -> list[Row]:
        tokens = self.share * sum(len(row.tokens) for row in step.rows)
        self._drawn = self.memory.sample(model.encoder, random, tokens=tokens) if self.strength else []
        return []

    def stepped(self, model: TrainedModel, step: Step) -> None:
        if not self._drawn or step.before is None:
            return
        weights = {name: weight.detach() for name, weight in model.trained().items()}
        change = {name: weight - step.before[name] for name, weight in weights.items()}
        self.sizes = {name: self.sizes.get(name, torch.ones((), device=weight.device)) for name, weight in weights.items()}
        self._go(weights, step, change)
        for name, ahead in step.gradient(self._drawn).items():
            agree = -torch.nn.functional.cosine_similarity(ahead.flatten(), change[name].flatten(), 0, 1e-30)
            self.sizes[name] = (self.sizes[name] + self.strength * agree).clamp(0, self.most)
        self._go(weights, step, change)

    def end(self, model: TrainedModel, step: Step, random: Random) -> None:
        if self.strength:
            self.memory.end(step.rows, random)

    def supersede(self, newer: Sequence[Example]) -> None:
        self.memory.supersede(newer)

    def state(self) -> State:
        return {**self.memory.state(), "sizes": dict(self.sizes)}

    def load(self, state: State) -> None:
        self.memory.load(state)
        self.sizes = tensors_of(state, "sizes")

    def _go(self, weights: dict[str, Tensor], step: Step, change: dict[str, Tensor]) -> None:
        """Take the step from before, each tensor by its own size."""
        for name, weight in weights.items():
            weight.copy_((step.before or {})[name] + self.sizes[name] * change[name])
