"""Arrow: which adapter a prompt excites most, told from the adapters alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from everlearn.models.adapters import Pair, pairs
from everlearn.models.weights import TrainedModel, as_found
from everlearn.models.wording import Prompt


def directions(model: TrainedModel, names: Sequence[str]) -> dict[str, Tensor]:
    """By layer, the input direction that each adapter stretches most: the first right singular vector of b @ a, (K, d_in), signs free."""
    found = [{place: _stretched(pair) for place, pair in pairs(model, name).items()} for name in names]
    return {place: torch.stack([each[place] for each in found]) for place in found[0]} if found else {}


def scores(model: TrainedModel, prompts: Sequence[Prompt], vectors: Mapping[str, Tensor]) -> Tensor:
    """|cos| between each layer's inputs and the adapters' directions, the mean over a prompt's tokens and over layers, (n, K) in [0, 1].

    The inputs are those of the model without adapters.
    """
    width = max(map(len, prompts))
    tokens = torch.tensor([(*prompt, *(model.pad,) * (width - len(prompt))) for prompt in prompts], device=model.device)
    mask = torch.tensor([[1] * len(prompt) + [0] * (width - len(prompt)) for prompt in prompts], device=model.device)
    total = torch.zeros(len(prompts), len(next(iter(vectors.values()))), device=model.device)
    layers = dict(model.module.named_modules())

    def listen(place: str) -> RemovableHandle:
        def heard(_: nn.Module, given: tuple[Tensor, ...]) -> None:
            like = (nn.functional.normalize(given[0].float(), dim=-1) @ vectors[place].T).abs()  # (B, T, K)
            total.add_((like * mask[..., None]).sum(1) / mask.sum(1, keepdim=True))

        handle: RemovableHandle = layers[place].register_forward_pre_hook(heard)
        return handle

    handles = [listen(place) for place in vectors]
    try:
        with as_found(model.module), torch.no_grad():
            model.module(input_ids=tokens, attention_mask=mask, use_cache=False, adapter_names=["__base__"] * len(prompts))
    finally:
        for handle in handles:
            handle.remove()
    return total / len(vectors)


def _stretched(pair: Pair) -> Tensor:
    a, b = pair.a.detach().float(), pair.b.detach().float()
    vectors: Tensor = torch.linalg.svd(torch.linalg.qr(b).R @ a, full_matrices=False).Vh
    return vectors[0]
