"""Product-key memory: a large table of values beside a feed-forward, of which each token reads a few rows, found by content."""

from __future__ import annotations

from dataclasses import dataclass
from math import isqrt

import torch
from torch import Tensor, nn
from torch.nn import functional

from everlearn.errors import ModelError, SettingError
from everlearn.models.feed_forward import feed_forwards
from everlearn.models.weights import TrainedModel

HALF = 32  # directions of what is read that one half of a query holds, at most; 16 and 32 select alike on the tiny model
SHARP = 4.0  # of the softmax over what is read: at 1 the slots that the new rows read are read less by the others, and learn slower
ROUNDS = 5  # of k-means
FLOOR = 1e-3  # of the largest variance: directions with less are not blown up to 1


@dataclass(frozen=True, slots=True, eq=False)
class Reader:
    """Which slots an input reads: a query of two halves a head, against S keys a half; slot i * S + j has the keys i and j.

    centre: (D,).   queries: (H, 2, K, D).   keys: (H, 2, S, K).   size: (), the root mean square of what the feed-forward gives.
    """

    centre: Tensor
    queries: Tensor
    keys: Tensor
    size: Tensor

    @torch.no_grad()
    def look(self, given: Tensor, reads: int) -> tuple[Tensor, Tensor]:
        """For inputs (..., D) the slots they read and the share of each, both (..., H * reads); the shares add up to 1.

        A slot's score is minus half the squared distance of both halves to its keys. The best `reads` of all S * S pairs are among those of the best
        `reads` of each half, so 2 S keys are compared, not S * S (Lample et al. 2019, arXiv:1907.05242).
        """
        heads, _, side, half = self.keys.shape
        query = (given.float() - self.centre).flatten(0, -2) @ self.queries.flatten(0, 2).T
        query, keys = query.view(-1, 2 * heads, half).transpose(0, 1), self.keys.flatten(0, 1)
        scores = torch.baddbmm(-keys.square().sum(-1)[:, None] / 2, query, keys.transpose(1, 2)).transpose(0, 1)  # (n, 2 H, S)
        best, at = scores.reshape(-1, heads, 2, side).topk(reads, -1)
        top, which = (best[:, :, 0, :, None] + best[:, :, 1, None, :]).flatten(-2).topk(reads, -1)
        slots = at[:, :, 0].gather(-1, which // reads) * side + at[:, :, 1].gather(-1, which % reads)
        shares = (SHARP * top).softmax(-1) / heads
        return slots.view(*given.shape[:-1], -1), shares.view(*given.shape[:-1], -1)

    @classmethod
    @torch.no_grad()
    def fitted(cls, read: Tensor, gave: Tensor, side: int, heads: int, seed: int) -> Reader:
        """Made for what a feed-forward read (n, D) and gave (n, D) of general data: queries are whitened, then turned, by each head in its own way;
        keys are the centres of k-means on each half.
        """
        numbers, points = torch.Generator().manual_seed(seed), read.float()
        half = min(HALF, points.shape[1] // 2)
        points = points - (centre := points.mean(0))
        variance, directions = torch.linalg.eigh(points.T @ points / len(points))  # ascending
        white = (directions / variance.clamp_min(FLOOR * float(variance[-1]) + 1e-30).sqrt()).T[-2 * half :]
        white = white / (points @ white.T).square().mean().sqrt().clamp_min(1e-30)
        turns = [torch.linalg.qr(torch.randn(2 * half, 2 * half, generator=numbers)).Q.to(white) for _ in range(heads)]
        queries = torch.stack([(turn @ white).view(2, half, -1) for turn in turns])
        keys = torch.stack([torch.stack([_centres(points @ part.T, side, numbers) for part in head]) for head in queries])
        return cls(centre, queries, keys, gave.float().square().mean().sqrt())


class ProductKeys(nn.Module):
    """A memory of S * S slots that adds to what a feed-forward gives; nothing while its values are 0, as they start.

    (..., D) to (..., D): the size of what the feed-forward gives, times the sum of the values read, by their shares. The reader is fitted once; it lies in
    parameters so that it goes where the values go, into a version and back, but is read detached: it has no gradient and no optimizer moves it.

    width: D.   slots: rounded down to a square.   heads: queries a token.   reads: slots a head reads, at most S.
    """

    def __init__(self, width: int, slots: int, heads: int, reads: int) -> None:
        super().__init__()
        side, half = isqrt(slots), min(HALF, width // 2)
        self.reads = min(reads, side)
        self.values = nn.Parameter(torch.zeros(side * side, width))
        self.centre = nn.Parameter(torch.zeros(width))
        self.queries = nn.Parameter(torch.zeros(heads, 2, half, width))
        self.keys = nn.Parameter(torch.zeros(heads, 2, side, half))
        self.size = nn.Parameter(torch.ones(()))

    @property
    def reader(self) -> Reader:
        return Reader(self.centre.detach(), self.queries.detach(), self.keys.detach(), self.size.detach())

    @property
    def fitted(self) -> bool:
        return bool(self.keys.detach().any())

    @torch.no_grad()
    def take(self, reader: Reader) -> None:
        """Read by this reader from now on."""
        for name in Reader.__slots__:
            getattr(self, name).copy_(getattr(reader, name))

    def forward(self, given: Tensor) -> Tensor:
        slots, shares = self.reader.look(given, self.reads)
        found = functional.embedding_bag(slots.flatten(0, -2), self.values, per_sample_weights=shares.flatten(0, -2), mode="sum")
        return self.size.detach() * found.view(*given.shape[:-1], -1)


def put_beside(feed_forward: nn.Module, memory: ProductKeys) -> None:
    """Let the feed-forward give what it gives and what the memory reads. Raises ModelError where it has a memory."""
    if "memory" in dict(feed_forward.named_children()):
        raise ModelError("this model has memory layers already (layer='memory'). Name sparse_memory once.")
    feed_forward.add_module("memory", memory)
    feed_forward.register_forward_hook(_added)


def add_memories(model: TrainedModel, slots: int, blocks: int, heads: int, reads: int) -> list[tuple[nn.Module, ProductKeys]]:
    """Put a memory beside the feed-forwards of `blocks` blocks, evenly from the first to the last; these with their memories.

    Raises SettingError where the model has fewer blocks, ModelError for a model whose blocks are not known.
    """
    parts = feed_forwards(model)
    if blocks > len(parts):
        raise SettingError(f"sparse_memory blocks must be at most the model's number of blocks, got {blocks!r} (blocks={len(parts)!r}).")
    width, found = int(model.module.config.get_text_config(decoder=True).hidden_size), list[tuple[nn.Module, ProductKeys]]()
    for number in range(1, blocks + 1):
        part = parts[len(parts) * number // (blocks + 1)]
        memory = ProductKeys(width, slots, heads, reads).to(model.device)
        put_beside(part, memory)
        found.append((part, memory))
    return found


def memories(module: nn.Module) -> dict[str, ProductKeys]:
    """The memory layers of a model, by their place in it."""
    return {place: part for place, part in module.named_modules() if isinstance(part, ProductKeys)}


def _added(feed_forward: nn.Module, given: tuple[Tensor, ...], out: object) -> Tensor:
    if not isinstance(out, Tensor):
        raise ModelError(f"this feed-forward gives more than one tensor (layer={type(feed_forward).__name__!r}). Give a model without mixtures of experts.")
    memory: ProductKeys = feed_forward.get_submodule("memory")  # type: ignore[assignment]
    more: Tensor = memory(given[0])
    return out + more.to(out.dtype)


def _centres(points: Tensor, count: int, numbers: torch.Generator) -> Tensor:
    """`count` centres (count, K) of points (n, K), by k-means from points drawn at random; what is missing where n is smaller is drawn from a normal."""
    found: Tensor = points[torch.randperm(len(points), generator=numbers)[:count].to(points.device)]
    found = torch.cat([found, torch.randn(count - len(found), points.shape[1], generator=numbers).to(points)])
    for _ in range(ROUNDS):
        near = torch.addmm(-found.square().sum(1) / 2, points, found.T).argmax(1)
        members = torch.bincount(near, minlength=count)[:, None]
        sums = torch.zeros_like(found).index_add(0, near, points)
        found = torch.where(members > 0, sums / members.clamp_min(1), found)
    return found
