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

    Every example's keys lie together, so that it is taken out whole. Of two examples with the same question the later one is looked up; the earlier is
    kept, and looked up again where the later one is taken out. Where there are more than `most` keys the examples that came first go, for good; of one that
    is longer than all of them its last keys stay.

    most: keys that are kept, those that are not looked up counted too, >= 1.

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
        self.held = torch.empty(0, dtype=torch.long)  # the places of the keys that are looked up
        self.spread = 1.0  # the mean squared distance of the keys from their mean

    def __len__(self) -> int:
        return len(self.tokens)

    def add(self, examples: Sequence[Example], counts: Sequence[int], keys: Tensor, tokens: Tensor) -> None:
        """Take in examples with `counts` keys each, as the newest: keys (n, D), tokens (n,)."""
        self.remove({e.id for e in examples})
        scales = keys.float().abs().amax(1).clamp_min(1e-12) / LEVELS
        small = (keys.float() / scales[:, None]).round().to(torch.int8)
        some = len(self) > 0
        self.bytes = torch.cat([self.bytes, small]) if some else small
        self.scales = torch.cat([self.scales, scales]) if some else scales
        self.tokens = torch.cat([self.tokens, tokens]) if some else tokens.clone()
        self.examples, self.counts = [*self.examples, *examples], [*self.counts, *counts]
        self._make_room()
        self._settle()

    def remove(self, ids: set[str]) -> int:
        """Take examples out with their keys; how many there were."""
        stays = [e.id not in ids for e in self.examples]
        if all(stays):
            return 0
        kept = torch.repeat_interleave(torch.tensor(stays, device=self.tokens.device), torch.tensor(self.counts, device=self.tokens.device))
        self.bytes, self.scales, self.tokens = self.bytes[kept], self.scales[kept], self.tokens[kept]
        self.counts = [count for count, stay in zip(self.counts, stays, strict=True) if stay]
        self.examples = [e for e, stay in zip(self.examples, stays, strict=True) if stay]
        self._settle()
        return len(stays) - len(self.examples)

    def nearest(self, queries: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """For queries (B, D) the squared distances of the k nearest keys over `spread`, and their tokens, both (B, min(k, n))."""
        queries = queries.float()
        best = queries.new_full((len(queries), 0), 0.0)
        places = torch.empty(len(queries), 0, dtype=torch.long, device=queries.device)
        for start in range(0, len(self.held), CHUNK):
            held = self.held[start : start + CHUNK]
            keys = self._keys(held)
            found = (queries.square().sum(1, keepdim=True) - 2 * queries @ keys.T + keys.square().sum(1)).clamp_min(0)  # (B, keys)
            best = torch.cat([best, found], 1)
            places = torch.cat([places, held.expand(len(queries), -1)], 1)
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
        self._settle()

    def _make_room(self) -> None:
        over = len(self) - self.most
        if over <= 0:
            return
        self.bytes, self.scales, self.tokens = self.bytes[over:], self.scales[over:], self.tokens[over:]
        first = 0
        while first < len(self.counts) - 1 and over > 0:  # an example of which a part went goes with the rest of its keys
            over, first = over - self.counts[first], first + 1
        self.examples, self.counts = self.examples[first:], self.counts[first:]
        if over > 0:
            self.counts[0] -= over
        else:
            self.bytes, self.scales, self.tokens = self.bytes[-over or None :], self.scales[-over or None :], self.tokens[-over or None :]

    def _keys(self, places: Tensor) -> Tensor:
        return self.bytes[places].float() * self.scales[places, None]

    def _settle(self) -> None:
        """Which keys are looked up, and how far they spread."""
        newest = {e.question or e.id: at for at, e in enumerate(self.examples)}
        holds = torch.tensor([newest[e.question or e.id] == at for at, e in enumerate(self.examples)], dtype=torch.bool, device=self.tokens.device)
        self.held = torch.repeat_interleave(holds, torch.tensor(self.counts, dtype=torch.long, device=self.tokens.device)).nonzero()[:, 0]
        if not len(self.held):
            return
        total, squares = torch.zeros(self.bytes.shape[1], dtype=torch.float64, device=self.bytes.device), 0.0
        for start in range(0, len(self.held), CHUNK):
            keys = self._keys(self.held[start : start + CHUNK]).double()
            total, squares = total + keys.sum(0), squares + float(keys.square().sum())
        mean = total / len(self.held)
        alone = float(mean.square().sum())
        self.spread = max(1e-12, squares / len(self.held) - alone if len(self.held) > 1 else alone)
