"""Low-rank adapters in PEFT's format: put into a loaded model, listed layer by layer, folded into the weights beneath, written."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from peft import LoraConfig, PeftModel, TaskType, get_peft_model
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn
from transformers import PreTrainedModel

from everlearn.errors import ModelError
from everlearn.models.weights import TrainedModel

FIRST = "default"  # PEFT's name of a model's first adapter


@dataclass(frozen=True, slots=True)
class Lora:
    """Train low-rank adapters on every linear layer (Hu et al. 2021, arXiv:2106.09685), alpha = 2 * rank.

    rank: >= 1.   dropout: in [0, 1).   seed: of the adapters' first values.
    """

    rank: int = 16
    dropout: float = 0.0
    seed: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """One layer's adapter: its output gains scale * b @ a @ x. a: (r, d_in).   b: (d_out, r).   layer: PEFT's, its `base_layer` frozen beneath."""

    a: nn.Parameter
    b: nn.Parameter
    scale: float
    layer: Any

    def fold(self, a: Tensor | None = None, b: Tensor | None = None) -> None:
        """Add scale * b @ a, by default this adapter's own, to the frozen weight beneath."""
        base = self.layer.get_base_layer().weight
        if not base.is_floating_point():
            raise ModelError(f"quantised weights take in no adapter (type={str(base.dtype)!r}). Load the model with dtype float32 or bfloat16.")
        change = self.scale * ((self.b if b is None else b).detach().float() @ (self.a if a is None else a).detach().float())
        with torch.no_grad():
            base.add_((change.T if self.layer.fan_in_fan_out else change).to(base))


def with_lora(module: PreTrainedModel, lora: Lora) -> PreTrainedModel:
    """The module with fresh adapters on every linear layer but the output head; only they learn. B starts at 0, so its answers stay."""
    if lora.rank < 1 or not 0 <= lora.dropout < 1:
        raise ModelError(f"LoRA needs a rank of at least 1 and a dropout in [0, 1) (rank={lora.rank!r}, dropout={lora.dropout!r}).")
    with torch.random.fork_rng(), _quiet():
        torch.manual_seed(lora.seed)
        return get_peft_model(module, _config(module, lora))  # type: ignore[return-value]


def adapted(model: TrainedModel, lora: Lora) -> bool:
    """Put adapters into the model in place where it has none; was it without? One that has some keeps them and their rank."""
    if isinstance(model.module, PeftModel):
        return False
    model.module = with_lora(model.module, lora)
    return True


def add_adapter(model: TrainedModel, name: str, lora: Lora) -> None:
    """One more adapter beside those the model has; which one answers and learns stays as it is."""
    module = cast(PeftModel, model.module)
    with torch.random.fork_rng(), _quiet():
        torch.manual_seed(lora.seed)
        module.add_adapter(name, _config(cast(PreTrainedModel, module.get_base_model()), lora))


def pairs(model: TrainedModel, name: str = FIRST) -> dict[str, Pair]:
    """Every layer's adapter of that name, by the layer's place in the module."""
    found = {}
    for place, layer in _layers(model, name):
        a, b = (cast(nn.Parameter, side[name].weight) for side in (layer.lora_A, layer.lora_B))
        found[place] = Pair(a, b, float(layer.scaling[name]), layer)
    return found


def joined(one: Pair, other: Pair, share: float) -> tuple[Tensor, Tensor]:
    """The a and b of `one`'s rank that come nearest (least squares) to share * one's change + (1 - share) * other's, and give it at `one`'s scale."""
    a = torch.cat([one.a, other.a]).detach().float()
    b = torch.cat([one.b * (share * one.scale), other.b * ((1 - share) * other.scale)], 1).detach().float()
    (left, in_left), (right, in_right) = torch.linalg.qr(b), torch.linalg.qr(a.T)
    u, size, v = torch.linalg.svd(in_left @ in_right.T)  # of b @ a without ever making it: as small as the ranks together
    rank, root = one.a.shape[0], (size / one.scale).sqrt()
    return (root[:, None] * v)[:rank] @ right.T, left @ (u * root)[:, :rank]


def write_adapter(model: TrainedModel, folder: str | Path, name: str = FIRST) -> None:
    """One adapter as PEFT writes it, for `PeftModel.from_pretrained` on the starting model; the first lies in the folder itself, others in NAME/."""
    if not isinstance(model.module, PeftModel):
        raise ModelError(f"the model has no adapters to write (model={model.name!r}). Load it with lora, or learn with a method that puts some in.")
    model.module.save_pretrained(str(folder), selected_adapters=[name])


def _layers(model: TrainedModel, name: str) -> Iterator[tuple[str, LoraLayer]]:
    for place, layer in model.module.named_modules():
        if isinstance(layer, LoraLayer) and name in layer.lora_A:
            yield place, layer


def _config(module: PreTrainedModel, lora: Lora) -> LoraConfig:
    task = TaskType.SEQ_2_SEQ_LM if module.config.is_encoder_decoder else TaskType.CAUSAL_LM
    return LoraConfig(r=lora.rank, lora_alpha=2 * lora.rank, lora_dropout=lora.dropout, target_modules="all-linear", task_type=task)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what PEFT says of its own doing."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*is_gradient_checkpointing", FutureWarning)  # peft asks transformers the old way
        warnings.filterwarnings("ignore", ".*fan_in_fan_out", UserWarning)  # and sets this right by itself
        yield
