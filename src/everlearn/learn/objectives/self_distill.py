"""Self-distillation: the model that is shown the answer teaches the model that is not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from random import Random
from typing import Literal

import torch
from torch import Tensor

from everlearn.errors import DataError, SettingError
from everlearn.learn.objectives.rollouts import Rollouts
from everlearn.methods.base import State, Step, at_least
from everlearn.methods.distill import Teacher, top_with_tail, with_tail
from everlearn.methods.tensors import tensors_of
from everlearn.models.batch import by_length
from everlearn.models.weights import TrainedModel, as_found, holding
from everlearn.types import Batch, Example, Out, Row

SHOWN = "{prompt}{completion}\n\n{prompt}"


class SelfDistill(Rollouts):
    """The model that is shown the given answer teaches the model that is not, on answers the latter draws itself.

    Self-Distillation Fine-Tuning (Shenfeld et al. 2026, arXiv:2601.19897): one answer y is drawn to each prompt x, and each of its tokens costs

        KL(p_teacher(. | shown(x, c), y<t) || p(. | x, y<t)),   c the given answer; the mean is over tokens

    The gradient reaches p alone. Differs: the teacher's k likeliest tokens and one bucket for all others; the teacher is frozen, as is right for a
    stream (the paper's follows the student slowly); an answer's first tokens count too, unless `skip` says otherwise (its code masks 3).

    teacher: "start", the model before the stream; or "experience", the one before the experience.   k: >= 1.   skip: first tokens of an answer
    that are not learned, >= 0.   shown: how the teacher is asked, with {prompt} and {completion}; conversations are shown whole, then asked again.
    temperature: of drawing, limit: most tokens of an answer, 0 for the step's longest given answer and 8 more.
    """

    active = {"k": 8}
    paper = "Shenfeld et al. 2026, arXiv:2601.19897"
    stores = "a copy of the trained weights"
    cost = "drawing an answer a row at each step, and a pass of the teacher over it"

    def __init__(
        self,
        teacher: Literal["start", "experience"] = "start",
        k: int = 32,
        skip: int = 0,
        shown: str = SHOWN,
        temperature: float = 1.0,
        limit: int = 0,
    ) -> None:
        super().__init__(temperature, limit, "self_distill")
        at_least("self_distill k", k, 1)
        at_least("self_distill skip", skip, 0)
        if teacher not in ("start", "experience"):
            raise SettingError(f"self_distill teacher must be 'start' or 'experience', got {teacher!r}.")
        if "{prompt}" not in shown or "{completion}" not in shown:
            raise SettingError(f"self_distill shown must hold {{prompt}} and {{completion}}, got {shown!r}.")
        self.teacher, self.k, self.skip, self.shown = teacher, k, skip, shown
        self.weights: dict[str, Tensor] = {}
        self._told: dict[Row, Teacher] = {}

    @property
    def holds(self) -> bool:
        return True

    def prepare(self, model: TrainedModel) -> None:
        self.weights = model.state()

    def begin(self, model: TrainedModel, rows: Sequence[Row]) -> None:
        if self.teacher == "experience" or not self.weights:
            self.weights = model.state()

    def rows(self, model: TrainedModel, rows: Sequence[Row], step: Step, random: Random) -> Sequence[Row]:
        drawn = [answers[0] for answers in self.drawn(model, rows, 1, random)]
        learned = [replace(row, learned=row.learned[self.skip :]) for row in drawn]
        kept = [(row, of) for row, of in zip(learned, rows, strict=True) if row.learned]
        self._told = {row: answer for (row, _), answer in zip(kept, self._answers(model, kept), strict=True)}
        return [row for row, _ in kept]

    def loss(self, model: TrainedModel, batch: Batch, out: Out) -> Tensor:
        answers = [self._told[row] for row in batch.rows]
        return batch.weights * out.each(forward_kl, torch.cat([a.ids for a in answers]), torch.cat([a.logs for a in answers]))

    def state(self) -> State:
        return {"weights": dict(self.weights)} if self.teacher == "experience" else {}

    def load(self, state: State) -> None:
        if "weights" in state:
            self.weights = tensors_of(state, "weights")

    def _answers(self, model: TrainedModel, kept: Sequence[tuple[Row, Row]]) -> list[Teacher]:
        """What the teacher, shown the given answer, says at each learned token of the drawn one."""
        asked = model.encoder.prompts([shown_to_teacher(of.example, self.shown) for _, of in kept])
        rows, found = [_after(tokens, row, self.skip, model.encoder.longest) for tokens, (row, _) in zip(asked, kept, strict=True)], dict[int, Teacher]()
        with holding(model, self.weights), as_found(model.module), torch.no_grad():
            for part in by_length(rows, 16_384, model.tokens_a_pass()):
                logs, ids = top_with_tail(model.logits(model.batch(part)).logits, self.k, 1.0)
                counts = [len(row.learned) for row in part]
                found |= {id(row): Teacher(i, v) for row, i, v in zip(part, torch.split(ids, counts), torch.split(logs, counts), strict=True)}
        return [found[id(row)] for row in rows]


def shown_to_teacher(example: Example, shown: str) -> Example:
    """The example as its teacher is asked: with the given answer, then the question again."""
    if example.messages is not None:
        return replace(example, messages=(*example.messages, *example.messages), id="")
    return replace(example, prompt=shown.replace("{completion}", example.completion or "").replace("{prompt}", example.prompt or ""), id="")


def forward_kl(logits: Tensor, ids: Tensor, teacher: Tensor) -> Tensor:
    """KL(teacher || p) a token, (N,), over the teacher's tokens ids (N, k) and one bucket for all others. logits: (N, V).   teacher: (N, k + 1) logs."""
    return (teacher.exp() * (teacher - with_tail(logits.float(), ids))).sum(1)


def _after(tokens: Sequence[int], row: Row, skip: int, longest: int) -> Row:
    """The drawn answer of `row` after other tokens; its first `skip` tokens are not learned."""
    whole = (*tokens, *row.tokens[row.learned[0] - skip :])
    if len(whole) > longest:
        raise DataError(f"the answer shown and asked again does not fit the model (id={row.id!r}, tokens={len(whole)}, most={longest}). Shorten the example.")
    return Row(row.example, whole, tuple(range(len(tokens) + skip, len(whole))))
