"""Distillation: the new model keeps saying what the old one said."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from everlearn.errors import SettingError
from everlearn.methods.base import Method, State, Step, at_least
from everlearn.methods.tensors import tensors_of
from everlearn.models.batch import by_length
from everlearn.models.weights import TrainedModel, as_found
from everlearn.types import Batch, Out, Row

SMALLEST_TAIL = 1e-6  # the tail's probability is kept above this: its logarithm has no gradient there


class Teacher(NamedTuple):
    """The old model's answer at a row's n learned tokens: top-k ids (n, k) and log-probabilities of k + the tail (n, k + 1)."""

    ids: Tensor
    logs: Tensor


class Distill(Method):
    """strength * T^2 * KL(p_old || p_new) on every learned token, p_old the model before the experience.

    Learning without Forgetting (Li and Hoiem 2016, arXiv:1606.09282); temperature after Hinton et al. 2015, arXiv:1503.02531. Differs: p_old is
    computed once an experience, for the top k tokens and one bucket for all others, and kept by row id.

    strength: >= 0; 0 is exactly plain training.   on: "all" rows, "new" ones (LwF), or those from "memory".   temperature: T > 0.   k: tokens kept, >= 1.
    """

    neutral = {"strength": 0.0}
    active = {"strength": 1.0, "on": "all"}
    shards = True
    family = "distillation"
    paper = "Li and Hoiem 2016, arXiv:1606.09282"
    stores = "per learned token: k ids and k + 1 log-probabilities, during the experience"
    cost = "a forward pass over each row before the experience"

    def __init__(self, strength: float = 1.0, on: Literal["all", "new", "memory"] = "all", temperature: float = 1.0, k: int = 32) -> None:
        at_least("distill strength", strength, 0)
        at_least("distill k", k, 1)
        at_least("distill temperature", temperature, 0.01, 100)
        if on not in ("all", "new", "memory"):
            raise SettingError(f"distill on must be 'all', 'new' or 'memory', got {on!r}.")
        self.strength, self.on, self.temperature, self.k = strength, on, temperature, k
        self.teacher: dict[str, Teacher] = {}

    def begin(self, model: TrainedModel, rows: Sequence[Row]) -> None:
        self.teacher = {}
        if not self.strength:
            return
        wanted = list({row.id: row for row in rows if self._covers(row)}.values())
        with as_found(model.module), torch.no_grad():
            for part in by_length(wanted, 16_384, model.tokens_a_pass()):
                logs, ids = top_with_tail(model.logits(model.batch(part)).logits, self.k, self.temperature)
                counts = [len(row.learned) for row in part]
                self.teacher |= {row.id: Teacher(i, v) for row, i, v in zip(part, torch.split(ids, counts), torch.split(logs, counts), strict=True)}

    def count(self, batch: Batch) -> float:
        return float(sum(len(row.learned) for row in batch.rows if row.id in self.teacher and self._covers(row)))

    def loss(self, model: TrainedModel, batch: Batch, out: Out) -> Tensor:
        taught = [row.id in self.teacher and self._covers(row) for row in batch.rows]
        answers = [self.teacher[row.id] for row, covered in zip(batch.rows, taught, strict=True) if covered]
        here = torch.tensor(taught, device=batch.row.device)[batch.row]
        ids, old = torch.cat([a.ids for a in answers]), torch.cat([a.logs for a in answers])
        new = out.at(here).each(lambda logits, ids: with_tail(logits.float() / self.temperature, ids), ids)
        return self.strength * self.temperature**2 * batch.weights[here] * (old.exp() * (old - new)).sum(1)

    def end(self, model: TrainedModel, step: Step, random: Random) -> None:
        self.teacher = {}  # of this experience's rows; the next asks anew

    def state(self) -> State:
        return {"ids": {key: t.ids for key, t in self.teacher.items()}, "logs": {key: t.logs for key, t in self.teacher.items()}}

    def load(self, state: State) -> None:
        ids, logs = tensors_of(state, "ids"), tensors_of(state, "logs")
        self.teacher = {key: Teacher(ids[key], logs[key]) for key in ids}

    def _covers(self, row: Row) -> bool:
        return self.on == "all" or (self.on == "memory") == row.from_memory


def top_with_tail(logits: Tensor, k: int, temperature: float) -> tuple[Tensor, Tensor]:
    """Log-probabilities (N, k + 1) of the k likeliest tokens and of all others together, and the ids (N, k)."""
    ids = logits.topk(min(k, logits.shape[1] - 1), 1).indices
    return with_tail(logits.float() / temperature, ids), ids


def with_tail(logits: Tensor, ids: Tensor) -> Tensor:
    """Log-probabilities (N, k + 1) of the given tokens (N, k), and of all others in one bucket."""
    top = logits.gather(1, ids) - logits.logsumexp(1, keepdim=True)
    tail = (1 - top.exp().sum(1, keepdim=True)).clamp_min(SMALLEST_TAIL).log()
    return torch.cat([top, tail], 1)
