"""A model that mixes its next token with those that followed like states before, behind LanguageModel's own interface."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from transformers.cache_utils import DynamicCache

from everlearn.errors import ModelError
from everlearn.memory.neighbours import Neighbours
from everlearn.models.language import CausalModel
from everlearn.models.weights import TrainedModel, as_found
from everlearn.types import Batch, Out

AT_ONCE = 1024  # positions that are mixed at once


class NeighbourModel(CausalModel):
    """A LanguageModel over another's weights; where a state is near to states that were kept, what followed those is likelier.

    k: neighbours, >= 1.   share: of the next token that the nearest neighbour takes at distance 0, in [0, 1).   temperature: squared distance, over the spread
    of the keys, at which a neighbour counts 1 / e of that, > 0.

    >>> from everlearn import Example, load_model
    >>> model = NeighbourModel(load_model("tiny"), Neighbours(most=10), k=4, share=0.9, temperature=0.1)
    >>> model.generate([Example(prompt="Question: What is 7 plus 5?\\nAnswer:", completion="")], limit=4)
    [' 12']
    """

    def __init__(self, model: TrainedModel, neighbours: Neighbours, k: int, share: float, temperature: float) -> None:
        if not isinstance(model, CausalModel):
            kind = type(model).__name__
            raise ModelError(f"only decoder-only models answer with neighbours (model={model.name!r}, type={kind}). Give a causal model.")
        super().__init__(model.module, model.tokenizer, model.name)
        self.encoder, self.neighbours, self.k, self.share, self.temperature = model.encoder, neighbours, k, share, temperature

    def logits(self, batch: Batch) -> Out:
        with as_found(self.module):
            return super().logits(batch)

    def states(self, batch: Batch) -> Tensor:
        """What the output head is given before each learned token of the batch, (N, D), in float32."""
        with states_before(self._head) as seen:
            super()._forward(batch.at, input_ids=batch.tokens, attention_mask=batch.mask, use_cache=False)
        return seen[0].reshape(-1, seen[0].shape[-1]).float()

    def _forward(self, keep: Tensor, **inputs: object) -> tuple[Tensor, DynamicCache | None]:
        if not len(self.neighbours) or not self.share:
            return super()._forward(keep, **inputs)
        with states_before(self._head) as seen:
            logits, cache = super()._forward(keep, **inputs)
        states = seen[0].reshape(-1, seen[0].shape[-1])
        return torch.cat([self._mixed(*part) for part in zip(torch.split(logits, AT_ONCE), torch.split(states, AT_ONCE), strict=True)]), cache

    def _mixed(self, logits: Tensor, states: Tensor) -> Tensor:
        """The logarithm of the mixture, (N, V)."""
        distances, tokens = self.neighbours.nearest(states.detach(), self.k)
        return mixed(logits, distances, tokens, self.share, self.temperature)


def mixed(logits: Tensor, distances: Tensor, tokens: Tensor, share: float, temperature: float) -> Tensor:
    """log((1 - s) p_model + s p_near), (N, V), with p_near in proportion to w = exp(-distance / temperature) of each neighbour, and s = share * the largest w.

    logits: (N, V).   distances, tokens: (N, k).

    >>> near = mixed(torch.zeros(1, 2), torch.tensor([[0.0]]), torch.tensor([[1]]), share=0.5, temperature=1.0)
    >>> [round(value, 2) for value in near.exp()[0].tolist()]
    [0.25, 0.75]
    """
    weights = torch.softmax(-distances / temperature, 1)
    taken = share * torch.exp(-distances[:, :1] / temperature)  # (N, 1), the nearest stands first
    near = torch.zeros_like(logits, dtype=torch.float32).scatter_add_(1, tokens, weights)
    return torch.logaddexp(torch.log_softmax(logits.float(), 1) + torch.log1p(-taken), (taken * near).log())


@contextmanager
def states_before(head: nn.Module) -> Iterator[list[Tensor]]:
    """Inside, each call of the output head adds what it is given."""
    seen: list[Tensor] = []
    handle = head.register_forward_hook(lambda _, given, out: seen.append(given[0]))
    try:
        yield seen
    finally:
        handle.remove()
