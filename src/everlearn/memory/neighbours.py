"""What was read, token by token: the state before each token and the token that came, kept small and searched exactly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor

from everlearn.errors import StateError
from everlearn.types import Example

LEVELS = 127  # of a component's byte, to either side of 0
CHUNK = 16_384  # keys that are compared at once


class Neighbours:
    """Keys (states) with values (next tokens), each a byte a component and one scale a key: with its value a key of 256 components takes 268 bytes, not 1,032.

    Every example's keys lie together, so that it is taken out whole. Of two examples with the same question and another answer the later one stays;
    where there are more than `most` keys the examples that came first go.

    most: keys that are kept, >= 1.

    >>> found = Neighbours(most=10)
    >>> found.add([Example(text="a b")], [2], torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([5, 6]))
    >>> distances, tokens = found.nearest(torch.tensor([[0.9, 0.1]]), k=1)
    >>> tokens.tolist()
    [[5]]
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.examples: list[Example] = []
        self.counts: list[int] = []  # keys of each example
        self.bytes, self.scales = torch.empty(0, 0, dtype=torch.int8), torch.empty(0)  # (n, D), (n,)
        self.tokens = torch.empty(0, dtype=torch.long)  # (n,)
        self.spread = 1.0  # the mean squared distance of the keys from their mean

    def __len__(self) -> int:
        return len(self.tokens)

    def add(self, examples: Sequence[Example], counts: Sequence[int], keys: Tensor, tokens: Tensor) -> None:
        """Take in examples with `counts` keys each: keys (n, D), tokens (n,)."""
        newest = {e.question: e.content for e in examples if e.question is not None}
        ids = {e.id for e in examples}
        self.remove({e.id for e in self.examples if e.id in ids or newest.get(e.question or "", e.content) != e.content})
        scales = keys.float().abs().amax(1).clamp_min(1e-12) / LEVELS
        small = (keys.float() / scales[:, None]).round().to(torch.int8)
        some = len(self) > 0
        self.bytes = torch.cat([self.bytes, small]) if some else small
        self.scales = torch.cat([self.scales, scales]) if some else scales
        self.tokens = torch.cat([self.tokens, tokens]) if some else tokens.clone()
        self.examples, self.counts = [*self.examples, *examples], [*self.counts, *counts]
        over = len(self) - self.most
        first = 0
        while over > 0 and first < len(self.examples) - 1:
            over, first = over - self.counts[first], first + 1
        self.remove({e.id for e in self.examples[:first]})
        self._measure()

    def remove(self, ids: set[str]) -> int:
        """Take examples out with their keys; how many there were."""
        stays = [e.id not in ids for e in self.examples]
        if all(stays):
            return 0
        kept = torch.repeat_interleave(torch.tensor(stays, device=self.tokens.device), torch.tensor(self.counts, device=self.tokens.device))
        self.bytes, self.scales, self.tokens = self.bytes[kept], self.scales[kept], self.tokens[kept]
        self.counts = [count for count, stay in zip(self.counts, stays, strict=True) if stay]
        self.examples = [e for e, stay in zip(self.examples, stays, strict=True) if stay]
        self._measure()
        return len(stays) - len(self.examples)

    def nearest(self, queries: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """For queries (B, D) the squared distances of the k nearest keys over `spread`, and their tokens, both (B, min(k, n))."""
        queries = queries.float()
        best = queries.new_full((len(queries), 0), 0.0)
        places = torch.empty(len(queries), 0, dtype=torch.long, device=queries.device)
        for start in range(0, len(self), CHUNK):
            keys = self._keys(start, start + CHUNK)
            found = (queries.square().sum(1, keepdim=True) - 2 * queries @ keys.T + keys.square().sum(1)).clamp_min(0)  # (B, keys)
            best = torch.cat([best, found], 1)
            places = torch.cat([places, torch.arange(start, start + len(keys), device=places.device).expand(len(queries), -1)], 1)
            best, at = best.topk(min(k, best.shape[1]), 1, largest=False)
            places = places.gather(1, at)
        return best / self.spread, self.tokens[places]

    def state(self) -> dict[str, object]:
        rows = [e.to_json() for e in self.examples]
        return {"examples": rows, "counts": list(self.counts), "bytes": self.bytes.clone(), "scales": self.scales.clone(), "tokens": self.tokens.clone()}

    def load(self, state: Mapping[str, object]) -> None:
        """Take up what `state` gave. Raises StateError for anything else."""
        saved = cast(Mapping[str, Any], state)
        lost = [key for key in ("examples", "counts", "bytes", "scales", "tokens") if key not in saved]
        if lost or len(saved["examples"]) != len(saved["counts"]) or not len(saved["bytes"]) == len(saved["scales"]) == len(saved["tokens"]):
            raise StateError(f"the saved state holds no neighbours (keys={sorted(saved)[:5]!r}). Load the state of the same learner.")
        self.examples, self.counts = [Example.from_json(row) for row in saved["examples"]], [int(count) for count in saved["counts"]]
        self.bytes, self.scales, self.tokens = saved["bytes"].clone(), saved["scales"].clone(), saved["tokens"].clone()
        self._measure()

    def _keys(self, start: int, end: int) -> Tensor:
        return self.bytes[start:end].float() * self.scales[start:end, None]

    def _measure(self) -> None:
        if not len(self):
            return
        total, squares = torch.zeros(self.bytes.shape[1], dtype=torch.float64, device=self.bytes.device), 0.0
        for start in range(0, len(self), CHUNK):
            keys = self._keys(start, start + CHUNK).double()
            total, squares = total + keys.sum(0), squares + float(keys.square().sum())
        mean = total / len(self)
        self.spread = max(1e-12, squares / len(self) - float(mean.square().sum())) if len(self) > 1 else max(1e-12, float(mean.square().sum()))
