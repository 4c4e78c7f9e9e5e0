"""Answers under way: the same batch, one token further at a time, from which rows leave and which others join."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional
from transformers.cache_utils import DynamicCache, DynamicLayer


class Decoding(Protocol):
    """Answers of a batch under way. logits: (B, V), of the next token of each row."""

    logits: Tensor

    def keep(self, rows: Tensor) -> None:
        """Go on with these rows (n,) alone."""
        ...

    def say(self, tokens: Tensor) -> None:
        """Each row said its token (B,); `logits` are then those of the one after."""
        ...

    def join(self, other: Decoding) -> bool:
        """Take the other's rows in behind one's own, where both are of a kind that can be joined; the other is then done with. Was it?"""
        ...


def joinable(cache: DynamicCache) -> bool:
    """Every layer keeps all positions, so that empty ones may stand before them."""
    return all(type(layer) is DynamicLayer for layer in cache.layers)


def padded(cache: DynamicCache, width: int) -> None:
    """Make a joinable cache this many positions long: empty ones before its own, or, where that is fewer, without its first ones."""
    for layer in _read(cache):
        more = width - layer.keys.shape[-2]
        layer.keys, layer.values = (functional.pad(part, (0, 0, more, 0)) for part in (layer.keys, layer.values))


def stack(cache: DynamicCache, other: DynamicCache) -> None:
    """The other's rows below one's own, in place; both are joinable and equally long."""
    for layer, below in zip(_read(cache), _read(other), strict=True):
        layer.keys, layer.values = torch.cat([layer.keys, below.keys]), torch.cat([layer.values, below.values])


def _read(cache: DynamicCache) -> list[Any]:
    """The layers that hold something; some share another's."""
    return [layer for layer in cache.layers if isinstance(layer, DynamicLayer) and layer.get_seq_length()]
