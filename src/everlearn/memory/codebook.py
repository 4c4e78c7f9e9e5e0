"""A model with a codebook at one layer, behind LanguageModel's own interface."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from transformers import PreTrainedConfig
from transformers.cache_utils import DynamicCache

from everlearn.errors import ModelError
from everlearn.memory.codes import Codes
from everlearn.models.language import CausalModel
from everlearn.models.weights import TrainedModel, as_found
from everlearn.types import Batch, Out, Row

# The layer's input (B, T, K) and what it gave (B, T, V) -> what it is to give.
Replace = Callable[[Tensor, Tensor], Tensor]


class CodebookModel(CausalModel):
    """A LanguageModel over another's weights whose answers a codebook corrects where a prompt falls within a code's radius.

    One layer is looked up, once a prompt: its input at the prompt's last token is the query, and from that token on the code's values stand for what the
    layer gives, one for each token of an answer, the last one for all after it, while the answer is said as well as when one is scored. Every prompt of a
    batch has its own code, or none. Plain text asks nothing, and no code holds for it.

    layer: a linear layer of the model's module.

    >>> from everlearn import Example, load_model
    >>> from everlearn.models.feed_forward import last_projections
    >>> model = load_model("tiny")
    >>> coded = CodebookModel(model, last_projections(model)[-1], Codes(radius=0.1))
    >>> coded.generate([Example(prompt="Question: What is 7 plus 5?\\nAnswer:", completion="")], limit=4)
    [' 12']
    """

    def __init__(self, model: TrainedModel, layer: nn.Module, codes: Codes) -> None:
        if not isinstance(model, CausalModel):
            kind = type(model).__name__
            raise ModelError(f"only decoder-only models answer with a codebook (model={model.name!r}, type={kind}). Give a causal model.")
        super().__init__(model.module, model.tokenizer, model.name)
        self.encoder, self.layer, self.codes = model.encoder, layer, codes

    def logits(self, batch: Batch) -> Out:
        last = torch.tensor([asked_at(row) for row in batch.rows], device=self.device)

        def replace(given: Tensor, out: Tensor) -> Tensor:
            found = self.codes.find(given[torch.arange(len(given)), last.clamp_min(0)])
            return self._coded(out, torch.where(last < 0, -1, found), since(last, out.shape[1]))

        with as_found(self.module), replaced(self.layer, replace):
            return Out(super()._forward(batch.at, input_ids=batch.tokens, attention_mask=batch.mask, use_cache=False)[0])

    def _cache(self, prompts: Sequence[tuple[int, ...]]) -> DynamicCache:
        return _CodedCache(self.module.config)

    def _forward(self, keep: Tensor, **inputs: object) -> tuple[Tensor, DynamicCache | None]:
        cache = inputs["past_key_values"]
        if not isinstance(cache, _CodedCache):
            raise ModelError(f"a model with a codebook goes on from its own cache alone (cache={type(cache).__name__!r}). Start with the prompts.")

        def replace(given: Tensor, out: Tensor) -> Tensor:
            if cache.codes is None:  # the prompts, padded on the left
                cache.codes, cache.said = self.codes.find(given[:, -1]), 1 - out.shape[1]
            offsets = since(cache.codes.new_full((len(out),), -cache.said), out.shape[1])
            cache.said += out.shape[1]
            return self._coded(out, cache.codes, offsets)

        with replaced(self.layer, replace):
            return super()._forward(keep, **inputs)

    def _coded(self, out: Tensor, found: Tensor, offsets: Tensor) -> Tensor:
        """What the layer gave (B, T, V), and from offset 0 on (B, T) the values of the edits `found` (B,)."""
        held = found >= 0
        return put(out, self.codes.values[found.clamp_min(0)], torch.where(held[:, None], offsets, -1)) if bool(held.any()) else out


class _CodedCache(DynamicCache):
    """A cache that knows which edit each of its rows is answered by, (B,), None before the prompts were read, and how many tokens it holds since their last."""

    def __init__(self, config: PreTrainedConfig) -> None:
        super().__init__(config=config)
        self.codes: Tensor | None = None
        self.said = 0

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keep these rows, which may repeat."""
        super().batch_select_indices(indices)
        if self.codes is not None:
            self.codes = self.codes[torch.as_tensor(indices, device=self.codes.device)]


@contextmanager
def replaced(layer: nn.Module, replace: Replace) -> Iterator[None]:
    """Inside, the layer gives what `replace` makes of its input and output."""
    handle = layer.register_forward_hook(lambda _, given, out: replace(given[0], out))
    try:
        yield
    finally:
        handle.remove()


def since(last: Tensor, width: int) -> Tensor:
    """How far each of `width` positions is behind the last token of its prompt (B,): (B, T), negative within the prompt.

    >>> since(torch.tensor([1, 2]), 4).tolist()
    [[-1, 0, 1, 2], [-2, -1, 0, 1]]
    """
    return torch.arange(width, device=last.device)[None] - last[:, None]


def put(out: Tensor, values: Tensor, offsets: Tensor) -> Tensor:
    """What a layer gave (B, T, V), with each row's values (B, A, V) from offset 0 on (B, T); the last value stands for all after it."""
    at = offsets.clamp(0, values.shape[1] - 1)
    return torch.where((offsets >= 0)[..., None], values.to(out)[torch.arange(len(out), device=out.device)[:, None], at], out)


def asked_at(row: Row) -> int:
    """The position of the last token before the row's last answer, -1 for plain text.

    >>> from everlearn import Example
    >>> asked_at(Row(Example(prompt="a", completion="b"), (5, 6, 7, 8), (2, 3)))
    1
    """
    if row.example.text is not None or not row.learned:
        return -1
    first = len(row.learned) - 1
    while first and row.learned[first - 1] == row.learned[first] - 1:
        first -= 1
    return row.learned[first] - 1
