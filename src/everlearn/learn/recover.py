"""Recover: after an update, the model before it teaches back what was lost on general prompts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from random import Random
from typing import Any

import torch
from torch import Tensor

from everlearn.errors import DataError, SettingError, StateError
from everlearn.learn.base import Around, Learner, LearnLog
from everlearn.learn.fit import Checkpoint
from everlearn.learn.gradient import Gradient
from everlearn.learn.objectives.on_policy import OnPolicy
from everlearn.methods.base import State, at_least
from everlearn.methods.kl_budget import KLBudget
from everlearn.methods.packnet import PackNet
from everlearn.methods.subspace import Subspace
from everlearn.methods.tensors import tensors_of
from everlearn.models.language import LanguageModel
from everlearn.models.sampling import Sampling
from everlearn.models.state import on_device
from everlearn.models.weights import TrainedModel
from everlearn.replay.buffers import Reservoir
from everlearn.streams.files import read_examples
from everlearn.types import Example, Experience

WORDLESS = Example(prompt="", completion="")  # the model begins a text of its own
HELD = (KLBudget, PackNet, Subspace)  # promise where the weights stay, which steps after theirs would break


class Recover(Around):
    """After each experience, `steps` steps on the model's own answers to general prompts, graded token by token by the model from before it.

    On-policy distillation (Agarwal et al. 2024, arXiv:2306.13649), as a second phase after learning new data as Thinking Machines 2025 proposed: the
    reverse KL pulls back what the model says, not the answers to what is new. Differs: the prompts need not be stored.

    steps: >= 1.   batch: answers a step, >= 1.   rate: > 0; 0 for that of learning.   prompts: "own", texts begun from nothing; "memory", up to `rows`
    questions of the base and of past experiences, without their answers (own texts while there are none); or a file of examples, whose questions are
    asked. An encoder-decoder begins no texts of its own.
    limit: most tokens of an answer, >= 1.   temperature: of drawing.

    >>> from everlearn import Gradient
    >>> learner = Recover(steps=20).around(Gradient())
    """

    active = {"steps": 2, "batch": 4, "limit": 8}
    family = "distillation"
    paper = "Agarwal et al. 2024, arXiv:2306.13649"
    stores = "a copy of the trained weights while it learns; with prompts=memory `rows` questions"
    cost = "`steps` steps more an experience, with drawing `batch` answers and a pass of the teacher each"

    def __init__(
        self, steps: int = 50, batch: int = 16, rate: float = 0.0, prompts: str = "own", rows: int = 1000, limit: int = 32, temperature: float = 1.0
    ) -> None:
        for name, value in (("steps", steps), ("batch", batch), ("rows", rows), ("limit", limit)):
            at_least(f"recover {name}", value, 1)
        at_least("recover rate", rate, 0)
        Sampling(temperature)
        self.steps, self.batch, self.rate, self.prompts, self.limit, self.temperature = steps, batch, rate, prompts, limit, temperature
        self.questions = Reservoir(rows)
        self.before: dict[str, Tensor] = {}  # the weights before the experience, while it is learned
        self._device = torch.device("cpu")
        self.first: LearnLog | None = None  # what the first phase took, during the second
        self.done = 0

    def around(self, inner: Learner) -> Recover:
        """This learner with the loop inside; raises SettingError for anything else."""
        if not isinstance(inner, Gradient):
            raise SettingError(f"recover goes around the loop alone, got {type(inner).__name__!r}. Join it to methods of the loop.")
        broken = [type(m).__name__ for m in inner.methods if m.folds or isinstance(m, HELD)]
        if broken:
            raise SettingError(f"recover moves weights after these methods have set theirs for good (methods={broken!r}). Leave one of them out.")
        self.inner, self.loop = inner, inner
        settings = replace(inner.settings, rate=self.rate or inner.settings.rate, passes=1, batch=self.batch, schedule="constant", warmup=0.0)
        self.after = Gradient([], settings, OnPolicy(self.temperature, self.limit), inner.seed)
        return self

    def prepare(self, model: TrainedModel) -> LanguageModel:
        if self.prompts == "own" and not model.begins:
            raise SettingError(f"an encoder-decoder begins no text of its own (recover prompts={self.prompts!r}). Give prompts='memory' or a file of examples.")
        served, self._device = super().prepare(model), model.device
        self.after.prepare(model)
        if self.prompts not in ("own", "memory") and not self._filed():
            raise DataError(f"the examples ask no question (recover prompts={self.prompts!r}). Give rows of prompt + completion or messages.")
        return served

    def remember(self, model: TrainedModel, examples: Sequence[Example]) -> None:
        self.inner.remember(model, examples)
        self._note(examples)

    def learn(self, model: TrainedModel, experience: Experience, checkpoint: Checkpoint | None = None) -> LearnLog:
        if self.first is None:
            self.before = self.before or model.state()
            self.first = self.inner.learn(model, experience, self._around(checkpoint, "inner"))
        asked = Experience(experience.name, self._asked(Random(f"{self.loop.seed}/{self.done}/recover")))
        objective = self.after.objective
        assert isinstance(objective, OnPolicy)
        objective.weights = self.before
        log, first = self.after.learn(model, asked, self._around(checkpoint, "after")), self.first
        self._note(experience.train)
        self.before, self.first, self.done = {}, None, self.done + 1
        return replace(first, steps=first.steps + log.steps, learned_tokens=first.learned_tokens + log.learned_tokens, seconds=first.seconds + log.seconds)

    def state(self) -> State:
        first = None if self.first is None else {**asdict(self.first), "rehearsed": sorted(self.first.rehearsed)}
        parts: State = {"inner": self.inner.state(), "after": self.after.state(), "before": dict(self.before)}
        return {**parts, "first": first, "done": self.done, "questions": self.questions.to_json()}

    def load(self, state: State) -> None:
        after, first, questions, done = (state.get(name) for name in ("after", "first", "questions", "done"))
        if not (isinstance(after, dict) and isinstance(questions, dict) and isinstance(done, int)):
            raise StateError(f"the saved state is no recover's (keys={sorted(state)[:6]!r}). Load the state of the same learner.")
        super().load(state)
        state = on_device(state, self._device)
        self.after.load(after)
        self.before, self.done = tensors_of(state, "before"), done
        self.questions.load_json(questions)
        told: Any = first
        self.first = None if told is None else LearnLog(**{**told, "rehearsed": frozenset(told["rehearsed"])})

    def _asked(self, random: Random) -> tuple[Example, ...]:
        """The prompts of all steps."""
        wanted = self.steps * self.batch
        if self.prompts == "own":
            return (WORDLESS,) * wanted
        held = self.questions.examples() if self.prompts == "memory" else self._filed()
        return tuple(random.choices(held, k=wanted)) if held else (WORDLESS,) * wanted

    def _filed(self) -> list[Example]:
        """The file's questions."""
        return [_question(e) for e in read_examples(Path(self.prompts)) if e.question is not None]

    def _note(self, examples: Sequence[Example]) -> None:
        if self.prompts == "memory":
            asked = [_question(e) for e in examples if e.question is not None]
            self.questions.offer(asked, Random(f"{self.loop.seed}/{self.done}/questions"))

    def _around(self, checkpoint: Checkpoint | None, phase: str) -> Checkpoint | None:
        """The given checkpoint, offered this learner's state with that of the running phase inside."""
        if checkpoint is None:
            return None
        return lambda step, state: checkpoint(step, lambda: {**self.state(), phase: state()})


def _question(example: Example) -> Example:
    """The example without its answer."""
    return replace(example, chosen=None, rejected=None, completion="", id="") if example.messages is None else example.answered("")
