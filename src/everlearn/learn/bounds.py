"""The bounds of every comparison: the model as it is, and the model trained on everything at once."""

from __future__ import annotations

from collections.abc import Sequence

from everlearn.learn.base import LearnLog
from everlearn.learn.fit import Checkpoint
from everlearn.learn.gradient import Gradient
from everlearn.methods.base import State
from everlearn.models.weights import TrainedModel
from everlearn.types import Example, Experience, superseded


class Frozen:
    """Learns nothing: what the starting model scores on everything."""

    def prepare(self, model: TrainedModel) -> TrainedModel:
        return model

    def remember(self, model: TrainedModel, examples: Sequence[Example]) -> None:
        """There is nothing to note."""

    def supersede(self, newer: Sequence[Example]) -> None:
        """Nothing is remembered."""

    def learn(self, model: TrainedModel, experience: Experience, checkpoint: Checkpoint | None = None) -> LearnLog:
        return LearnLog()

    def state(self) -> State:
        return {}

    def load(self, state: State) -> None:
        """There is nothing to load."""


def union(base: Sequence[Example], experiences: Sequence[Experience]) -> Experience:
    """The base and all experiences as one, what a newer row answers differently left out: what `joint` is trained on once.

    >>> old, new = Example(prompt="Mayor?", completion=" Ann"), Example(prompt="Mayor?", completion=" Bo")
    >>> [e.completion for e in union([old], [Experience("2021", (new,))]).train]
    [' Bo']
    """
    latest: dict[str, Example] = {}
    for example in (*base, *(e for experience in experiences for e in experience.train)):
        latest.pop(example.id, None)  # what comes again takes its newest place
        latest[example.id] = example
    return Experience("all", tuple(superseded(latest.values(), latest.values())))


class Joint(Gradient):
    """Trains once from the starting model on the union of everything; a bound, since it keeps all data and waits for the end."""
