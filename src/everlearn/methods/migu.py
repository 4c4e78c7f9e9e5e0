"""MIGU: only the outputs of a linear layer that speak up for the data at hand learn from it."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle
from transformers.pytorch_utils import Conv1D

from everlearn.errors import StateError
from everlearn.methods.base import Method, State, Step, at_least
from everlearn.methods.masks import mask_gradients, put_back
from everlearn.models.processes import Processes
from everlearn.models.weights import TrainedModel
from everlearn.types import Batch, Out


class MIGU(Method):
    """In each linear layer only the outputs with the largest mean |output| on the step's tokens learn, from the second experience on.

    n_i = mean over tokens of |y_i| / sum_j |y_j|; the weights into outputs i with n_i below their layer's (1 - share) quantile do not move. Du et al. 2024,
    arXiv:2406.17245 (its threshold is 1 - share). Differs: what is masked does not move at all, where Adam's momentum would move it
    under a zero gradient; padding does not count; of LoRA's pairs the B is masked. Embeddings, norms and the output head learn as ever. In an
    encoder-decoder model cross-attention's keys and values take the target's padding where source and target are padded to equal length.

    share: of each layer's outputs that learn, in (0, 1]; 1 is exactly plain training.

    >>> from everlearn import MIGU, Gradient
    >>> learner = Gradient([MIGU(share=0.3)])
    """

    neutral = {"share": 1.0}
    active = {"share": 0.3}
    stage = "mask"
    wants_before = True
    family = "sparse updates"
    paper = "Du et al. 2024, arXiv:2406.17245"
    stores = "nothing"
    cost = "about 3 % of a step, and one copy of the trained weights"

    def __init__(self, share: float = 0.3) -> None:
        at_least("migu share", share, 1e-9, 1)
        self.share, self.past = share, 0
        self._layers: dict[str, nn.Module] = {}
        self._hooks: list[RemovableHandle] = []
        self._pad = 0
        self._padding: dict[tuple[int, ...], Tensor] = {}  # of the present forward pass: masks (B, T) by their shape
        self._latest: dict[str, Tensor] = {}
        self._sums: dict[str, Tensor] = {}
        self._learns: dict[str, Tensor] = {}

    def prepare(self, model: TrainedModel) -> None:
        for hook in self._hooks:
            hook.remove()
        self._hooks = []
        if self.share == 1:
            return
        self._layers, self._pad = linear_layers(model), model.pad
        self._hooks = [layer.register_forward_hook(self._listener(name)) for name, layer in self._layers.items()]
        self._hooks.append(model.module.register_forward_pre_hook(self._read_padding, with_kwargs=True))

    def observe(self, model: TrainedModel, batch: Batch, out: Out) -> None:
        for name, value in self._latest.items():  # of the last forward pass, the loop's own
            self._sums[name] = self._sums.get(name, torch.zeros_like(value)) + value
        self._latest = {}

    def gathered(self, processes: Processes) -> None:
        for name, layer in self._layers.items() if self.past else ():
            weight = layer.get_parameter("weight")
            none = weight.new_zeros(weight.shape[1 if isinstance(layer, Conv1D) else 0], dtype=torch.float)
            self._sums[name] = processes.add(self._sums.get(name, none))

    def gradients(self, model: TrainedModel, step: Step) -> None:
        self._learns = {}
        for name, sums in self._sums.items():
            count = max(1, round(self.share * len(sums)))
            loud = sums >= sums.kthvalue(len(sums) - count + 1).values
            self._learns[f"{name}.weight"] = loud[None, :] if isinstance(self._layers[name], Conv1D) else loud[:, None]
            self._learns[f"{name}.bias"] = loud
        self._sums = {}
        mask_gradients(model, self._learns)

    def stepped(self, model: TrainedModel, step: Step) -> None:
        if self._learns:
            put_back(model, step, self._learns)

    def end(self, model: TrainedModel, step: Step, random: Random) -> None:
        self.past += bool(step.rows)

    def state(self) -> State:
        return {"past": self.past}

    def load(self, state: State) -> None:
        past = state.get("past")
        if not isinstance(past, int):
            raise StateError(f"the saved state does not say how many experiences it has seen (keys={sorted(state)!r}). Load the state of migu.")
        self.past = past

    def _listener(self, name: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        def listen(layer: nn.Module, given: tuple[Tensor, ...], said: Tensor) -> None:
            if self.past and layer.training and torch.is_grad_enabled():
                size = said.detach().abs().float()
                size = size / size.sum(-1, keepdim=True).clamp_min(1e-30)
                mask = self._padding.get(tuple(size.shape[:-1]))
                self._latest[name] = (size if mask is None else size * mask[..., None]).flatten(0, -2).sum(0)

        return listen

    def _read_padding(self, module: nn.Module, args: tuple[object, ...], inputs: dict[str, Tensor]) -> None:
        said, mask = inputs.get("decoder_input_ids"), inputs["attention_mask"]
        self._padding = {} if said is None else {tuple(mask.shape): mask}
        target = mask if said is None else (said != self._pad) | (torch.arange(said.shape[1], device=said.device) == 0)
        self._padding[tuple(target.shape)] = target


def linear_layers(model: TrainedModel) -> dict[str, nn.Module]:
    """The linear layers whose weights learn, by name; not the output head, not LoRA's A, whose outputs are its rank."""
    trained, head = model.trained(), model.module.get_output_embeddings()  # type: ignore[no-untyped-call]
    return {
        name: part
        for name, part in model.module.named_modules()
        if isinstance(part, nn.Linear | Conv1D) and part is not head and f"{name}.weight" in trained and "lora_A" not in name.split(".")
    }
