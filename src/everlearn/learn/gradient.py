"""Learning by gradient: the loop with its objective, methods and optimizer."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from random import Random

import torch

from everlearn.errors import DataError, Diverged, SettingError, StateError
from everlearn.learn.base import LearnLog
from everlearn.learn.fit import Checkpoint, fit, objective_gradient
from everlearn.learn.objectives.base import Objective, Supervised
from everlearn.learn.plan import Plan
from everlearn.learn.settings import Settings
from everlearn.methods import BY_NAME
from everlearn.methods.base import Method, State, Step
from everlearn.models.processes import Processes, processes
from everlearn.models.state import on_device
from everlearn.models.weights import TrainedModel
from everlearn.types import Example, Experience


class Gradient:
    """A Learner: `fit` with a fresh AdamW for each experience; with no methods, plain fine-tuning.

    >>> from everlearn import L2SP, Gradient, Settings
    >>> learner = Gradient([L2SP(strength=0.1)], Settings(rate=1e-3, passes=2))
    """

    def __init__(self, methods: Sequence[Method] = (), settings: Settings | None = None, objective: Objective | None = None, seed: int = 0) -> None:
        self.methods, self.settings = tuple(methods), settings or Settings()
        self.objective, self.seed = objective or Supervised(), seed
        folding = [type(m).__name__ for m in self.methods if m.folds]
        if folding and self.objective.holds:
            raise SettingError(
                f"{type(self.objective).__name__} asks older weights again, and these methods change what lies beneath them (methods={folding!r})."
                " Join methods that fold no adapters."
            )
        self.learned = 0
        self._inside: State | None = None
        self._device = torch.device("cpu")

    def prepare(self, model: TrainedModel) -> TrainedModel:
        self._device = model.device
        for method in self.methods:
            method.prepare(model)
        self.objective.prepare(model)  # after what methods put in
        if (share := processes()).sharded:
            self._share_out(model, share)
        return model

    def remember(self, model: TrainedModel, examples: Sequence[Example]) -> None:
        self.objective.check(examples)
        rows = model.encoder.rows(examples)
        step = Step(0, 0, 0.0, rows, lambda given: objective_gradient(model, given, self.objective, self.settings))
        for place, method in enumerate(self.methods):
            method.end(model, step, Random(f"{self.seed}/base/{place}/{type(method).__name__}"))

    def supersede(self, newer: Sequence[Example]) -> None:
        for method in self.methods:
            method.supersede(newer)

    def learn(self, model: TrainedModel, experience: Experience, checkpoint: Checkpoint | None = None) -> LearnLog:
        self.objective.check(experience.train)
        cut = model.encoder.cut
        rows = [row for row in model.encoder.rows(experience.train) if row.learned]
        if not rows:
            raise DataError(
                f"the experience has nothing to learn from (experience={experience.name!r}, examples={len(experience.train)}). Give it training rows."
            )
        short = model.encoder.cut - cut
        torch.manual_seed(int.from_bytes(Random(f"{self.seed}/{self.learned}/torch").randbytes(4)))
        optimizer = torch.optim.AdamW(model.trained().values(), lr=self.settings.rate, weight_decay=self.settings.weight_decay, fused=True)
        inside, self._inside = self._inside, None
        if inside and Plan.load(model.encoder, inside).new_ids != [row.id for row in rows]:
            raise StateError(f"the saved state is inside another experience than this one (experience={experience.name!r}). Give the one it was saved in.")
        log = fit(model, rows, self.objective, self.methods, optimizer, self.settings, f"{self.seed}/{self.learned}", inside, self._around(checkpoint))
        if not isfinite(log.loss):
            raise Diverged(
                f"learning diverged: the loss is {log.loss} (experience={experience.name!r}, rate={self.settings.rate!r}). Lower the rate or a strength."
            )
        self.learned += 1
        return LearnLog(log.steps, log.learned_tokens, log.loss, log.seconds, log.end_seconds, log.rehearsed, short)

    def state(self) -> State:
        state: State = {"learned": self.learned, "methods": {str(place): method.state() for place, method in enumerate(self.methods)}}
        if aims := self.objective.state():
            state["objective"] = aims
        return state | ({"inside": self._inside} if self._inside else {})

    def load(self, state: State) -> None:
        state = on_device(state, self._device)
        methods, learned = state.get("methods"), state.get("learned")
        if not isinstance(methods, dict) or not isinstance(learned, int) or len(methods) != len(self.methods):
            raise StateError(
                f"the saved state does not fit {len(self.methods)} methods (keys={sorted(state)[:5]!r}). Load it into a learner with the same methods."
            )
        for place, method in enumerate(self.methods):
            method.load(methods[str(place)])
        aims = state.get("objective", {})
        self.objective.load(aims if isinstance(aims, dict) else {})
        inside = state.get("inside")
        self.learned, self._inside = learned, inside if isinstance(inside, dict) else None

    def _share_out(self, model: TrainedModel, share: Processes) -> None:
        others = [type(m).__name__ for m in self.methods if not m.shards] + [type(self.objective).__name__] * (not self.objective.shards)
        if others:
            holding = ", ".join(name for name, method in BY_NAME.items() if method.shards)
            raise SettingError(f"these need whole weights, and the launcher shares them out ({others!r}). With FSDP go: plain, {holding}. Launch without it.")
        model.share_out(share)

    def _around(self, checkpoint: Checkpoint | None) -> Checkpoint | None:
        """The given checkpoint, offered the whole learner's state instead of the loop's."""
        if checkpoint is None:
            return None
        return lambda step, state: checkpoint(step, lambda: {**self.state(), "inside": state()})
