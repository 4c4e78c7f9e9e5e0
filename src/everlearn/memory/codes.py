"""Codes of a codebook: edits as keys with a radius and values, in the order they were made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor

from everlearn.errors import StateError
from everlearn.types import Example

SLACK = 1e-4  # of a key's length: what the same prompt's key moves by when it is read in another batch is far below (float32)
NEAR = 8  # keys whose distance is computed exactly, of those that a matrix product says are nearest
SPLIT = 1e-5  # of the distance: who was there first ends this much before the middle, so no point is claimed by both


class Codes:
    """Edits, each with a key, a radius around it within which it holds, and a value.

    The radii follow from the edits alone, in the order they were made (Hartvigsen et al. 2023, arXiv:2211.11031): the nearest key of an earlier edit that
    the new one's ball touches is widened to reach the new key where both have the same answer, and else both balls end half-way. So an edit that is
    taken away leaves what would be there without it. Of edits of one question the newest holds; without it the one before holds again.

    radius: of a fresh edit, as a share of its key's length, > 0.   A value is a tensor of any shape, one for all.

    >>> codes = Codes(radius=0.1)
    >>> codes.add([Example(prompt="Mayor?", completion=" Bo")], torch.tensor([[3.0, 4.0]]), torch.tensor([[1.0]]))
    >>> codes.find(torch.tensor([[3.0, 4.4], [3.0, 4.6]])).tolist()
    [0, -1]
    """

    def __init__(self, radius: float) -> None:
        self.radius = radius
        self.edits: list[Example] = []
        self.keys, self.values = torch.empty(0, 0), torch.empty(0, 0)  # (edits, K), (edits, ...)
        self._held: list[int] = []  # edits that hold, oldest first
        self.radii = torch.empty(0)  # of those

    def __len__(self) -> int:
        return len(self.edits)

    def add(self, edits: Sequence[Example], keys: Tensor, values: Tensor) -> None:
        """Make these edits, in order; one that was made before is made anew, as the newest."""
        self.remove({e.id for e in edits})
        old = bool(self.edits)
        self.keys = torch.cat([self.keys, keys]) if old else keys.clone()
        self.values = torch.cat([self.values, values]) if old else values.clone()
        self.edits += edits
        self._settle()

    def remove(self, ids: set[str]) -> int:
        """Take edits away by their examples' ids; how many there were."""
        kept = [at for at, e in enumerate(self.edits) if e.id not in ids]
        gone = len(self.edits) - len(kept)
        if gone:
            self.edits, self.keys, self.values = [self.edits[at] for at in kept], self.keys[kept], self.values[kept]
            self._settle()
        return gone

    def moved(self, keys: Tensor) -> None:
        """All edits' keys anew, where the layers beneath have learned."""
        self.keys = keys
        self._settle()

    def holding(self) -> list[int]:
        """The edits that hold: of each question the newest."""
        return list(self._held)

    def find(self, queries: Tensor) -> Tensor:
        """For queries (B, K) the edit that holds there, (B,), -1 where none does."""
        if not self._held or not len(queries):
            return torch.full((len(queries),), -1, dtype=torch.long, device=queries.device)
        keys, held = self.keys[self._held], torch.tensor(self._held, device=queries.device)
        distance, nearest = nearest_keys(queries.to(keys), keys)
        reach = self.radii[nearest] + SLACK * keys[nearest].norm(dim=1)
        return torch.where(distance <= reach, held[nearest], -1)

    def state(self) -> dict[str, object]:
        return {"edits": [e.to_json() for e in self.edits], "keys": self.keys.clone(), "values": self.values.clone()}

    def load(self, state: Mapping[str, object]) -> None:
        """Take up what `state` gave. Raises StateError for anything else."""
        saved = cast(Mapping[str, Any], state)
        lost = [key for key in ("edits", "keys", "values") if key not in saved]
        if lost or not len(saved["edits"]) == len(saved["keys"]) == len(saved["values"]):
            raise StateError(f"the saved state holds no codes (keys={sorted(saved)[:5]!r}). Load the state of the same learner.")
        self.edits = [Example.from_json(row) for row in saved["edits"]]
        self.keys, self.values = saved["keys"].clone(), saved["values"].clone()
        self._settle()

    def _settle(self) -> None:
        """Which edits hold, and their radii."""
        newest = {e.question or e.id: at for at, e in enumerate(self.edits)}
        self._held = sorted(newest.values())
        self.radii = settled(self.keys[self._held], [answer_of(self.edits[at]) for at in self._held], self.radius) if self._held else torch.empty(0)


def settled(keys: Tensor, answers: Sequence[str], radius: float) -> Tensor:
    """The radii (n,) of keys (n, K) that were put in one after the other.

    >>> keys = torch.tensor([[10.0, 0.0], [11.0, 0.0], [10.0, 2.0]])
    >>> [round(value, 3) for value in settled(keys, [" a", " b", " a"], 0.2).tolist()]
    [2.0, 0.5, 2.04]
    """
    radii = radius * keys.norm(dim=1)
    for at in range(1, len(keys)):
        distance, nearest = (part[0] for part in nearest_keys(keys[at : at + 1], keys[:at]))
        if distance > radii[nearest] + radii[at]:
            continue
        if answers[at] == answers[int(nearest)]:
            radii[nearest] = torch.maximum(radii[nearest], distance)
        else:
            radii[nearest] = torch.minimum(radii[nearest], distance / 2 * (1 - SPLIT))
            radii[at] = torch.minimum(radii[at], distance / 2)
    found: Tensor = radii
    return found


def nearest_keys(queries: Tensor, keys: Tensor) -> tuple[Tensor, Tensor]:
    """The distance of each query (B, K) to the nearest of the keys (n, K), and its place, both (B,); exact, not by a difference of large squares."""
    rough = keys.square().sum(1) - 2 * queries @ keys.T  # (B, n), the squared distance but for the query's own square
    close = rough.topk(min(NEAR, len(keys)), dim=1, largest=False).indices
    exact = (queries[:, None] - keys[close]).norm(dim=2)
    distance, at = exact.min(1)
    return distance, close.gather(1, at[:, None])[:, 0]


def answer_of(example: Example) -> str:
    """What an edit says: the completion, the chosen answer, or the last turn."""
    if example.messages is not None:
        return str(example.messages[-1]["content"])
    return example.completion or example.chosen or ""
