"""The outer seam: anything that learns from experiences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Protocol

from everlearn.errors import StateError
from everlearn.learn.fit import Checkpoint
from everlearn.methods.base import State
from everlearn.models.language import LanguageModel
from everlearn.models.weights import TrainedModel
from everlearn.types import Example, Experience


@dataclass(frozen=True, slots=True)
class LearnLog:
    """What learning one experience took; seconds are wall time, `end_seconds` a part of `seconds`.

    rehearsed: ids of examples from memory.   cut: rows that were too long for the model and lost a part.
    """

    steps: int = 0
    learned_tokens: int = 0
    loss: float = float("nan")
    seconds: float = 0.0
    end_seconds: float = 0.0
    rehearsed: frozenset[str] = field(default_factory=frozenset)
    cut: int = 0


class Learner(Protocol):
    """Learns one experience after the other; streams, evaluation and versions see only this."""

    def prepare(self, model: TrainedModel) -> LanguageModel:
        """Once a run, before `load`: what is evaluated and served, the model itself or a wrapper."""
        ...

    def remember(self, model: TrainedModel, examples: Sequence[Example]) -> None:
        """Take note of a past the model already knows (a stream's base); does not train."""
        ...

    def learn(self, model: TrainedModel, experience: Experience, checkpoint: Checkpoint | None = None) -> LearnLog:
        """Learn what arrived. After `load` of a state saved inside this experience, go on there."""
        ...

    def supersede(self, newer: Sequence[Example]) -> None:
        """Take note of answers that hold now and are not learned here: what is remembered of their questions and differs is not rehearsed any more."""
        ...

    def state(self) -> State:
        """Everything between experiences but the model's weights: tensors and JSON."""
        ...

    def load(self, state: State) -> None:
        """Take up a saved state, after `prepare`."""
        ...


class Around:
    """A Learner around another: what is no loss and no step (a router over adapters, a second phase). Made with its settings, then put around.

    active: settings under which it must change something (for the shipped checks).   family, paper, stores, cost: for `everlearn methods`.
    trains: False for a learner that needs no training of the weights beneath: named without a method, an objective or plain, it stands on frozen ones.
    """

    active: ClassVar[Mapping[str, object]] = {}
    family: ClassVar[str] = ""
    paper: ClassVar[str] = ""
    stores: ClassVar[str] = "nothing"
    cost: ClassVar[str] = ""
    trains: ClassVar[bool] = True
    inner: Learner

    def around(self, inner: Learner) -> Learner:
        """This learner with `inner` inside."""
        self.inner = inner
        return self

    def prepare(self, model: TrainedModel) -> LanguageModel:
        return self.inner.prepare(model)

    def remember(self, model: TrainedModel, examples: Sequence[Example]) -> None:
        self.inner.remember(model, examples)

    def supersede(self, newer: Sequence[Example]) -> None:
        self.inner.supersede(newer)

    def learn(self, model: TrainedModel, experience: Experience, checkpoint: Checkpoint | None = None) -> LearnLog:
        return self.inner.learn(model, experience, checkpoint)

    def state(self) -> State:
        return {"inner": self.inner.state()}

    def load(self, state: State) -> None:
        inner = state.get("inner")
        if not isinstance(inner, dict):
            raise StateError(f"the saved state is no {type(self).__name__}'s (keys={sorted(state)[:5]!r}). Load the state of the same learner.")
        self.inner.load(inner)
