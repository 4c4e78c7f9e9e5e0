"""Where each block of a decoder keeps its feed-forward, and the projection that this ends with, whatever the architecture calls them."""

from __future__ import annotations

from typing import NoReturn

from torch import nn
from transformers.pytorch_utils import Conv1D

from everlearn.errors import ModelError, SettingError
from everlearn.models.weights import TrainedModel

# What a feed-forward ends with: Llama, Mistral, Qwen, Gemma; GPT-2; GPT-NeoX, Falcon, BLOOM; OPT, Phi.
LAST = ("down_proj", "c_proj", "dense_4h_to_h", "fc2")


def feed_forwards(model: TrainedModel) -> list[nn.Module]:
    """Every block's feed-forward, (B, T, D) to (B, T, D), first to last. Raises ModelError where the blocks are not known.

    >>> from everlearn import load_model
    >>> len(feed_forwards(load_model("tiny")))
    4
    """
    found = [part for block in _blocks(model) for name, part in block.named_children() if name in ("mlp", "feed_forward", "ffn")]
    if len(found) != len(_blocks(model)):
        _unknown(model, "a feed-forward called mlp, feed_forward or ffn")
    return found


def last_projections(model: TrainedModel) -> list[nn.Module]:
    """Every block's last projection of its feed-forward, first to last; with adapters, with these. Raises ModelError where the blocks are not known."""
    found = []
    for block in _blocks(model):
        ends = [part for name, part in block.named_modules() if name.split(".")[-1] in LAST and "attn" not in name and "attention" not in name]
        found += ends[-1:]
    if len(found) != len(_blocks(model)):
        _unknown(model, f"a linear layer among {', '.join(LAST)}")
    return found


def place_of(name: str, layer: int, count: int) -> int:
    """The number of a block, counted from 0 or, if negative, from the end. Raises SettingError where there is no such block.

    >>> place_of("codebook layer", -2, 6)
    4
    """
    if not -count <= layer < count:
        raise SettingError(f"{name} must be between {-count} and {count - 1}, got {layer!r}. This model has {count} blocks; -1 is the last.")
    return layer % count


def _blocks(model: TrainedModel) -> nn.ModuleList:
    count = int(model.module.config.get_text_config(decoder=True).num_hidden_layers)
    kinds = (nn.Linear, Conv1D)
    lists = [part for part in model.module.modules() if isinstance(part, nn.ModuleList) and len(part) == count and len(part)]
    found = [part for part in lists if any(isinstance(inner, kinds) for inner in part[0].modules())]
    if len(found) != 1:
        _unknown(model, "one list of blocks")
    return found[0]


def _unknown(model: TrainedModel, wanted: str) -> NoReturn:
    kind = type(model.module).__name__
    raise ModelError(f"this model's blocks are not known (architecture={kind!r}). Each needs {wanted}; give a decoder-only model such as Llama or GPT-2.")
