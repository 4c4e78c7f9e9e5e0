"""O-LoRA: each experience's adapter learns in directions orthogonal to those of the adapters before."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from random import Random

import torch
from torch import Tensor

from everlearn.errors import StateError
from everlearn.methods.base import Method, State, Step, at_least
from everlearn.methods.folded import Folded, begin_again
from everlearn.models.adapters import Lora, Pair, adapted, pairs
from everlearn.models.weights import TrainedModel
from everlearn.types import Row


class OLoRA(Method):
    """A fresh low-rank adapter an experience, whose A is held orthogonal to the A of all before; those are folded into the model.

    Adds strength * sum over layers and past adapters of the entries of |A_past n(A)^T|, n(.) with rows of length 1. Wang et al. 2023,
    arXiv:2310.14152 (lambda_1; its lambda_2 is 0 here). Differs: rows have length 1 in the penalty, on both sides, for else it falls as A shrinks;
    all layers and all past adapters are one product each way; past adapters lie in the frozen weights, so that answers cost the same
    however long the stream. The first experience learns the adapters a model was loaded with, if it has some.

    rank: of each experience's adapter, >= 0; 0 puts none in and is exactly plain training.   strength: lambda, >= 0; the paper's 0.5 is for
    rows as they are: on rows of length 1, and with the gradient clipped at 1, it leaves the new rows little of it.   seed: of fresh adapters.

    >>> from everlearn import Gradient, OLoRA
    >>> learner = Gradient([OLoRA(rank=8)])
    """

    neutral = {"rank": 0}
    active = {"rank": 2, "strength": 0.1}
    moves_at_begin = True
    folds = True
    family = "dynamic architecture"
    paper = "Wang et al. 2023, arXiv:2310.14152"
    stores = "the adapters of all past experiences, and the rows of their A once more"
    cost = "LoRA's; two products with the past's rows a step"

    def __init__(self, rank: int = 8, strength: float = 0.005, seed: int = 0) -> None:
        at_least("o_lora rank", rank, 0)
        at_least("o_lora strength", strength, 0)
        self.rank, self.strength, self.seed = rank, strength, seed
        self.learned = 0
        self.folded = Folded()
        self._pairs: dict[str, Pair] = {}
        self._alike: list[tuple[list[Pair], Tensor]] = []  # layers whose past rows have one shape: theirs, of length 1, (L, T * r, d)

    def prepare(self, model: TrainedModel) -> None:
        self.learned, self.folded, self._alike = 0, Folded(), []
        if self.rank:
            adapted(model, Lora(self.rank, seed=self.seed))
            self._pairs = pairs(model)

    def begin(self, model: TrainedModel, rows: Sequence[Row]) -> None:
        if self._pairs and self.learned > len(self.folded.past):
            self.folded.fold(self._pairs)
            begin_again(self._pairs.values(), self.seed + self.learned)
            self._gather()

    def gradients(self, model: TrainedModel, step: Step) -> None:
        for layers, past in self._alike if self.strength else []:
            pull = overlap_gradient(torch.stack([pair.a.detach() for pair in layers]), past)
            for pair, of in zip(layers, pull.unbind(), strict=True):
                pair.a.grad = self.strength * of if pair.a.grad is None else pair.a.grad.add_(of, alpha=self.strength)

    def end(self, model: TrainedModel, step: Step, random: Random) -> None:
        self.learned += bool(step.number)

    def write(self, model: TrainedModel, folder: str | Path) -> None:
        """All past adapters and the present one as one of PEFT's, for `PeftModel.from_pretrained` on the starting model."""
        self.folded.write(model, folder)

    def state(self) -> State:
        return {"learned": self.learned, "past": self.folded.state()}

    def load(self, state: State) -> None:
        learned = state.get("learned")
        if not isinstance(learned, int):
            raise StateError(f"the saved state does not say how many experiences it has learned (keys={sorted(state)!r}). Load the state of o_lora.")
        self.folded.load(state.get("past"), self._pairs)
        self.learned = learned
        self._gather()

    def _gather(self) -> None:
        """Stack the past's rows of all layers that can go in one product."""
        alike: dict[tuple[int, ...], list[tuple[Pair, Tensor]]] = {}
        for place, pair in self._pairs.items() if self.folded.past else []:
            past = torch.nn.functional.normalize(self.folded.rows(place), dim=1)
            alike.setdefault((*past.shape, *pair.a.shape), []).append((pair, past))
        self._alike = [([pair for pair, _ in group], torch.stack([past for _, past in group])) for group in alike.values()]


def overlap_gradient(a: Tensor, past: Tensor) -> Tensor:
    """The gradient, in a, of the sum of |past n(a)^T|, n(a) the rows of a divided by their lengths.   a: (L, r, d).   past: (L, T * r, d).

    >>> overlap_gradient(torch.tensor([[[0.0, 2.0]]]), torch.tensor([[[0.6, 0.8]]])).tolist()
    [[[0.30000001192092896, 0.0]]]
    """
    size = a.norm(dim=2, keepdim=True).clamp_min(torch.finfo(a.dtype).tiny)
    unit = a / size
    toward = torch.bmm(unit, past.transpose(1, 2)).sign_().bmm(past)  # (L, r, d)
    return toward.addcmul_(unit, (unit * toward).sum(2, keepdim=True), value=-1).div_(size)
