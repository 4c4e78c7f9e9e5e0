"""Masks: which entries of the weights may learn; the others stay where they were, bit for bit."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from everlearn.errors import SettingError
from everlearn.methods.base import Step
from everlearn.models.weights import TrainedModel


def largest(scores: Tensor, share: float) -> Tensor:
    """True at the `share` of the entries with the largest scores, at least one unless share is 0; of equal scores some.

    >>> largest(torch.tensor([3.0, 1.0, 2.0, 0.0]), 0.5).tolist()
    [True, False, True, False]
    """
    mask = torch.zeros(scores.numel(), dtype=torch.bool, device=scores.device)
    mask[scores.flatten().topk(max(round(share * scores.numel()), int(share > 0))).indices] = True
    return mask.view(scores.shape)


def mask_gradients(model: TrainedModel, learns: Mapping[str, Tensor]) -> None:
    """Zero the gradient where the mask is False, so that clipping and the optimizer's moments see only what learns."""
    for name, weight in model.trained().items():
        if weight.grad is not None and name in learns:
            weight.grad.masked_fill_(~learns[name], 0)


def put_back(model: TrainedModel, step: Step, learns: Mapping[str, Tensor]) -> None:
    """Give every entry where the mask is False the value it had before the step: momentum and weight decay move it otherwise.

    The masks broadcast to their weights. Raises SettingError where the loop kept no weights from before the step.
    """
    if step.before is None:
        raise SettingError("a mask needs the weights from before the step (before=None). Set `wants_before = True` on the method.")
    for name, weight in model.trained().items():
        if name in learns:
            weight.detach().copy_(torch.where(learns[name], weight.detach(), step.before[name]))
