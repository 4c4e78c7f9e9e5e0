"""Several adapters behind one model's interface: each prompt is answered by its own, in whatever batch it comes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from transformers import PreTrainedConfig
from transformers.cache_utils import DynamicCache

from everlearn.errors import ModelError
from everlearn.models.language import CausalModel
from everlearn.models.router import asked
from everlearn.models.weights import TrainedModel, as_found
from everlearn.models.wording import Prompt
from everlearn.types import Batch, Out

# Prompts as tokens -> the name of each one's adapter, "__base__" for none.
Choose = Callable[[Sequence[Prompt]], list[str]]


class RoutedModel(CausalModel):
    """A LanguageModel over another's weights that answers each prompt with the adapter `choose` names for it.

    The prompts of one batch may go to different adapters: the weights beneath run once for all of them, each adapter on its own rows. What is routed by
    is what the model reads: a prompt cut to fit is routed by what is left of it, a text without a prompt by the whole text.

    >>> from everlearn import Example, Lora, load_model
    >>> model = load_model("tiny", lora=Lora(rank=2))
    >>> routed = RoutedModel(model, lambda prompts: ["__base__"] * len(prompts))
    >>> routed.generate([Example(prompt="Question: What is 7 plus 5?\\nAnswer:", completion="")], limit=4)
    [' 12']
    """

    def __init__(self, model: TrainedModel, choose: Choose) -> None:
        if not isinstance(model, CausalModel):
            raise ModelError(f"only decoder-only models answer with several adapters (model={model.name!r}, type={type(model).__name__}). Give a causal model.")
        super().__init__(model.module, model.tokenizer, model.name)
        self.encoder, self.choose = model.encoder, choose

    def logits(self, batch: Batch) -> Out:
        names = self.choose([asked(row, len(self.encoder.start)) for row in batch.rows])
        with as_found(self.module):
            return Out(super()._forward(batch.at, input_ids=batch.tokens, attention_mask=batch.mask, use_cache=False, adapter_names=names)[0])

    def _cache(self, prompts: Sequence[Prompt]) -> DynamicCache:
        return _RoutedCache(self.module.config, self.choose(prompts))

    def _joined(self, cache: DynamicCache, other: DynamicCache) -> bool:
        if not isinstance(cache, _RoutedCache) or not isinstance(other, _RoutedCache):
            return False
        cache.names = [*cache.names, *other.names]
        return True

    def _forward(self, keep: Tensor, **inputs: object) -> tuple[Tensor, DynamicCache | None]:
        cache = inputs["past_key_values"]
        if not isinstance(cache, _RoutedCache):
            raise ModelError(f"a routed model goes on from its own cache alone (cache={type(cache).__name__!r}). Start with the prompts.")
        return super()._forward(keep, **inputs, adapter_names=cache.names)


class _RoutedCache(DynamicCache):
    """A cache that knows whose adapter each of its rows goes through."""

    def __init__(self, config: PreTrainedConfig, names: list[str]) -> None:
        super().__init__(config=config)
        self.names = names

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keep these rows, which may repeat."""
        super().batch_select_indices(indices)
        self.names = [self.names[at] for at in torch.as_tensor(indices).tolist()]
