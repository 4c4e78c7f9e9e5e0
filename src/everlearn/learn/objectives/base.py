"""What is minimised: the contract of an objective, and the plainest one."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import ClassVar

from torch import Tensor
from torch.nn import functional

from everlearn.errors import DataError, SettingError, StateError
from everlearn.methods.base import State, Step
from everlearn.models.batch import MOST_PADDING, by_length
from everlearn.models.weights import TrainedModel
from everlearn.types import Batch, Example, Out, Row


class Objective:
    """How an experience is learned: the sum of `loss` over the sum of `count`, over a step's micro-batches. Only `loss` must be written.

    The loop alone divides: `loss` gives values, `count` what they are divided by. What an objective keeps it keys by row id, never by step.
    active: settings under which it must change something (for the shipped checks).   shards: as for a Method.
    family, paper, stores, cost: for `everlearn methods`.
    """

    active: ClassVar[dict[str, object]] = {}
    shards: ClassVar[bool] = False
    family: ClassVar[str] = "objective"
    paper: ClassVar[str] = ""
    stores: ClassVar[str] = "nothing"
    cost: ClassVar[str] = ""

    @property
    def holds(self) -> bool:
        """Does it keep trained weights to ask again later; what lies frozen beneath them must then stay as it is."""
        return False

    def check(self, examples: Sequence[Example]) -> None:
        """Raise DataError, before anything is learned, for an example that this objective cannot learn from."""
        for example in examples:
            if example.chosen is not None:
                raise DataError(
                    f"a row of prompt + chosen + rejected cannot be learned from by imitation (id={example.id!r})."
                    " Give text, prompt + completion or messages, or join dpo."
                )

    def prepare(self, model: TrainedModel) -> None:
        """Once a run, before `load`, the model as it starts, with what methods put into it."""

    def begin(self, model: TrainedModel, rows: Sequence[Row]) -> None:
        """Once an experience, the model still old: sees all rows, those from memory too. Not called on resume: what it makes is part of `state`."""

    def rows(self, model: TrainedModel, rows: Sequence[Row], step: Step, random: Random) -> Sequence[Row]:
        """A step's rows themselves, or rollouts from them."""
        return rows

    def cut(self, rows: Sequence[Row], most: int, most_padding: int = MOST_PADDING) -> Sequence[Sequence[Row]]:
        """The step's rows in micro-batches of at most `most` padded tokens, `most_padding` of them padding; what must be seen together stays together."""
        return by_length(rows, most, most_padding)

    def count(self, batch: Batch) -> float:
        """The denominator, from data alone: learned tokens, pairs or completions."""
        return float(len(batch.targets))

    def loss(self, model: TrainedModel, batch: Batch, out: Out) -> Tensor:
        """The values to be summed, of any shape; pure."""
        raise SettingError(f"{type(self).__name__} says nothing to be minimised. Override loss.")

    def still(self) -> Objective:
        """The objective whose gradient methods may ask for at any time (`Step.gradient`): itself, or imitation where the rows are rollouts."""
        return self

    def state(self) -> State:
        """Everything that `load` needs to go on bit for bit."""
        return {}

    def load(self, state: State) -> None:
        """Take up a saved state, after `prepare`."""
        if state:
            raise StateError(f"{type(self).__name__} keeps no state but was given some (keys={sorted(state)[:3]!r}). Load the state of the same objective.")


class Supervised(Objective):
    """Cross-entropy of every learned token, in nats, times its row's weight; the mean is over tokens."""

    shards = True

    def loss(self, model: TrainedModel, batch: Batch, out: Out) -> Tensor:
        return batch.weights * out.each(nats, batch.targets)


def nats(logits: Tensor, targets: Tensor) -> Tensor:
    """The cross-entropy of each target, (N,)."""
    return functional.cross_entropy(logits.float(), targets, reduction="none")
