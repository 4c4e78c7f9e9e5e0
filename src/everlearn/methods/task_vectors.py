"""Task vectors, what learning added to the weights: trimmed, thinned out and joined."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random

import torch
from torch import Tensor

from everlearn.methods.movement import largest

Vector = dict[str, Tensor]


def trimmed(vector: Vector, share: float) -> Vector:
    """The share of all entries that are largest in size, the others 0."""
    kept = largest({name: value.abs() for name, value in vector.items()}, share)
    return {name: value * kept[name] for name, value in vector.items()}


def thinned(vector: Vector, share: float, random: Random) -> Vector:
    """Each entry kept with probability `share` and divided by it, else 0 (drop and rescale)."""
    generator = torch.Generator().manual_seed(random.getrandbits(63))
    kept = {name: (torch.rand(value.shape, generator=generator) < share).to(value) for name, value in vector.items()}
    return {name: value * kept[name] / share for name, value in vector.items()}


def elected(vectors: Sequence[Vector]) -> Vector:
    """Entry by entry: the sign with the larger sum, and the mean of the entries, not 0, that have it.

    >>> found = elected([{"w": torch.tensor([3.0, 1.0, 0.0])}, {"w": torch.tensor([-1.0, 2.0, 4.0])}])
    >>> found["w"].tolist()
    [3.0, 1.5, 4.0]
    """
    return {name: _elected(torch.stack([vector[name] for vector in vectors])) for name in vectors[0]}


def mean(vectors: Sequence[Vector]) -> Vector:
    """The mean, entry by entry."""
    return {name: torch.stack([vector[name] for vector in vectors]).mean(0) for name in vectors[0]}


def larger(first: Vector, second: Vector) -> Vector:
    """Entry by entry the one of larger size; the first where they are equal."""
    return {name: torch.where(second[name].abs() > value.abs(), second[name], value) for name, value in first.items()}


def difference(after: Mapping[str, Tensor], before: Mapping[str, Tensor]) -> Vector:
    """after - before, by name."""
    return {name: after[name] - value for name, value in before.items()}


def _elected(stacked: Tensor) -> Tensor:
    agree = (torch.sign(stacked) == torch.sign(stacked.sum(0))) & (stacked != 0)
    return (stacked * agree).sum(0) / agree.sum(0).clamp_min(1)
