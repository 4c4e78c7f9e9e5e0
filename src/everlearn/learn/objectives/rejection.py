"""Rejection sampling: the model learns those of its own answers that are right."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Literal

from torch import Tensor

from everlearn.errors import SettingError
from everlearn.learn.objectives.base import Supervised
from everlearn.learn.objectives.rewards import given, reward_of
from everlearn.learn.objectives.rollouts import Rollouts, once
from everlearn.methods.base import Step, at_least
from everlearn.models.weights import TrainedModel
from everlearn.types import Batch, Out, Row


class Rejection(Rollouts):
    """Draw answers to each prompt, keep the different ones that are good enough, and imitate these.

    Rejection-sampling fine-tuning (Yuan et al. 2023, arXiv:2308.01825; Dong et al. 2023, arXiv:2304.06767). Differs: answers are drawn at each step
    from the newest model, and a prompt without a good one is learned from the given answer, else what is new would never be.

    reward: "exact", "contains", or 'file.py:function' taking an Example and a text.   replayed: the reward of rows from memory, "" for the same.
    tries: answers drawn a prompt, >= 1.   least: reward from which on an answer is kept.   keep: most kept a prompt, >= 1.
    fallback: "gold" learns the given answer where none is kept, "skip" nothing.   temperature, limit: as drawn; limit 0: the longest given answer and 8.
    """

    active = {"tries": 2}
    paper = "Yuan et al. 2023, arXiv:2308.01825"
    cost = "drawing `tries` answers a prompt at each step"

    def __init__(
        self,
        reward: str = "exact",
        tries: int = 4,
        least: float = 1.0,
        keep: int = 4,
        fallback: Literal["gold", "skip"] = "gold",
        temperature: float = 1.0,
        limit: int = 0,
        replayed: str = "",
    ) -> None:
        super().__init__(temperature, limit, "rejection")
        at_least("rejection tries", tries, 1)
        at_least("rejection keep", keep, 1)
        if fallback not in ("gold", "skip"):
            raise SettingError(f"rejection fallback must be 'gold' or 'skip', got {fallback!r}.")
        self.reward, self.replayed = reward_of(reward), reward_of(replayed or reward)
        self.tries, self.least, self.most, self.fallback = tries, least, keep, fallback

    def rows(self, model: TrainedModel, rows: Sequence[Row], step: Step, random: Random) -> Sequence[Row]:
        asked, found = once(rows), list[Row]()
        for row, answers in zip(asked, self.drawn(model, asked, self.tries, random), strict=True):
            reward = self.replayed if row.from_memory else self.reward
            good = [one for one in answers if reward(row.example, given(one.example)) >= self.least]
            kept = list({one.tokens: one for one in good}.values())[: self.most]
            found += kept or ([row] if self.fallback == "gold" else [])
        return found

    def loss(self, model: TrainedModel, batch: Batch, out: Out) -> Tensor:
        return Supervised().loss(model, batch, out)
