"""On-policy distillation: the model's own answers, corrected token by token by a teacher."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import torch
from torch import Tensor

from everlearn.learn.objectives.likelihood import logs_of, token_logs
from everlearn.learn.objectives.rollouts import Rollouts
from everlearn.methods.base import Step
from everlearn.models.weights import TrainedModel, holding
from everlearn.types import Batch, Out, Row


class OnPolicy(Rollouts):
    """One answer drawn to each prompt; each token's advantage is log p_T - log p, held fixed: the policy gradient of -KL(p || p_T) a token.

    Agarwal et al. 2024, arXiv:2306.13649; as a recovery after an update Thinking Machines 2025. weights: the teacher's, by name of the trained parameters.
    """

    def __init__(self, temperature: float, limit: int) -> None:
        super().__init__(temperature, limit, "recover")
        self.weights: dict[str, Tensor] = {}
        self._told: dict[Row, Tensor] = {}

    def rows(self, model: TrainedModel, rows: Sequence[Row], step: Step, random: Random) -> Sequence[Row]:
        drawn = [answers[0] for answers in self.drawn(model, rows, 1, random)]
        with holding(model, self.weights):
            self._told = dict(zip(drawn, logs_of(model, drawn), strict=True))
        return drawn

    def loss(self, model: TrainedModel, batch: Batch, out: Out) -> Tensor:
        return batch.weights * on_policy_loss(token_logs(batch, out), torch.cat([self._told[row] for row in batch.rows]))


def on_policy_loss(logs: Tensor, teacher: Tensor) -> Tensor:
    """(log p - log p_T) * log p, the first factor held fixed, a value a token, (N,) each; its expected gradient is that of KL(p || p_T)."""
    return (logs.detach() - teacher) * logs
