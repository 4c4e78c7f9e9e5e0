"""Reinforcement: answers better than the others to the same prompt become likelier."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from statistics import fmean, stdev
from typing import Any

import torch
from torch import Tensor

from everlearn.errors import StateError
from everlearn.learn.objectives.likelihood import logs_of, token_logs
from everlearn.learn.objectives.rewards import given, reward_of
from everlearn.learn.objectives.rollouts import Rollouts, once
from everlearn.methods.base import State, Step, at_least
from everlearn.methods.tensors import tensors_of
from everlearn.models.weights import TrainedModel, holding
from everlearn.types import Batch, Example, Out, Row

SMALL = 1e-4  # added to a group's standard deviation


@dataclass(frozen=True, slots=True)
class Judged:
    """What a drawn answer is worth. advantage: over its group.   old, reference: log p (n,) of its tokens when drawn, and by p_ref."""

    advantage: float
    old: Tensor | None = None
    reference: Tensor | None = None


class GRPO(Rollouts):
    """Answers that earn more reward than the others to the same prompt become likelier; the reward is a function of yours.

    Group Relative Policy Optimization (Shao et al. 2024, arXiv:2402.03300), a term a token:

        A = (reward - mean of the group) / (standard deviation of the group + 1e-4)
        -min(ratio * A, clip(ratio, 1 - clip, 1 + clip) * A) + beta * (p_ref / p - log(p_ref / p) - 1),   ratio = p / p when drawn

    A group is what is drawn to one prompt. Differs: groups whose rewards are all equal teach nothing and are left out; the mean is over all tokens of
    the step, not first within an answer; p_ref is the model before the experience. Rows from memory (`replay+grpo`) are prompts like the new ones, with
    a reward of their own.

    reward, replayed, temperature, limit: as in rejection.   group: answers a prompt, >= 2.   clip: in (0, 1).   beta: of the KL to p_ref, >= 0.
    reuse: steps in which an answer is learned, >= 1: that of its drawing and the next ones, beside their own; from 2 on the clip acts.
    scale: divide by the standard deviation (False: Liu et al. 2025, arXiv:2503.20783).
    """

    active = {"group": 4, "temperature": 2.0, "beta": 0.1, "reuse": 2}
    paper = "Shao et al. 2024, arXiv:2402.03300"
    stores = "with beta a copy of the trained weights; with reuse the last answers drawn"
    cost = "drawing `group` answers a prompt at each step, and learning them"

    def __init__(
        self,
        reward: str = "exact",
        group: int = 8,
        clip: float = 0.2,
        beta: float = 0.0,
        temperature: float = 1.0,
        limit: int = 0,
        reuse: int = 1,
        scale: bool = True,
        replayed: str = "",
    ) -> None:
        super().__init__(temperature, limit, "grpo")
        at_least("grpo group", group, 2)
        at_least("grpo clip", clip, 1e-6, 1)
        at_least("grpo beta", beta, 0)
        at_least("grpo reuse", reuse, 1)
        self.reward, self.replayed = reward_of(reward), reward_of(replayed or reward)
        self.group, self.clip, self.beta, self.reuse, self.scale = group, clip, beta, reuse, scale
        self.reference: dict[str, Tensor] = {}
        self.last: list[list[tuple[Row, Judged]]] = []  # of the last steps, the newest first
        self._judged: dict[Row, Judged] = {}

    @property
    def holds(self) -> bool:
        return bool(self.beta)

    def begin(self, model: TrainedModel, rows: Sequence[Row]) -> None:
        self.reference, self.last = model.state() if self.beta else {}, []

    def rows(self, model: TrainedModel, rows: Sequence[Row], step: Step, random: Random) -> Sequence[Row]:
        asked, found = once(rows), list[tuple[Row, Judged]]()
        for row, answers in zip(asked, self.drawn(model, asked, self.group, random), strict=True):
            reward = self.replayed if row.from_memory else self.reward
            values = advantages([reward(row.example, given(one.example)) for one in answers], self.scale)
            found += [(one, Judged(value)) for one, value in zip(answers, values, strict=True)] if any(values) else []
        found = self._logged(model, found)
        shown = [*found, *(one for part in self.last for one in part)]
        self.last = [found, *self.last][: self.reuse - 1]
        self._judged = dict(shown)
        return [row for row, _ in shown]

    def loss(self, model: TrainedModel, batch: Batch, out: Out) -> Tensor:
        logs = token_logs(batch, out)
        judged = [self._judged[row] for row in batch.rows]
        worth = torch.tensor([one.advantage for one in judged], device=logs.device)[batch.row]
        old = logs.detach() if self.reuse == 1 else torch.cat([one.old for one in judged if one.old is not None])
        values = policy_loss(logs, old, worth, self.clip)
        if self.beta:
            values = values + self.beta * reverse_kl(logs, torch.cat([one.reference for one in judged if one.reference is not None]))
        return batch.weights * values

    def state(self) -> State:
        parts = [{str(at): _saved(row, judged) for at, (row, judged) in enumerate(part)} for part in self.last]
        last = {str(at): part for at, part in enumerate(parts)}
        return {name: value for name, value in (("reference", dict(self.reference)), ("last", last)) if value}

    def load(self, state: State) -> None:
        last = state.get("last", {})
        if not isinstance(last, dict) or not {"reference", "last"} >= state.keys():
            raise StateError(f"the saved state is no grpo's (keys={sorted(state)[:5]!r}). Load the state of the same objective.")
        self.reference = tensors_of(state, "reference") if "reference" in state else {}
        self.last = [[_put_back(part[str(at)]) for at in range(len(part))] for part in (last[str(at)] for at in range(len(last)))]

    def _logged(self, model: TrainedModel, found: list[tuple[Row, Judged]]) -> list[tuple[Row, Judged]]:
        """With the log-probabilities that the loss needs."""
        rows = [row for row, _ in found]
        old: Sequence[Tensor | None] = logs_of(model, rows) if self.reuse > 1 and rows else [None] * len(rows)
        reference: Sequence[Tensor | None] = [None] * len(rows)
        if self.beta and rows:
            with holding(model, self.reference):
                reference = logs_of(model, rows)
        return [(row, Judged(judged.advantage, one, other)) for (row, judged), one, other in zip(found, old, reference, strict=True)]


def advantages(rewards: Sequence[float], scale: bool = True) -> list[float]:
    """What each answer's reward has over its group's mean, in the group's standard deviations (of a sample); zeros where all are equal.

    >>> [round(value, 2) for value in advantages([1.0, 0.0, 0.0, 1.0])]
    [0.87, -0.87, -0.87, 0.87]
    """
    if max(rewards) == min(rewards):
        return [0.0] * len(rewards)
    middle, spread = fmean(rewards), stdev(rewards) + SMALL if scale else 1.0
    return [(reward - middle) / spread for reward in rewards]


def policy_loss(logs: Tensor, old: Tensor, advantage: Tensor, clip: float) -> Tensor:
    """-min(ratio * A, clipped ratio * A), a value a token, (N,) each."""
    ratio = (logs - old).exp()
    return -torch.minimum(ratio * advantage, ratio.clamp(1 - clip, 1 + clip) * advantage)


def reverse_kl(logs: Tensor, reference: Tensor) -> Tensor:
    """An estimate of KL(p || p_ref) from tokens drawn from p, (N,), never negative (Schulman 2020's third); its gradient reaches p alone."""
    ratio = reference - logs
    return ratio.exp() - ratio - 1


def _saved(row: Row, judged: Judged) -> State:
    tensors = {name: value for name, value in (("old", judged.old), ("reference", judged.reference)) if value is not None}
    how = {"example": row.example.to_json(), "tokens": list(row.tokens), "learned": list(row.learned), "from_memory": row.from_memory, "weight": row.weight}
    return {"row": how, "advantage": judged.advantage, **tensors}


def _put_back(saved: Any) -> tuple[Row, Judged]:
    how = saved["row"]
    row = Row(Example.from_json(how["example"]), tuple(how["tokens"]), tuple(how["learned"]), how["from_memory"], how["weight"])
    return row, Judged(saved["advantage"], saved.get("old"), saved.get("reference"))
