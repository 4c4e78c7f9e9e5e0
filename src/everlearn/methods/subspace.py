"""Subspace: what the large singular directions of a weight do stays; everything else about it may learn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

import torch
from peft import PeftModel
from torch import Tensor

from everlearn.errors import ModelError, StateError
from everlearn.methods.base import Method, State, Step, at_least
from everlearn.methods.migu import linear_layers
from everlearn.methods.tensors import tensors_of
from everlearn.models.weights import TrainedModel
from everlearn.types import Row

SMALL = 1024  # the smaller side up to which the singular vectors are exact; above, those of a small share are found by random projection
SKETCH, ROUNDS = 16, 4  # directions more than wanted, and power iterations, of that projection (Halko et al. 2011, arXiv:0909.4061)


@dataclass(frozen=True, slots=True)
class Protected:
    """What stays of one weight W (out, in): u^T W (k, in) and W v (out, k).   u: (out, k).   s: (k,).   v: (in, k).

    left, right: u^T W and W v at the start; None where u, s, v are W's own singular triples, for then these are s v^T and u s.
    """

    u: Tensor
    s: Tensor
    v: Tensor
    left: Tensor | None = None
    right: Tensor | None = None

    def restore(self, weight: Tensor) -> None:
        """Make of W + D in place W + (I - u u^T) D (I - v v^T); no copy of W is needed, as u^T W and W v are known."""
        at = weight if weight.dtype == self.u.dtype else weight.to(self.u.dtype)
        left = self.s[:, None] * self.v.T if self.left is None else self.left
        at.addmm_(self.u, torch.addmm(left, self.u.T, at, beta=-1), alpha=-1)
        right = self.u * self.s if self.right is None else self.right
        at.addmm_(torch.addmm(right, at, self.v, beta=-1), self.v.T, alpha=-1)
        if at is not weight:
            weight.copy_(at)


class Subspace(Method):
    """Every linear layer's weight learns densely, but never within its large singular directions, on either side.

    With U, V the singular vectors of the `share` largest singular values before the experience, the optimizer's change D becomes
    (I - U U^T) D (I - V V^T) after each step: U^T W and W V stay what they were. The subspace is that of OSF (Nayak et al. 2025, arXiv:2504.07097).
    Differs: OSF trains the factors of the small part and projects their gradients, so that Adam's scaling leads out of the projected space;
    here the change itself is projected, whatever made it, and the forward pass is the model's own. The share is the same for all
    layers, where the paper lets layers of small effect give more. Norms, biases, embeddings and the output head are frozen.

    share: of each weight's singular directions, kept, in [0, 1); 0 is exactly plain training, nothing frozen.

    >>> from everlearn import Gradient, Subspace
    >>> learner = Gradient([Subspace(share=0.5)])
    """

    neutral = {"share": 0.0}
    active = {"share": 0.5}
    stage = "projection"
    family = "dynamic architecture"
    paper = "Nayak et al. 2025, arXiv:2504.07097"
    stores = "nothing between experiences; within one `share` of the size of the learned weights"
    cost = "a singular value decomposition a weight and experience; 4 products of `share` of a weight's size a step"

    def __init__(self, share: float = 0.5) -> None:
        at_least("subspace share", share, 0, 0.999)
        self.share = share
        self.protected: dict[str, Protected] = {}

    def prepare(self, model: TrainedModel) -> None:
        self.protected = {}
        if not self.share:
            return
        if isinstance(model.module, PeftModel):
            raise ModelError(f"subspace learns the weights themselves, but the model has adapters (model={model.name!r}). Load it with lora off.")
        wanted = {f"{name}.weight" for name in linear_layers(model)}
        for name, weight in model.trained().items():
            weight.requires_grad_(name in wanted)

    def begin(self, model: TrainedModel, rows: Sequence[Row]) -> None:
        if self.share:
            self.protected = {name: protect(weight.detach(), max(1, int(self.share * min(weight.shape)))) for name, weight in model.trained().items()}

    def stepped(self, model: TrainedModel, step: Step) -> None:
        for name, weight in model.trained().items():
            if name in self.protected:
                self.protected[name].restore(weight.detach())

    def end(self, model: TrainedModel, step: Step, random: Random) -> None:
        self.protected = {}

    def state(self) -> State:
        kept = {part: {name: getattr(of, part) for name, of in self.protected.items() if getattr(of, part) is not None} for part in Protected.__slots__}
        return {"protected": kept} if self.protected else {}

    def load(self, state: State) -> None:
        kept = state.get("protected", {part: {} for part in Protected.__slots__})
        if not isinstance(kept, dict) or state.keys() - {"protected"}:
            raise StateError(f"the saved state is no subspace's (keys={sorted(state)[:5]!r}). Load the state of the same method.")
        u, s, v, left, right = (tensors_of(kept, part) for part in Protected.__slots__)
        self.protected = {name: Protected(u[name], s[name], v[name], left.get(name), right.get(name)) for name in u}


def protect(weight: Tensor, rank: int) -> Protected:
    """The `rank` largest singular directions of a weight (out, in), in float32 or wider; found by random projection where that is cheaper.

    >>> protect(torch.diag(torch.tensor([1.0, 3.0, 2.0])), 2).s.tolist()
    [3.0, 2.0]
    """
    at = weight if weight.dtype == torch.float64 else weight.float()
    if min(weight.shape) <= SMALL or 4 * rank > min(weight.shape):
        u, s, vt = torch.linalg.svd(at, full_matrices=False)
        return Protected(u[:, :rank].contiguous(), s[:rank].clone(), vt[:rank].T.contiguous(), None)
    with torch.random.fork_rng([at.device] if at.device.type == "cuda" else []):
        torch.manual_seed(0)
        u, s, v = torch.svd_lowrank(at, rank + SKETCH, ROUNDS)
    u, s, v = u[:, :rank].contiguous(), s[:rank].clone(), v[:, :rank].contiguous()
    return Protected(u, s, v, u.T @ at, at @ v)
