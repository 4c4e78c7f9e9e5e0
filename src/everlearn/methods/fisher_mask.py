"""Fisher mask: only the weights that matter most to the new, or least to the past, learn."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Literal

import torch
from torch import Tensor

from everlearn.errors import SettingError
from everlearn.methods.base import Method, State, Step, at_least
from everlearn.methods.ewc import sampled
from everlearn.methods.fisher import fisher
from everlearn.methods.masks import largest, mask_gradients, put_back
from everlearn.methods.tensors import tensors_of
from everlearn.models.weights import TrainedModel
from everlearn.types import Row


class FisherMask(Method):
    """In each experience only a share of every tensor's entries learns, chosen by the diagonal Fisher; all others stay bit for bit.

    F_i = mean over examples of (d log p / d theta_i)^2. learn="most": the entries with the largest F on the new rows, measured before
    the first step: the FISH mask (Sung, Nair, Raffel 2021, arXiv:2111.09839). learn="least": those with the smallest sum of the F of all past
    experiences, measured after each: what the past needs most is frozen, EWC's importance as a hard limit. Differs: the share is of each
    tensor, not of all entries together, which would all but choose tensors; the mask is chosen anew for each experience.

    share: of the entries that learn, in (0, 1]; 1 is exactly plain training.   samples: examples a Fisher is measured on, >= 1.

    >>> from everlearn import FisherMask, Gradient
    >>> learner = Gradient([FisherMask(share=0.3, learn="least")])
    """

    neutral = {"share": 1.0}
    active = {"share": 0.3, "samples": 4}
    stage = "mask"
    wants_before = True
    family = "sparse updates"
    paper = "Sung et al. 2021, arXiv:2111.09839"
    stores = "one mask of the trained weights; for learn=least one copy of them"
    cost = "about 2 % of a step; `samples` gradients an experience"

    def __init__(self, share: float = 0.3, learn: Literal["most", "least"] = "least", samples: int = 256) -> None:
        at_least("fisher_mask share", share, 1e-9, 1)
        at_least("fisher_mask samples", samples, 1)
        if learn not in ("most", "least"):
            raise SettingError(f"fisher_mask learn must be 'most' or 'least', got {learn!r}.")
        self.share, self.learn, self.samples = share, learn, samples
        self.fisher: dict[str, Tensor] = {}
        self.learns: dict[str, Tensor] = {}

    def begin(self, model: TrainedModel, rows: Sequence[Row]) -> None:
        self.learns = {}
        if self.share == 1:
            return
        if self.learn == "least":
            self.learns = {name: largest(-value, self.share) for name, value in self.fisher.items()}
        else:
            new = list({row.id: row for row in rows if not row.from_memory}.values())[: self.samples]  # mixed by the loop already
            self.learns = {name: largest(value, self.share) for name, value in fisher(model, new, "empirical", Random(0)).items()}

    def gradients(self, model: TrainedModel, step: Step) -> None:
        mask_gradients(model, self.learns)

    def stepped(self, model: TrainedModel, step: Step) -> None:
        if self.learns:
            put_back(model, step, self.learns)

    def end(self, model: TrainedModel, step: Step, random: Random) -> None:
        if self.share == 1 or self.learn == "most" or not step.rows:
            return
        fresh = fisher(model, sampled(step.rows, self.samples, random), "empirical", random)
        self.fisher = {name: self.fisher.get(name, torch.zeros_like(value)) + value for name, value in fresh.items()}

    def state(self) -> State:
        return {"fisher": dict(self.fisher), "learns": dict(self.learns)}

    def load(self, state: State) -> None:
        self.fisher, self.learns = tensors_of(state, "fisher"), tensors_of(state, "learns")
