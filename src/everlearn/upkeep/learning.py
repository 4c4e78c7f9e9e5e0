"""Learning what arrived, from where it was left."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from time import perf_counter

from everlearn.errors import StateError
from everlearn.methods.base import State, Step
from everlearn.models.saving import Saving
from everlearn.models.state import load_state
from everlearn.types import Experience
from everlearn.upkeep.arriving import Arrival
from everlearn.upkeep.opening import Opened

# Told what is being done, and which share of it is done, 0 to 1.
Progress = Callable[[str, float], None]


class Lesson:
    """One attempt at teaching an opened version what arrived; stopped at any moment, it goes on and ends with the same weights, bit for bit.

    work: a folder of this attempt alone.   save_every: least seconds between savings.   seconds: of learning, those before an interruption too.
    """

    def __init__(self, opened: Opened, work: Path, save_every: float, report: Progress) -> None:
        self.opened, self.work, self.report = opened, work, report
        self.seconds, self._saving = 0.0, Saving(work, save_every)
        self._began = perf_counter()

    def learn(self, arrived: Arrival) -> None:
        """Learn it to the end. Raises Diverged for a model that breaks."""
        if (self.work / "state.json").exists() and self._resumed():
            return
        hidden = Experience(arrived.name, tuple(replace(e, task=None) for e in arrived.rows))
        try:
            self.opened.learner.learn(self.opened.model, hidden, self._checkpoint)
        finally:
            self._saving.wait()  # who is told of a failure finds nothing half written
        self._keep(self.opened.learner.state(), {"weights": dict(self.opened.model.state())})
        self._saving.wait()

    def _resumed(self) -> bool:
        """Take up what was kept; was it already learned to the end?"""
        state = load_state(self.work)
        learner, weights, seconds = state.get("learner"), state.get("weights"), state.get("seconds")
        if not isinstance(learner, dict) or not isinstance(seconds, float):
            raise StateError(f"there is no learner's state to go on from (folder={str(self.work)!r}). Delete the folder to start the update again.")
        if isinstance(weights, dict):  # else they are in the learner's state, inside the update
            self.opened.model.load(weights)
        self.opened.learner.load(learner)
        self._began -= seconds
        self.seconds = seconds
        return isinstance(weights, dict)

    def _checkpoint(self, step: Step, state: Callable[[], State]) -> None:
        self.report("learning", step.number / step.total)
        if self._saving.due:
            self._keep(state(), {})

    def _keep(self, learner: State, more: State) -> None:
        self.seconds = perf_counter() - self._began
        self._saving.save({"learner": learner, "seconds": self.seconds, **more})
