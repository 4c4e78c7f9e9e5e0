"""Magnitude mask: only a fixed, sparse choice of the weights ever learns."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from everlearn.errors import SettingError
from everlearn.methods.base import Method, State, Step, at_least
from everlearn.methods.masks import largest, mask_gradients, put_back
from everlearn.methods.tensors import tensors_of
from everlearn.models.weights import TrainedModel


class MagnitudeMask(Method):
    """A fixed share of each tensor's entries learns, chosen once by magnitude or at random; all others stay bit for bit.

    SHiRA (Bhardwaj et al. 2024, arXiv:2407.16712), its masks SHiRA-WM ("largest") and SHiRA-Rand ("random"): theta <- theta + M * change, M in {0, 1}
    of a fixed number of ones. Differs: every trained tensor is masked, also vectors; equal magnitudes (a fresh adapter's zeros) are chosen
    among at random; "smallest" is ours: what carries least learns.

    share: of the entries that learn, in (0, 1]; 1 is exactly plain training.   kind: "largest", "smallest" or "random".   seed: of the draws.

    >>> from everlearn import Gradient, MagnitudeMask
    >>> learner = Gradient([MagnitudeMask(share=0.02)])
    """

    neutral = {"share": 1.0}
    active = {"share": 0.1}
    stage = "mask"
    wants_before = True
    family = "sparse updates"
    paper = "Bhardwaj et al. 2024, arXiv:2407.16712"
    stores = "one mask of the trained weights"
    cost = "about 2 % of a step, and one copy of the trained weights"

    def __init__(self, share: float = 0.1, kind: Literal["largest", "smallest", "random"] = "largest", seed: int = 0) -> None:
        at_least("magnitude_mask share", share, 1e-9, 1)
        if kind not in ("largest", "smallest", "random"):
            raise SettingError(f"magnitude_mask kind must be 'largest', 'smallest' or 'random', got {kind!r}.")
        self.share, self.kind, self.seed = share, kind, seed
        self.learns: dict[str, Tensor] = {}

    def begin(self, model: TrainedModel, rows: object) -> None:
        if self.share < 1 and not self.learns:
            random = torch.Generator().manual_seed(self.seed)
            self.learns = {name: self._chosen(weight.detach(), random) for name, weight in model.trained().items()}

    def gradients(self, model: TrainedModel, step: Step) -> None:
        mask_gradients(model, self.learns)

    def stepped(self, model: TrainedModel, step: Step) -> None:
        if self.learns:
            put_back(model, step, self.learns)

    def state(self) -> State:
        return {"learns": dict(self.learns)}

    def load(self, state: State) -> None:
        self.learns = tensors_of(state, "learns")

    def _chosen(self, weight: Tensor, random: torch.Generator) -> Tensor:
        order = torch.randperm(weight.numel(), generator=random).to(weight.device)  # so that equal magnitudes are no tensor's corner
        size = weight.abs().flatten()[order].float()
        scores = {"largest": size, "smallest": -size, "random": torch.arange(len(order), device=order.device)}[self.kind]
        mask = torch.empty_like(order, dtype=torch.bool)
        mask[order] = largest(scores, self.share)
        return mask.view(weight.shape)
