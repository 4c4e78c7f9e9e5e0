"""One run of a comparison: learn, evaluate, learn, evaluate; stopped at any moment, it goes on where it was."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from math import isfinite
from pathlib import Path
from time import perf_counter

from everlearn.conditions import Setup, Start
from everlearn.config import Recipe
from everlearn.errors import Diverged, SettingError, StateError
from everlearn.evaluate.cost import PeakMemory, state_bytes
from everlearn.evaluate.divergence import Anchor, Divergence
from everlearn.evaluate.hardware import hardware
from everlearn.evaluate.probes import probe, shares
from everlearn.evaluate.scores import Answer
from everlearn.evaluate.tasks import answers
from everlearn.finished import Finished, Seen
from everlearn.learn.base import Learner
from everlearn.learn.bounds import union
from everlearn.learn.registry import LEARNERS
from everlearn.methods.base import State, Step
from everlearn.models.language import LanguageModel
from everlearn.models.load import load_model
from everlearn.models.processes import processes
from everlearn.models.saving import Saving
from everlearn.models.state import load_state
from everlearn.models.weights import TrainedModel
from everlearn.prequential import scored
from everlearn.records import AnswerRecord
from everlearn.results import Run
from everlearn.types import Experience

# Told what is being done and which share of the whole comparison is done, 0 to 1.
Progress = Callable[[str, float], None]
# Told a run's label, the experience (0: before the stream) and all answers by task, after each evaluation.
Watch = Callable[[str, int, dict[str, list[Answer]]], None]


class Course:
    """One method with one seed over one order of the stream.

    unfinished: the folder where, every `save_every` seconds and after each experience, everything is kept to go on from; None keeps nothing. Of several
    processes the first keeps it, and all of them read it; where they share out the weights nothing is kept.
    """

    def __init__(self, setup: Setup, recipe: Recipe, seed: int, report: Progress, watch: Watch | None, unfinished: Path | None, save_every: float) -> None:
        self.setup, self.recipe, self.seed, self.report, self.watch = setup, recipe, seed, report, watch
        self.seen, self.processes = Seen(), processes()
        self.unfinished = None if self.processes.sharded else unfinished
        self._saving = Saving(self.unfinished, save_every) if self.unfinished is not None and self.processes.first else None
        around = [part.name for part in recipe.parts if part.name in LEARNERS]
        if around and self.processes.sharded:
            raise SettingError(f"learners around the loop need whole weights, and the launcher shares them out ({around!r}). Launch without FSDP.")
        self._began = perf_counter()

    def run(self, print_of: str) -> tuple[Run, AnswerRecord]:
        """Learn and evaluate all of it, from where it was left."""
        before = 0.0
        with PeakMemory() as memory:
            model = load_model(self.setup.model, self.setup.lora, self.setup.dtype, self.setup.device)
            anchor = Anchor.of(model, self.setup.anchors) if self.setup.anchors else None
            learner = self.recipe.learner(self.setup.settings, self.seed)
            served = learner.prepare(model)
            if self.unfinished is not None and (self.unfinished / "state.json").exists():
                self._resume(load_state(self.unfinished), model, learner)
                before = self.seen.seconds["all"]
                memory.bytes = max(memory.bytes, self.seen.peak)
            self.processes.wait()  # nobody writes until all have read
            self._memory, self._before = memory, before
            try:
                self._course(model, served, learner, anchor)
            finally:
                if self._saving is not None:
                    self._saving.wait()
        self.seen.seconds["all"], self.seen.peak = self._elapsed(), memory.bytes
        finished = Finished(self.setup, self.recipe, self.seed, self.seen)
        return finished.run(print_of, state_bytes(learner.state()), hardware(model.device)), finished.record()

    def forget_unfinished(self) -> None:
        """Delete what was kept to go on from, once the run is on disk."""
        if self.unfinished is not None and self.processes.first:
            shutil.rmtree(self.unfinished, ignore_errors=True)
            with suppress(OSError):  # another run's is in there
                self.unfinished.parent.rmdir()

    def _course(self, model: TrainedModel, served: LanguageModel, learner: Learner, anchor: Anchor | None) -> None:
        experiences, done = self.setup.stream.experiences, len(self.seen.answers)
        if not done:
            self._evaluate(served, 0, anchor, fresh=served is not model)
            begun = perf_counter()
            if not self.recipe.joint:
                learner.remember(model, [replace(e, task=None) for e in self.setup.stream.base])
            self.seen.seconds["learn"] += perf_counter() - begun
            self._keep(model, learner)
        if self.recipe.joint:
            rest = [(len(experiences), union(self.setup.stream.base, experiences))] if done <= len(experiences) else []
        else:
            rest = list(enumerate(experiences, 1))[max(0, done - 1) :]
        for number, experience in rest:
            if self.setup.prequential is not None and not self.recipe.joint and len(self.seen.tried) < number:
                begun = perf_counter()
                self.seen.tried.append(scored(served, experience.train, self.setup.prequential))
                self.seen.seconds["evaluate"] += perf_counter() - begun
            self._learn(model, learner, experience, number)
            for _ in range(number - len(self.seen.answers)):  # joint is measured at the end alone
                self._note({}, None, {})
            self._evaluate(served, number, anchor)
            self._keep(model, learner)

    def _learn(self, model: TrainedModel, learner: Learner, experience: Experience, number: int) -> None:
        hidden = Experience(str(number), tuple(replace(e, task=None) for e in experience.train), time=experience.time)
        done, count = (number - 1) / len(self.setup.stream), len(self.setup.stream)
        name, begun, earlier = f"{self.recipe.label}: learning {experience.name}", perf_counter(), self.seen.seconds["learn"]

        def checkpoint(step: Step, state: Callable[[], State]) -> None:
            self.report(name, done + 0.7 * step.number / step.total / count)
            if self._saving is not None and self._saving.due:
                self.seen.seconds["learn"] = earlier + perf_counter() - begun
                self._save({"learner": state()})

        log = learner.learn(model, hidden, checkpoint)
        self.seen.seconds["learn"] = earlier + perf_counter() - begun
        self.seen.logs.append(log)
        self.seen.rehearsed |= log.rehearsed | {e.id for e in experience.train}

    def _evaluate(self, model: LanguageModel, number: int, anchor: Anchor | None, fresh: bool = False) -> None:
        """Row `number` of the matrix; the starting model's is measured once for all runs that serve the model itself."""
        self.report(f"{self.recipe.label}: testing", max(0.0, (number - 0.3) / len(self.setup.stream)))
        begun, shared = perf_counter(), number == 0 and not fresh
        found = self.setup.start[0] if shared and self.setup.start else self._measured(model, number, anchor)
        if shared:
            if not self.setup.start:
                self.setup.start.append(found)
            self.seen.seconds["start"] = found.seconds
            self.seen.seconds["borrowed"] += found.seconds - min(found.seconds, perf_counter() - begun)  # a run of its own would have measured it too
        self.seen.seconds["evaluate"] += found.seconds
        self._note(found.answers, found.moved, found.probed)
        if self.watch is not None:
            self.watch(self.recipe.label, number, found.answers)

    def _measured(self, model: LanguageModel, number: int, anchor: Anchor | None) -> Start:
        """The answers, timed; the distance from the start; before and after the stream the probes."""
        begun = perf_counter()
        given = {task.name: answers(model, task) for task in self.setup.tasks}
        seconds = perf_counter() - begun
        moved = None if anchor is None else anchor.divergence(model)  # type: ignore[arg-type]
        self._sound(given, moved)
        asked = self.setup.probes and number in (0, len(self.setup.stream))
        return Start(given, seconds, moved, shares(probe(model)) if asked else {})

    def _sound(self, given: dict[str, list[Answer]], moved: Divergence | None) -> None:
        """Raise Diverged for a model whose numbers are none any more: a step that breaks it may be the last, after which no loss is taken."""
        broken = [task for task, of in given.items() if not all(isfinite(answer.value) for answer in of)]
        if broken or (moved is not None and not isfinite(moved.kl + moved.nats_per_byte)):
            raise Diverged(
                f"learning diverged: the model gives no numbers any more (method={self.recipe.label!r}, seed={self.seed!r},"
                f" {'task' if broken else 'text'}={broken[0] if broken else 'anchor'!r}). Lower the rate or a strength."
            )

    def _note(self, given: dict[str, list[Answer]], moved: Divergence | None, probed: dict[str, float]) -> None:
        self.seen.answers.append(dict(given))
        self.seen.moved.append(moved)
        self.seen.probed.append(probed)

    def _elapsed(self) -> float:
        return self._before + perf_counter() - self._began

    def _keep(self, model: TrainedModel, learner: Learner) -> None:
        """Between two experiences: everything, the weights too."""
        if len(self.seen.answers) <= len(self.setup.stream):
            self._save({"learner": learner.state(), "weights": dict(model.state())})

    def _save(self, state: State) -> None:
        if self._saving is None:
            return
        self.seen.seconds["all"], self.seen.peak = self._elapsed(), self._memory.bytes
        self._saving.save({"seen": self.seen.to_json(), **state})

    def _resume(self, state: State, model: TrainedModel, learner: Learner) -> None:
        weights, kept = state.get("weights"), state.get("learner")
        if isinstance(weights, dict):  # else they are in the learner's state, inside an experience
            model.load(weights)
        if not isinstance(kept, dict):
            raise StateError(f"there is no learner's state to go on from (folder={str(self.unfinished)!r}). Delete the folder to start the run again.")
        learner.load(kept)
        self.seen = Seen.from_json(state["seen"])
        if self.seen.answers and self.seen.seconds["start"] and not self.setup.start:
            self.setup.start.append(Start(self.seen.answers[0], self.seen.seconds["start"], self.seen.moved[0], self.seen.probed[0]))
