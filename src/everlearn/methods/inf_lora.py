"""InfLoRA: each experience's adapter reads only directions that the past never used."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any

import torch
from torch import Tensor

from everlearn.errors import StateError
from everlearn.methods.base import Method, State, Step, at_least
from everlearn.methods.ewc import sampled
from everlearn.methods.folded import Folded
from everlearn.methods.tensors import tensors_of
from everlearn.models.adapters import Lora, Pair, adapted, pairs
from everlearn.models.weights import TrainedModel, as_found
from everlearn.types import Row

ROWS = 64  # of an experience, at most, whose tokens are looked at
LENGTH = 3**-0.5  # of A's rows: that of the rows LoRA draws at random, so that the same learning rate fits


class InfLoRA(Method):
    """A low-rank adapter an experience, of which only B learns: A is set to what is new in the experience's inputs, orthogonal to all past inputs.

    With H (tokens, d) what a layer reads of the new rows and M an orthonormal basis of what it read before: A's rows are the first right singular
    vectors of H - H M M^T, so that what is learned adds nothing to an answer that lies in M. After the experience M grows by the fewest
    directions with which it holds `energy` of |H|^2 (gradient projection memory, Saha et al. 2021, arXiv:2103.09762). Liang and Li 2024,
    arXiv:2404.00228. Differs: a bounded sample of tokens stands for all, and no d x d matrix is made; M is kept as it is, not by its
    complement once that is smaller; past adapters lie in the frozen weights. A stream's base is a past too.

    rank: of each experience's adapter, >= 0; 0 puts none in and is exactly plain training.   energy: in [0, 1]; 0 protects nothing, 1 every
    sampled direction.   tokens: sampled a layer and experience, >= 1; M grows by at most as many directions.   seed: of the sample.

    >>> from everlearn import Gradient, InfLoRA
    >>> learner = Gradient([InfLoRA(rank=8, energy=0.95)])
    """

    neutral = {"rank": 0}
    active = {"rank": 2, "tokens": 64}
    moves_at_begin = True
    folds = True
    family = "dynamic architecture"
    paper = "Liang and Li 2024, arXiv:2404.00228"
    stores = "the adapters of all past experiences; at most d directions of d inputs a layer"
    cost = "LoRA's, without the gradients of A; twice an experience 64 rows are read and `tokens` x d values a layer decomposed"

    def __init__(self, rank: int = 8, energy: float = 0.975, tokens: int = 512, seed: int = 0) -> None:
        at_least("inf_lora rank", rank, 0)
        at_least("inf_lora energy", energy, 0, 1)
        at_least("inf_lora tokens", tokens, 1)
        self.rank, self.energy, self.tokens, self.seed = rank, energy, tokens, seed
        self.begun = 0
        self.used: dict[str, Tensor] = {}  # M, (d, m), by the first of the layers that read the same
        self.folded = Folded()
        self._pairs: dict[str, Pair] = {}
        self._first: dict[str, str] = {}  # of each layer the first that reads the same: of q, k and v the q

    def prepare(self, model: TrainedModel) -> None:
        self.begun, self.used, self.folded = 0, {}, Folded()
        if self.rank:
            adapted(model, Lora(self.rank, seed=self.seed))
            self._pairs = pairs(model)
            for pair in self._pairs.values():
                pair.a.requires_grad_(False)

    def begin(self, model: TrainedModel, rows: Sequence[Row]) -> None:
        if not self._pairs:
            return
        if any(bool(pair.b.any()) for pair in self._pairs.values()):
            self.folded.fold(self._pairs)
        self.begun += 1
        new = list({row.id: row for row in rows if not row.from_memory}.values())
        features = self._read(model, new, Random(f"{self.seed}/{self.begun}"))
        chosen = {place: directions(outside(read, self.used.get(place)), self._pairs[place].a.shape[0]) for place, read in features.items()}
        for place, pair in self._pairs.items():
            pair.b.detach().zero_()
            pair.a.detach().copy_(chosen[self._first[place]] if place in self._first else torch.zeros_like(pair.a))

    def end(self, model: TrainedModel, step: Step, random: Random) -> None:
        if self._pairs and step.rows and self.energy:
            for place, features in self._read(model, step.rows, random).items():
                self.used[place] = grown(self.used.get(place), features, self.energy)

    def write(self, model: TrainedModel, folder: str | Path) -> None:
        """All past adapters and the present one as one of PEFT's, for `PeftModel.from_pretrained` on the starting model."""
        self.folded.write(model, folder)

    def state(self) -> State:
        a = {place: pair.a.detach().clone() for place, pair in self._pairs.items()}
        return {"begun": self.begun, "used": dict(self.used), "a": a, "past": self.folded.state()}

    def load(self, state: State) -> None:
        begun = state.get("begun")
        if not isinstance(begun, int):
            raise StateError(f"the saved state does not say how many experiences it has begun (keys={sorted(state)!r}). Load the state of inf_lora.")
        a = tensors_of(state, "a")
        self.folded.load(state.get("past"), self._pairs)
        self.begun, self.used = begun, tensors_of(state, "used")
        for place, pair in self._pairs.items():
            pair.a.detach().copy_(a[place])

    def _read(self, model: TrainedModel, rows: Sequence[Row], random: Random) -> dict[str, Tensor]:
        """What layers read at some tokens of some rows, (tokens, d), in float32 or wider; one row at a time, so that nothing is padding."""
        chosen = sampled(rows, ROWS, random)
        share = -(-self.tokens // max(1, len(chosen)))
        found: dict[str, list[Tensor]] = {}
        last: list[tuple[Tensor, str]] = []

        def listener(place: str) -> Callable[[Any, tuple[Tensor, ...]], None]:
            def listen(_: Any, given: tuple[Tensor, ...]) -> None:
                if last and given[0] is last[0][0]:
                    self._first[place] = last[0][1]
                    return
                last[:], self._first[place] = [(given[0], place)], place
                read = given[0].detach().flatten(0, -2)
                at = torch.tensor(sorted(random.sample(range(len(read)), min(share, len(read)))), device=read.device)
                found.setdefault(place, []).append(read[at] if read.dtype == torch.float64 else read[at].float())

            return listen

        hooks = [pair.layer.register_forward_pre_hook(listener(place)) for place, pair in self._pairs.items()]
        try:
            with as_found(model.module), torch.no_grad():
                for row in chosen:
                    model.logits(model.batch([row]))
        finally:
            for hook in hooks:
                hook.remove()
        return {place: torch.cat(parts)[: self.tokens] for place, parts in found.items()}


def outside(features: Tensor, used: Tensor | None) -> Tensor:
    """The part of features (n, d) orthogonal to the columns of `used` (d, m)."""
    return features if used is None else features - (features @ used) @ used.T


def directions(features: Tensor, rank: int) -> Tensor:
    """The first right singular vectors of features (n, d) as rows (rank, d) of length LENGTH; rows of zeros where there are fewer.

    >>> directions(torch.tensor([[0.0, 2.0], [0.0, 1.0]]), 2).abs().mul(3**0.5).round().tolist()
    [[0.0, 1.0], [0.0, 0.0]]
    """
    s, vt = right_singular(features)
    found = features.new_zeros(rank, features.shape[1])
    count = min(rank, int((s > 1e-5 * features.norm().clamp_min(1e-30)).sum()))
    found[:count] = LENGTH * vt[:count]
    return found


def grown(used: Tensor | None, features: Tensor, energy: float) -> Tensor:
    """An orthonormal basis (d, m) that holds `energy` of the squares of features (n, d): `used` and the fewest directions more.

    >>> grown(None, torch.diag(torch.tensor([3.0, 1.0])), 0.9).shape
    torch.Size([2, 1])
    """
    rest = outside(features, used)
    s, vt = right_singular(rest)
    total, left = features.square().sum(), rest.square().sum()
    held = total - left + torch.cat([s.new_zeros(1), s.square().cumsum(0)])
    count = min(int((held < energy * total * (1 - 1e-6)).sum()), len(s))
    columns = vt[:count].T if used is None else torch.cat([used, vt[:count].T], 1)
    basis: Tensor = torch.linalg.qr(columns).Q
    return basis


def right_singular(features: Tensor) -> tuple[Tensor, Tensor]:
    """Singular values and right singular vectors as rows, of features (n, d); many rows are first turned into d that say the same.

    A vector's largest component is positive: its sign would hang on the last bits, and two processes would go apart.

    >>> right_singular(torch.tensor([[-3.0, 0.0], [0.0, -1.0]]))[1].tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    small = torch.linalg.qr(features, mode="r").R if len(features) > features.shape[1] else features
    _, s, vt = torch.linalg.svd(small, full_matrices=False)
    largest = vt.gather(1, vt.abs().argmax(1, keepdim=True))
    return s, torch.where(largest < 0, -vt, vt)
