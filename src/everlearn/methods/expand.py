"""Expand: the model grows by copies of its blocks that change nothing at first, and only these learn."""

from __future__ import annotations

import copy

import torch
from peft import PeftModel
from torch import Tensor, nn
from transformers import PreTrainedConfig
from transformers.pytorch_utils import Conv1D

from everlearn.errors import ModelError, SettingError
from everlearn.methods.base import Method, at_least
from everlearn.models.weights import TrainedModel, as_found

# What attention and MLP end with: Llama, Mistral, Qwen, Gemma; GPT-2; GPT-NeoX, Falcon, BLOOM; OPT, Phi.
ENDS = ("o_proj", "down_proj", "c_proj", "dense", "dense_4h_to_h", "out_proj", "fc2")


class Expand(Method):
    """After every `every`-th block stands a copy of it whose attention and MLP first give 0, so the answers stay; only the copies learn.

    LLaMA-Pro, Wu et al. 2024, arXiv:2401.02415: the copies' last projections start at 0. Differs: nothing but the architectures it knows. The model
    grows once, before the first experience; all experiences learn in the same copies. `save_pretrained` writes a plain model with more blocks.

    every: blocks before each copy, >= 0; 0 puts none in and is exactly plain training. The forward pass costs 1 / every more.

    >>> from everlearn import Expand, Gradient
    >>> learner = Gradient([Expand(every=4)])
    """

    neutral = {"every": 0}
    active = {"every": 2}
    family = "dynamic architecture"
    paper = "Wu et al. 2024, arXiv:2401.02415"
    stores = "nothing; the model itself grows"
    cost = "1 / every of the forward pass more, at learning and at answering"

    def __init__(self, every: int = 4) -> None:
        at_least("expand every", every, 0)
        self.every = every

    def prepare(self, model: TrainedModel) -> None:
        if not self.every:
            return
        if isinstance(model.module, PeftModel) or model.module.config.is_encoder_decoder:
            kind = "has adapters" if isinstance(model.module, PeftModel) else "is an encoder-decoder"
            raise ModelError(f"expand needs a decoder whose weights learn, but this model {kind} (model={model.name!r}). Load another, with lora off.")
        before = said(model)
        for weight in model.module.parameters():
            weight.requires_grad_(False)
        expand_blocks(model, self.every)
        if not torch.allclose(said(model), before, rtol=1e-3, atol=1e-3):
            kind = type(model.module).__name__
            raise ModelError(f"copies of its blocks change this model's answers (architecture={kind!r}). Expand needs blocks that add to what they read.")


def expand_blocks(model: TrainedModel, every: int) -> None:
    """Insert the copies, which alone learn, and say so in the model's configuration; the KV cache's places are counted anew."""
    config: PreTrainedConfig = model.module.config.get_text_config(decoder=True)
    blocks = decoder_blocks(model, config)
    count = len(blocks)
    if every > count:
        raise SettingError(f"expand every must be at most the model's number of blocks, got {every!r} (blocks={count!r}).")
    old, order = list(blocks), list[int]()
    for place in range(count):
        order += [place, place] if (place + 1) % every == 0 else [place]
    made: list[nn.Module] = []
    for number, place in enumerate(order):
        fresh = number > 0 and order[number - 1] == place
        block = silent_copy(old[place], config) if fresh else old[place]
        for part in block.modules():
            if "layer_idx" in vars(part):
                part.layer_idx = number  # type: ignore[assignment]
        made.append(block)
    del blocks[:]
    blocks.extend(made)
    for name, value in vars(config).copy().items():
        if "layer" in name and isinstance(value, list) and len(value) == count:  # layer_types and the like: one entry a block
            setattr(config, name, [value[place] for place in order])
    config.num_hidden_layers = len(order)


def decoder_blocks(model: TrainedModel, config: PreTrainedConfig) -> nn.ModuleList:
    """The one list of the model's blocks. Raises ModelError where there is none whose last projections are known."""
    count = config.num_hidden_layers
    found = [part for part in model.module.modules() if isinstance(part, nn.ModuleList) and len(part) == count and len(ends(part[0])) == 2]
    if len(found) != 1:
        kind = type(model.module).__name__
        raise ModelError(
            f"expand does not know what this model's blocks end with (architecture={kind!r}). Each needs two linear layers among {', '.join(ENDS)}."
        )
    return found[0]


def ends(block: nn.Module) -> list[nn.Module]:
    """The last projections of a block's attention and MLP."""
    return [part for name, part in block.named_modules() if name.split(".")[-1] in ENDS and isinstance(part, nn.Linear | Conv1D)]


def silent_copy(block: nn.Module, config: PreTrainedConfig) -> nn.Module:
    """A copy that learns and at first adds nothing; the configuration is shared, not copied."""
    made = copy.deepcopy(block, {id(config): config})
    for weight in made.parameters():
        weight.requires_grad_(True)
    with torch.no_grad():
        for part in ends(made):
            for weight in part.parameters():
                weight.zero_()
    return made


def said(model: TrainedModel) -> Tensor:
    """Logits of a short text."""
    tokens = torch.arange(8, device=model.device)[None] % int(model.module.config.get_text_config(decoder=True).vocab_size)
    with as_found(model.module), torch.no_grad():
        return model.module(input_ids=tokens, use_cache=False).logits.float()  # type: ignore[no-any-return]
