"""MoFO: each step moves only the entries with the largest momentum."""

from __future__ import annotations

from torch import Tensor

from everlearn.errors import SettingError
from everlearn.methods.base import Method, Step, at_least
from everlearn.methods.masks import put_back
from everlearn.models.weights import TrainedModel


class MoFO(Method):
    """After each step only the `share` of every tensor's entries with the largest |momentum| has moved; the others are where they were.

    theta_i <- theta_i + change_i if |m_i| is among the top share of its tensor, else theta_i; m the optimizer's first moment, this
    step's gradient in it. Chen et al. 2024, arXiv:2407.20999 (its alpha is `share`, its blocks the tensors). Differs: weight decay moves no
    filtered entry either.

    share: of each tensor's entries, in (0, 1]; 1 is exactly plain training.

    >>> from everlearn import Gradient, MoFO
    >>> learner = Gradient([MoFO(share=0.15)])
    """

    neutral = {"share": 1.0}
    active = {"share": 0.1}
    stage = "mask"
    wants_before = True
    family = "sparse updates"
    paper = "Chen et al. 2024, arXiv:2407.20999"
    stores = "nothing"
    cost = "about a tenth of a step, and one copy of the trained weights"

    def __init__(self, share: float = 0.1) -> None:
        at_least("mofo share", share, 1e-9, 1)
        self.share = share

    def stepped(self, model: TrainedModel, step: Step) -> None:
        if self.share == 1 or not step.rows:  # of nothing no momentum
            return
        kept = {} if step.optimizer is None else step.optimizer.state
        moments = {name: kept[weight] for name, weight in model.trained().items() if weight in kept}
        if not moments or not all("exp_avg" in moment for moment in moments.values()):
            raise SettingError(f"mofo needs an optimizer with momentum, got {type(step.optimizer).__name__!r}. Allowed are Adam and its kin; use AdamW.")
        put_back(model, step, {name: filtered(moment["exp_avg"].abs(), self.share) for name, moment in moments.items()})


def filtered(size: Tensor, share: float) -> Tensor:
    """True at the top share of the entries by size; never where it is 0. A selection, no sort: it runs at every step."""
    count = max(1, round(share * size.numel()))
    threshold = size.flatten().kthvalue(size.numel() - count + 1).values
    return (size >= threshold) & (size > 0)
