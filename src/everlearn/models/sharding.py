"""Weights shared out over processes (FSDP2): each holds a part of every weight, and a block's whole only while it is at work."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor

from everlearn.errors import ModelError, SettingError
from everlearn.models.processes import Processes
from everlearn.models.recompute import blocks_of


class Shards:
    """A module whose weights lie shared out, and this process's parts of those that learn.

    Every process must do the same forward and backward passes in the same order, each with what it likes. A part is a parameter of its own beside the
    module's: optimizer and methods read and change it, and what changes there is changed in the module. A weight is cut along its first side, so a part
    may be empty.
    """

    def __init__(self, module: nn.Module, processes: Processes) -> None:
        if tuple(int(part) for part in torch.__version__.split(".")[:2]) < (2, 13):
            raise SettingError(f"sharing out weights needs torch 2.13 (torch={torch.__version__!r}). Install it, or launch without FSDP.")
        wrong = sorted({str(weight.dtype) for weight in module.parameters() if not weight.is_floating_point()})
        if wrong:
            raise ModelError(f"quantised weights cannot be shared out (types={wrong!r}). Load the model with dtype float32 or bfloat16.")
        self.module = module
        mesh = init_device_mesh(next(module.parameters()).device.type, (processes.count,))
        for part in (*blocks_of(module), module):
            shared = fully_shard(part, mesh=mesh, reshard_after_forward=True)  # the outermost too: what is left whole would not see the next change
            shared.set_gradient_divide_factor(1.0)  # the loss is divided by the whole step's counts already
            shared.set_force_sum_reduction_for_comms(True)
            shared.set_reduce_scatter_unused_params(True)  # of experts, the processes' rows may pass through different ones
        for part in module.modules():  # once now: a first time in inference mode would make weights that cannot learn
            if isinstance(part, FSDPModule):
                part.unshard()
                part.reshard()
        self._parts = {name: nn.Parameter(_local(weight)) for name, weight in self._trained()}

    def trained(self) -> dict[str, nn.Parameter]:
        """This process's parts, by name."""
        for name, weight in self._trained():
            self._parts[name].data = _local(weight)
        return self._parts

    def collect(self) -> None:
        """Give the parts the gradients of the backward passes so far, the sums over all processes."""
        for name, gradient in self._taken().items():
            self._parts[name].grad = gradient

    def gradient(self, loss: Tensor) -> dict[str, Tensor]:
        """This process's parts of the gradient of a loss that all processes have alike, by name; what is summed for the step stays."""
        before = self._taken()
        loss.backward()  # type: ignore[no-untyped-call]
        count = torch.distributed.get_world_size()
        after = self._taken()
        found = {name: torch.zeros_like(part) if (own := after[name]) is None else own / count for name, part in self._parts.items()}
        for name, weight in self._trained():
            if (gradient := before[name]) is not None:
                weight.grad = cast(Tensor, DTensor.from_local(gradient, cast(DTensor, weight).device_mesh, cast(DTensor, weight).placements))
        return found

    def whole(self, first: bool) -> dict[str, Tensor]:
        """Every trained weight whole, by name, in the first process; all of them ask together."""
        found = {}
        for name, weight in self._trained():
            gathered = cast(DTensor, weight.detach()).full_tensor()
            if first:
                found[name] = gathered
        return found

    def _trained(self) -> list[tuple[str, nn.Parameter]]:
        return [(name, weight) for name, weight in self.module.named_parameters() if weight.requires_grad]

    def _taken(self) -> dict[str, Tensor | None]:
        """The gradients, which the module's weights lose."""
        found = dict[str, Tensor | None]()
        for name, weight in self._trained():
            found[name], weight.grad = None if weight.grad is None else _local(weight.grad), None
        return found


def _local(shared: Tensor) -> Tensor:
    return cast(DTensor, shared.detach()).to_local()
