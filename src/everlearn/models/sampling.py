"""How a next token is chosen when the model writes by chance: temperature, top-k, nucleus; seeded, and the same on every device."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

import torch
from torch import Tensor

from everlearn.errors import SettingError

# Next-token logits (B, V) to the tokens (B,) that are said.
Choose = Callable[[Tensor], Tensor]


def likeliest(logits: Tensor) -> Tensor:
    """The most likely token of each row: (B, V) to (B,)."""
    return logits.argmax(1)


@dataclass(frozen=True, slots=True)
class Sampling:
    """Draws the next token from softmax(logits / temperature), cut to the `top_k` likeliest and to the nucleus `top_p`.

    temperature: > 0; 1 is the model's own distribution.   top_k: 0 for no cut.   top_p: the smallest set of likeliest tokens that holds this
    probability, in (0, 1] (Holtzman et al. 2020, arXiv:1904.09751).

    >>> draw = Sampling(top_k=1).chooser(Random(0))
    >>> draw(torch.tensor([[0.0, 2.0, 1.0]])).tolist()
    [1]
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0

    def __post_init__(self) -> None:
        wrong = [
            f"sampling {name} must be {allowed}, got {getattr(self, name)!r}"
            for name, allowed, right in (
                ("temperature", "between 0.01 and 100", 0.01 <= self.temperature <= 100),
                ("top_k", "at least 0", self.top_k >= 0),
                ("top_p", "above 0 and at most 1", 0 < self.top_p <= 1),
            )
            if not right
        ]
        if wrong:
            raise SettingError("; ".join(wrong) + ". For the likeliest token every time use generate.")

    def chooser(self, random: Random) -> Choose:
        """Draws tokens, each call further along a stream of its own that `random` seeds."""
        numbers = torch.Generator().manual_seed(random.getrandbits(63))
        return lambda logits: self._drawn(logits, torch.rand(len(logits), 1, generator=numbers, dtype=torch.float64))

    def _drawn(self, logits: Tensor, uniform: Tensor) -> Tensor:
        """The token at which the running sum of the kept probabilities passes the uniform number: (B, V) and (B, 1) to (B,)."""
        if self.top_p == 1 and not 0 < self.top_k < logits.shape[1]:  # nothing is cut, so nothing needs to be sorted
            sums = (logits.float() / self.temperature).softmax(1).double().cumsum(1)
            return torch.searchsorted(sums, uniform.to(sums.device) * sums[:, -1:], right=True)[:, 0].clamp_max(logits.shape[1] - 1)
        size = min(self.top_k or logits.shape[1], logits.shape[1])
        logs, ids = (logits.double() / self.temperature).topk(size, 1)
        shares = logs.softmax(1)
        shares = shares * (shares.cumsum(1) - shares < self.top_p)
        sums = shares.cumsum(1)
        rank = torch.searchsorted(sums, uniform.to(sums.device) * sums[:, -1:], right=True)
        return ids.gather(1, torch.minimum(rank, (shares > 0).sum(1, keepdim=True) - 1))[:, 0]
