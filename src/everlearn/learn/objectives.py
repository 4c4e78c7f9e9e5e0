"""How an experience is learned: supervised, for now."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Protocol

from torch import Tensor
from torch.nn import functional

from everlearn.methods.base import Step
from everlearn.models.weights import TrainedModel
from everlearn.types import Batch, Out, Row


class Objective(Protocol):
    """What is minimised: the sum of `loss` over the sum of `count`, over a step's micro-batches."""

    def rows(self, model: TrainedModel, rows: Sequence[Row], step: Step, random: Random) -> Sequence[Row]:
        """The rows themselves, or rollouts from them."""
        ...

    def count(self, batch: Batch) -> float:
        """The denominator, from data alone: learned tokens, pairs or completions."""
        ...

    def loss(self, model: TrainedModel, batch: Batch, out: Out) -> Tensor:
        """The values to be summed, of any shape."""
        ...


class Supervised:
    """Cross-entropy of every learned token, in nats, times its row's weight; the mean is over tokens."""

    def rows(self, model: TrainedModel, rows: Sequence[Row], step: Step, random: Random) -> Sequence[Row]:
        return rows

    def count(self, batch: Batch) -> float:
        return float(len(batch.targets))

    def loss(self, model: TrainedModel, batch: Batch, out: Out) -> Tensor:
        return batch.weights * functional.cross_entropy(out.logits.float(), batch.targets, reduction="none")
