"""Merge: after an experience the new weights are joined with the old."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Literal, get_args

import torch
from torch import Tensor

from everlearn.errors import SettingError, StateError
from everlearn.methods.at_once import batches
from everlearn.methods.base import Method, State, Step, at_least
from everlearn.methods.ewc import sampled
from everlearn.methods.per_example import log_likelihood
from everlearn.methods.task_vectors import Vector, difference, elected, larger, mean, thinned, trimmed
from everlearn.methods.tensors import tensors_of
from everlearn.models.weights import TrainedModel, as_found
from everlearn.replay.buffers import Reservoir
from everlearn.types import Example, Row, superseded

Kind = Literal["wise", "ties", "dare", "magmax"]
ALPHAS = (1.0, 0.75, 0.5, 0.25)  # tried in this order; the first of equals wins


class Merge(Method):
    """At the end of each experience the model becomes a merge of old and new weights; the next experience goes on from it.

    wise: old + alpha (new - old), Wortsman et al. 2022, arXiv:2109.01903. alpha None: the best of 1, 0.75, 0.5 and 0.25, by the sum of the mean
    losses on new rows held out of learning and on remembered ones.   The others merge task vectors, what experiences added to the first
    weights theta_0: theta_0 + alpha * merged (alpha None: 1).   ties: the largest `share` of each, a sign elected by sum, the mean of what has
    it; Yadav et al. 2023, arXiv:2306.01708.   dare: a random `share` of each divided by it, their mean; Yu et al. 2023, arXiv:2311.03099.
    magmax: the entry of largest size, in one vector however many experiences; Marczak et al. 2024, arXiv:2407.06322.
    Differs: each experience is learned from the merged weights.

    alpha: how far to go, in [0, 1], for task vectors in [0, 10]; wise with 1 is exactly plain training.   share: in (0, 1].
    vectors: newest task vectors kept, >= 1.   held: share of the new rows that are not learned but judged on, in [0, 0.5]; 0 judges on learned
    ones.   rows: most judged on, of each, >= 1.

    >>> Merge(kind="wise", alpha=0.5).alpha
    0.5
    """

    neutral = {"kind": "wise", "alpha": 1.0}
    active = {"kind": "wise", "alpha": None}
    moves_at_end = True
    family = "averaging"
    paper = "Wortsman et al. 2022, arXiv:2109.01903"
    stores = "one copy of the trained weights and `rows` examples (wise), or `vectors` + 1 copies"
    cost = "under 1 % of a step; wise: 4 forward passes over the judged rows after an experience"

    def __init__(self, kind: Kind = "wise", alpha: float | None = None, share: float = 0.2, held: float = 0.1, rows: int = 64, vectors: int = 8) -> None:
        if kind not in get_args(Kind):
            raise SettingError(f"merge kind must be one of {', '.join(get_args(Kind))}, got {kind!r}.")
        at_least("merge alpha", 1.0 if alpha is None else alpha, 0, 1 if kind == "wise" else 10)
        at_least("merge share", share, 1e-6, 1)
        at_least("merge held", held, 0, 0.5)
        at_least("merge rows", rows, 1)
        at_least("merge vectors", vectors, 1)
        self.kind, self.alpha, self.share, self.held, self.rows, self.most = kind, alpha, share, held, rows, vectors
        self.chosen: float | None = None
        self.origin: dict[str, Tensor] = {}  # wise: the weights before the experience; the others: before the first
        self.vectors: list[Vector] = []
        self.memory = Reservoir(rows)
        self._apart: frozenset[str] = frozenset()

    @property
    def chooses(self) -> bool:
        """Is alpha found by judging."""
        return self.kind == "wise" and self.alpha is None

    def mix(self, model: TrainedModel, rows: list[Row], random: Random) -> list[Row]:
        if not (self.chooses and self.held):
            return rows
        new = list(dict.fromkeys(row.id for row in rows if not row.from_memory))
        self._apart = frozenset(random.sample(new, round(self.held * len(new))))
        return [row for row in rows if row.from_memory or row.id not in self._apart]

    def begin(self, model: TrainedModel, rows: object) -> None:
        if self.kind == "wise" or not self.origin:
            self.origin = model.state()

    def end(self, model: TrainedModel, step: Step, random: Random) -> None:
        if step.number:
            new = model.state()
            if self.kind == "wise":
                self.chosen = self._best(model, new, step, random) if self.alpha is None else self.alpha
                model.load(self._between(new, self.chosen))
            else:
                added = self._merged(difference(new, self.origin), random)
                far = 1.0 if self.alpha is None else self.alpha
                model.load({name: value + far * added[name] for name, value in self.origin.items()})
        if self.chooses:
            self.memory.offer([row.example for row in step.rows], random)

    def supersede(self, newer: Sequence[Example]) -> None:
        self.memory.supersede(newer)

    def state(self) -> State:
        vectors = {str(place): dict(vector) for place, vector in enumerate(self.vectors)}
        return {"origin": dict(self.origin), "vectors": vectors, "memory": self.memory.to_json(), "apart": sorted(self._apart), "chosen": self.chosen}

    def load(self, state: State) -> None:
        self.origin = tensors_of(state, "origin")
        vectors, memory, apart, chosen = (state.get(name) for name in ("vectors", "memory", "apart", "chosen"))
        if not (isinstance(vectors, dict) and isinstance(memory, dict) and isinstance(apart, list)):
            raise StateError(f"the saved state is no merge's (keys={sorted(state)[:5]!r}). Load the state of the same method.")
        self.vectors = [tensors_of(vectors, str(place)) for place in range(len(vectors))]
        self.memory.load_json(memory)
        self._apart = frozenset(apart)
        self.chosen = None if chosen is None else float(str(chosen))

    def _merged(self, vector: Vector, random: Random) -> Vector:
        """The new task vector among those kept."""
        if self.kind == "magmax":
            self.vectors = [larger(self.vectors[0], vector) if self.vectors else vector]
            return self.vectors[0]
        fresh = trimmed(vector, self.share) if self.kind == "ties" else thinned(vector, self.share, random)
        self.vectors = [*self.vectors, fresh][-self.most :]
        return elected(self.vectors) if self.kind == "ties" else mean(self.vectors)

    def _between(self, new: Vector, alpha: float) -> Vector:
        return new if alpha == 1 else {name: torch.lerp(old, new[name], alpha) for name, old in self.origin.items()}

    def _best(self, model: TrainedModel, new: Vector, step: Step, random: Random) -> float:
        """The alpha of least loss on new and remembered rows, each kind counting the same."""
        fresh = [row for row in step.rows if row.id in self._apart] or list(step.rows)
        old = superseded(self.memory.examples(), [row.example for row in step.rows])
        judged = [part for part in (sampled(fresh, self.rows, random), model.encoder.rows(old)) if part]
        losses = {}
        for alpha in ALPHAS:
            model.load(self._between(new, alpha))
            losses[alpha] = sum(mean_loss(model, part) for part in judged)
        return min(ALPHAS, key=lambda alpha: losses[alpha])


def mean_loss(model: TrainedModel, rows: Sequence[Row]) -> float:
    """Nats a learned token, over all of them."""
    total, count = 0.0, 0
    with as_found(model.module), torch.no_grad():
        for part in batches([[row] for row in rows]):
            batch = model.batch([row for group in part for row in group])
            total -= float(log_likelihood(batch, model.logits(batch).logits).sum())
            count += len(batch.targets)
    return total / max(1, count)
