"""Preference: of two answers to a prompt the chosen one gains on the rejected one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from random import Random

import torch
from torch import Tensor
from torch.nn import functional

from everlearn.errors import DataError, StateError
from everlearn.learn.objectives.base import Objective
from everlearn.learn.objectives.likelihood import logs_of, row_sums, token_logs
from everlearn.methods.base import State, Step, at_least
from everlearn.models.batch import MOST_PADDING, by_length
from everlearn.models.weights import TrainedModel
from everlearn.types import Batch, Example, Out, Row


class Preference(Objective):
    """Of two answers to a prompt the chosen one gains on the rejected one, without a reward model.

    Direct Preference Optimization (Rafailov et al. 2023, arXiv:2305.18290), a term a pair, the mean is over pairs:

        -log sigmoid(beta * ((log p(c) - log p_ref(c)) - (log p(r) - log p_ref(r)))),   c chosen, r rejected, sums over an answer's tokens

    p_ref is the model before the experience, so each experience starts from what the last one left; of a pair that a method draws from memory during
    it, the model when it was first drawn. Learns from prompt + chosen + rejected alone.
    beta: how strongly to stay near p_ref, > 0.   smooth: probability that a pair's label is wrong, in [0, 0.5) (cDPO).

    >>> from everlearn import Gradient, Preference
    >>> learner = Gradient([], objective=Preference(beta=0.1))
    """

    active = {"beta": 0.1}
    paper = "Rafailov et al. 2023, arXiv:2305.18290"
    stores = "two numbers a pair, during the experience"
    cost = "a pass over each pair before the experience; chosen and rejected are both learned"

    def __init__(self, beta: float = 0.1, smooth: float = 0.0) -> None:
        at_least("dpo beta", beta, 1e-6)
        at_least("dpo smooth", smooth, 0, 0.499)
        self.beta, self.smooth = beta, smooth
        self.reference: dict[str, tuple[float, float]] = {}  # by example: log p_ref of chosen and rejected

    def check(self, examples: Sequence[Example]) -> None:
        for example in examples:
            if example.chosen is None or example.rejected is None:
                raise DataError(f"dpo learns from preferences alone (id={example.id!r}). Give prompt + chosen + rejected, or leave dpo out.")

    def begin(self, model: TrainedModel, rows: Sequence[Row]) -> None:
        self.reference = {}
        self._refer(model, rows)

    def rows(self, model: TrainedModel, rows: Sequence[Row], step: Step, random: Random) -> Sequence[Row]:
        """Each pair as two rows, chosen then rejected; the first has the pair's id."""
        self._refer(model, rows)
        return self._both(model, rows)

    def cut(self, rows: Sequence[Row], most: int, most_padding: int = MOST_PADDING) -> Sequence[Sequence[Row]]:
        """As by length, a pair counted by its longer answer, and never parted."""
        pair = {id(max(two, key=lambda row: len(row.tokens))): two for two in zip(rows[::2], rows[1::2], strict=True)}
        longer = [max(two, key=lambda row: len(row.tokens)) for two in zip(rows[::2], rows[1::2], strict=True)]
        return [[row for one in part for row in pair[id(one)]] for part in by_length(longer, max(1, most // 2), most_padding)]

    def count(self, batch: Batch) -> float:
        return len(batch.rows) / 2

    def loss(self, model: TrainedModel, batch: Batch, out: Out) -> Tensor:
        sums = row_sums(batch, token_logs(batch, out))
        reference = torch.tensor([self.reference[row.id] for row in batch.rows[::2]], dtype=torch.double, device=sums.device)
        gain = (sums[::2] - reference[:, 0]) - (sums[1::2] - reference[:, 1])
        weights = torch.tensor([row.weight for row in batch.rows[::2]], device=sums.device)
        return weights * preference_loss(gain, self.beta, self.smooth)

    def state(self) -> State:
        return {"reference": {key: list(value) for key, value in self.reference.items()}} if self.reference else {}

    def load(self, state: State) -> None:
        reference = state.get("reference", {})
        if not isinstance(reference, dict):
            raise StateError(f"the saved state is no preference's (keys={sorted(state)[:5]!r}). Load the state of the same objective.")
        self.reference = {key: (float(chosen), float(rejected)) for key, (chosen, rejected) in reference.items()}

    def _refer(self, model: TrainedModel, rows: Sequence[Row]) -> None:
        """Note what the model says now of pairs that have no reference yet."""
        once = list({row.id: row for row in rows if row.id not in self.reference}.values())
        logs = [float(value.double().sum()) for value in logs_of(model, self._both(model, once))]
        self.reference |= {row.id: (logs[2 * at], logs[2 * at + 1]) for at, row in enumerate(once)}

    @staticmethod
    def _both(model: TrainedModel, rows: Sequence[Row]) -> list[Row]:
        for row in rows:
            if row.example.rejected is None:
                raise DataError(f"dpo learns from preferences alone, and a method gave it another row (id={row.id!r}). Join methods that rehearse pairs.")
        other = model.encoder.rows([Example(prompt=row.example.prompt, completion=row.example.rejected) for row in rows])
        bad = [replace(one, from_memory=row.from_memory, weight=row.weight) for one, row in zip(other, rows, strict=True)]
        return [one for two in zip(rows, bad, strict=True) for one in two]


def preference_loss(gain: Tensor, beta: float, smooth: float = 0.0) -> Tensor:
    """-(1 - smooth) log sigmoid(beta * gain) - smooth log sigmoid(-beta * gain), a value a pair.

    gain: (P,) how much more the chosen answer has gained on the reference than the rejected one, in nats.
    """
    return -(1 - smooth) * functional.logsigmoid(beta * gain) - smooth * functional.logsigmoid(-beta * gain)
