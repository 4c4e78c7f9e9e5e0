"""PackNet: each experience keeps a few weights for good and leaves the others to the next."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from everlearn.errors import SettingError
from everlearn.methods.base import Method, State, Step, at_least
from everlearn.methods.masks import largest, mask_gradients, put_back
from everlearn.methods.tensors import tensors_of
from everlearn.models.weights import TrainedModel
from everlearn.types import Row


class PackNet(Method):
    """Learn with the free weights, prune the small ones, retrain the rest, and freeze these bit for bit; what was pruned learns next.

    Mallya and Lazebnik 2018, arXiv:1711.05769. After a share 1 - retrain of an experience's steps, of every matrix's free entries the `keep` largest
    stay, the others are pruned; the last steps train only what stayed; then it is frozen for good. Vectors (norms, biases) are frozen with
    the first past, as in the paper. Differs: of="change" ranks |theta - theta_start| and prunes back to theta_start, so that a pre-trained
    model keeps what it was; of="weight" is the paper's, |theta|, pruned to 0. Answers come from all weights: no task is named at test time.

    keep: share of the free entries an experience keeps, in [0, 1) (1 - the paper's pruning ratio); 0 with base=0 is exactly plain training.
    base: share of the starting weights, by magnitude, frozen from the start as the model's own past, in [0, 1); 0 for adapters, whose
    past lies in frozen weights anyway.   retrain: share of the steps after pruning, in [0, 1).

    >>> from everlearn import Gradient, PackNet
    >>> learner = Gradient([PackNet(keep=0.25, base=0.5)])
    """

    neutral = {"keep": 0.0, "base": 0.0}
    active = {"keep": 0.5, "base": 0.5}
    stage = "mask"
    wants_before = True
    family = "sparse updates"
    paper = "Mallya and Lazebnik 2018, arXiv:1711.05769"
    stores = "two masks of the trained weights; for of=change one copy of them"
    cost = "about 2 % of a step, and one copy of the trained weights"

    def __init__(self, keep: float = 0.5, base: float = 0.5, retrain: float = 0.3, of: Literal["change", "weight"] = "change") -> None:
        for name, value in (("keep", keep), ("base", base), ("retrain", retrain)):
            at_least(f"packnet {name}", value, 0, 0.999)
        if of not in ("change", "weight"):
            raise SettingError(f"packnet of must be 'change' or 'weight', got {of!r}.")
        self.keep, self.base, self.retrain, self.of = keep, base, retrain, of
        self.learns: dict[str, Tensor] = {}  # the experience's own entries; after pruning those that stayed
        self.free: dict[str, Tensor] = {}  # entries that no past experience keeps
        self.start: dict[str, Tensor] = {}

    def begin(self, model: TrainedModel, rows: Sequence[Row]) -> None:
        if not self.free and (self.keep or self.base):
            every = {name: torch.ones_like(weight, dtype=torch.bool) for name, weight in model.trained().items()}
            self.free = {name: ~self._kept(weight.detach().abs(), every[name], self.base) for name, weight in model.trained().items()}
        self.learns = {name: free.clone() for name, free in self.free.items()}
        self.start = model.state() if self.keep and self.of == "change" else {}

    def gradients(self, model: TrainedModel, step: Step) -> None:
        mask_gradients(model, self.learns)

    def stepped(self, model: TrainedModel, step: Step) -> None:
        if self.learns:
            put_back(model, step, self.learns)
        if self.keep and step.number == max(1, step.total - int(self.retrain * step.total)):
            self._prune(model)

    def end(self, model: TrainedModel, step: Step, random: object) -> None:
        if step.number and self.keep:
            self.free = {name: free & ~self.learns[name] for name, free in self.free.items()}
        self.learns, self.start = {}, {}

    def state(self) -> State:
        return {"free": dict(self.free), "learns": dict(self.learns), "start": dict(self.start)}

    def load(self, state: State) -> None:
        self.free, self.learns, self.start = tensors_of(state, "free"), tensors_of(state, "learns"), tensors_of(state, "start")

    def _prune(self, model: TrainedModel) -> None:
        """Put the smallest of the free entries back to 0, or to where they started; only the others go on learning."""
        for name, weight in model.trained().items():
            here, pruned_to = weight.detach(), self.start.get(name, torch.zeros_like(weight))
            self.learns[name] = self._kept((here - pruned_to).abs(), self.free[name], self.keep)
            here.copy_(torch.where(self.free[name] & ~self.learns[name], pruned_to, here))

    @staticmethod
    def _kept(size: Tensor, free: Tensor, share: float) -> Tensor:
        """The largest of a matrix's free entries; all of a vector's, if any."""
        if size.dim() < 2:
            return free & bool(share)
        return largest(torch.where(free, size, -torch.ones_like(size)), round(share * int(free.sum())) / free.numel()) & free
