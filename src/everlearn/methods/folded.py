"""Adapters of past experiences, folded into the frozen weights beneath, kept so that the model can be made again and written."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import cast

import torch
from peft import LoraConfig, PeftModel
from safetensors.torch import save_file
from torch import Tensor, nn

from everlearn.errors import StateError
from everlearn.methods.base import State
from everlearn.methods.tensors import tensors_of
from everlearn.models.adapters import FIRST, Pair, pairs
from everlearn.models.weights import TrainedModel

# Of each layer, by its place in the module, a (r, d_in) and b (d_out, r).
Finished = dict[str, tuple[Tensor, Tensor]]


class Folded:
    """The finished adapters, oldest first; the frozen weights are the starting model's plus all of them, added in this order."""

    def __init__(self) -> None:
        self.past: list[Finished] = []

    def fold(self, found: Mapping[str, Pair]) -> None:
        """Add the present adapters to the frozen weights and to the past; they themselves stay, for `begin_again` or another to change."""
        self.past.append({place: (pair.a.detach().clone(), pair.b.detach().clone()) for place, pair in found.items()})
        for pair in found.values():
            pair.fold()

    def rows(self, place: str) -> Tensor:
        """All past a of one layer below each other, (T * r, d_in)."""
        return torch.cat([finished[place][0] for finished in self.past])

    def write(self, model: TrainedModel, folder: str | Path) -> None:
        """Past and present as one adapter of (T + 1) * r, for `PeftModel.from_pretrained` on the starting model."""
        tensors, found = {}, pairs(model)
        for place, pair in found.items():
            every = [*(finished[place] for finished in self.past), (pair.a.detach(), pair.b.detach())]
            tensors[f"{place}.lora_A.weight"] = torch.cat([a for a, _ in every]).contiguous()
            tensors[f"{place}.lora_B.weight"] = torch.cat([b for _, b in every], 1).contiguous()
        config = copy.deepcopy(cast(LoraConfig, cast(PeftModel, model.module).peft_config[FIRST]))
        times = len(self.past) + 1
        config.r, config.lora_alpha, config.inference_mode = config.r * times, config.lora_alpha * times, True
        Path(folder).mkdir(parents=True, exist_ok=True)
        save_file(tensors, Path(folder) / "adapter_model.safetensors", metadata={"format": "pt"})
        config.save_pretrained(str(folder))

    def state(self) -> State:
        return {
            str(number): {part: {place: pair[at] for place, pair in finished.items()} for at, part in enumerate("ab")}
            for number, finished in enumerate(self.past)
        }

    def load(self, state: object, found: Mapping[str, Pair]) -> None:
        """Take up a saved past and fold it, in its order, into the weights of a model just loaded."""
        if not isinstance(state, dict):
            raise StateError(f"the saved state has no past adapters (past={type(state).__name__!r}). Load the state of the same method.")
        if self.past:
            raise StateError(f"the past cannot be folded into a model that holds one already (folded={len(self.past)!r}). Load the model again, and prepare.")
        for number in range(len(state)):
            a, b = (tensors_of(state[str(number)], part) for part in "ab")
            if a.keys() != found.keys():
                differing = sorted(a.keys() ^ found.keys())[:3]
                raise StateError(f"the saved adapters are of other layers (differing={differing!r}). Load the state into the model it was saved from.")
            self.past.append({place: (a[place], b[place]) for place in a})
            for place, pair in found.items():
                pair.fold(a[place], b[place])


def begin_again(found: Iterable[Pair], seed: int) -> None:
    """Fresh adapters in place, as PEFT makes them: a drawn uniformly with variance 1 / (3 d_in), b at 0."""
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(seed)
        for pair in found:
            pair.a.copy_(nn.init.kaiming_uniform_(torch.empty(pair.a.shape), a=math.sqrt(5)))
            pair.b.zero_()
