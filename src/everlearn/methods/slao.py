"""SLAO: one adapter goes on learning, another is its running merge, and the merge answers."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import torch
from torch import Tensor

from everlearn.errors import StateError
from everlearn.methods.base import Method, State, Step, at_least
from everlearn.methods.tensors import tensors_of
from everlearn.models.adapters import Lora, Pair, adapted, pairs
from everlearn.models.weights import TrainedModel
from everlearn.types import Row


class SLAO(Method):
    """One merged low-rank adapter however many experiences: its A is the newest, its B a time-aware mean of all.

    Experience i starts from A = Q^T, with Q R the QR decomposition of the last learned A^T and R's diagonal made positive, and B the last learned B.
    After it A_merged = A_i and B_merged <- B_merged + (B_i - B_merged) / i^power; the model answers with the merged pair. 2025, arXiv:2512.23017,
    with power 1/2. Differs: nothing beyond the choice of the power. The first experience learns the adapters as PEFT makes them, or
    those a model was loaded with.

    rank: of the adapter, >= 0; 0 puts none in and is exactly plain training.   power: how fast newer ones count less, in [0, 1]; 0 keeps
    the newest alone, 1 is the plain mean.   seed: of the first values.

    >>> from everlearn import SLAO, Gradient
    >>> learner = Gradient([SLAO(rank=8)])
    """

    neutral = {"rank": 0}
    active = {"rank": 2}
    moves_at_begin = True
    moves_at_end = True
    family = "dynamic architecture"
    paper = "2025, arXiv:2512.23017"
    stores = "one copy of the adapters' B, for any number of experiences"
    cost = "LoRA's; a QR decomposition a layer and experience"

    def __init__(self, rank: int = 8, power: float = 0.5, seed: int = 0) -> None:
        at_least("slao rank", rank, 0)
        at_least("slao power", power, 0, 1)
        self.rank, self.power, self.seed = rank, power, seed
        self.learned = 0
        self.last: dict[str, Tensor] = {}  # B as last learned; within an experience B as merged
        self._pairs: dict[str, Pair] = {}

    def prepare(self, model: TrainedModel) -> None:
        self.learned, self.last = 0, {}
        if self.rank:
            adapted(model, Lora(self.rank, seed=self.seed))
            self._pairs = pairs(model)

    def begin(self, model: TrainedModel, rows: Sequence[Row]) -> None:
        for place, pair in self._pairs.items() if self.learned else []:
            pair.a.detach().copy_(orthonormal(pair.a.detach()))
            self._exchange(place, pair)

    def end(self, model: TrainedModel, step: Step, random: Random) -> None:
        if not step.number:
            return
        self.learned += 1
        for place, pair in self._pairs.items():
            merged = self.last.get(place, pair.b.detach())
            learned = pair.b.detach().clone()
            pair.b.detach().copy_(torch.lerp(merged, learned, self.learned**-self.power))
            self.last[place] = learned

    def state(self) -> State:
        return {"learned": self.learned, "last": dict(self.last)}

    def load(self, state: State) -> None:
        learned = state.get("learned")
        if not isinstance(learned, int):
            raise StateError(f"the saved state does not say how many experiences it has learned (keys={sorted(state)!r}). Load the state of slao.")
        self.learned, self.last = learned, tensors_of(state, "last")

    def _exchange(self, place: str, pair: Pair) -> None:
        """Learn on from B as last learned, and keep what was merged."""
        merged = pair.b.detach().clone()
        pair.b.detach().copy_(self.last[place])
        self.last[place] = merged


def orthonormal(a: Tensor) -> Tensor:
    """Orthonormal rows that span what the rows of a (r, d), r <= d, span, each on the side of its own.

    >>> orthonormal(torch.tensor([[0.0, -2.0], [3.0, 1.0]])).round().add(0.0).tolist()
    [[0.0, -1.0], [1.0, 0.0]]
    """
    q, r = torch.linalg.qr(a.T.float() if a.dtype != torch.float64 else a.T)
    rows: Tensor = (q * torch.where(r.diagonal() < 0, -1.0, 1.0)).T
    return rows.to(a)
