"""Several processes that learn as one: who does which micro-batch, and the sums that make every process's gradient the whole step's."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar
from zlib import crc32

import torch
from torch import Tensor, distributed, nn

from everlearn.disk import launched
from everlearn.errors import SettingError, StateError
from everlearn.types import Row

MOST_BYTES = 2**26  # of gradients summed in one call: the copy made for it is no larger, or one parameter's
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Processes:
    """The processes of this run and which one this is. Every process holds all rows and the same plan, draws and methods, and does its share of each step.

    count: >= 1.   place: 0 to count - 1; only the first writes files.   sharded: weights, gradients, moments and what methods keep beside a weight are
    shared out too, and all processes pass through the model equally often.

    >>> Processes(2, 0).mine([5, 1, 3, 2]), Processes(2, 1).mine([5, 1, 3, 2])
    ([0, 1], [2, 3])
    """

    count: int = 1
    place: int = 0
    sharded: bool = False

    @property
    def first(self) -> bool:
        """Does this one write."""
        return self.place == 0

    @property
    def several(self) -> bool:
        return self.count > 1

    def most(self, rows: Sequence[Row], limit: int) -> int:
        """Padded tokens of a micro-batch, at most `limit`, so that every process gets one."""
        return limit if not self.several else max(1, min(limit, -(-sum(len(row.tokens) for row in rows) // self.count)))

    def mine(self, sizes: Sequence[int]) -> list[int]:
        """The places of the micro-batches that this process does: the largest first, each to who has the least."""
        return sorted(self._shared_out(sizes)[self.place])

    def idle(self, sizes: Sequence[int]) -> int:
        """With sharded weights, how many micro-batches fewer than the busiest process this one has: as often it must pass through the model with them."""
        of = [len(one) for one in self._shared_out(sizes)]
        return max(of) - of[self.place] if self.sharded else 0

    def _shared_out(self, sizes: Sequence[int]) -> list[list[int]]:
        loads, found = [0] * self.count, [list[int]() for _ in range(self.count)]
        for at in sorted(range(len(sizes)), key=lambda at: -sizes[at]):
            who = loads.index(min(loads))
            loads[who] += sizes[at]
            found[who].append(at)
        return found

    def add(self, value: Tensor) -> Tensor:
        """The sum over all processes, in place."""
        if self.several and torch.cuda.is_available() and not value.is_cuda:  # NCCL sums what is on its devices alone
            there = value.cuda()
            distributed.all_reduce(there)
            value.copy_(there)
        elif self.several:
            distributed.all_reduce(value)
        return value

    def mean(self, part: Tensor) -> Tensor:
        """The mean of a tensor of which each process with sharded weights holds a part; else of itself."""
        if not self.sharded:
            return part.mean()
        told = self.add(torch.stack([part.double().sum(), torch.tensor(float(part.numel()), dtype=torch.double, device=part.device)]))
        return (told[0] / told[1]).to(part)

    def clip(self, parts: Sequence[nn.Parameter], most: float) -> None:
        """Scale gradients, of which each process holds parts, to a norm of at most `most`, all together."""
        gradients = [part.grad for part in parts if part.grad is not None]
        if not gradients:  # in no process then
            return
        norm = self.add(torch.stack([gradient.double().square().sum() for gradient in gradients]).sum()).sqrt()
        torch._foreach_mul_(gradients, float((most / (norm + 1e-6)).clamp(max=1.0)))

    def joined(self, kept: Mapping[str, Value]) -> dict[str, Value]:
        """What each process has noted by id, of all of them together; a key noted twice is the later process's."""
        if not self.several:
            return dict(kept)
        every: list[Mapping[str, Value]] = [{}] * self.count
        distributed.all_gather_object(every, dict(kept))
        return {key: value for part in every for key, value in part.items()}

    def add_gradients(self, weights: Sequence[nn.Parameter], loss: Tensor, rows: Sequence[Row]) -> Tensor:
        """Make each weight's gradient the sum over all processes, and return the loss's; raises StateError where their rows are not the same.

        A weight that no process has a gradient for has none afterwards.
        """
        if not self.several:
            return loss
        print_of = crc32("\0".join(row.id for row in rows).encode()) % 2**20
        told = torch.tensor([float(print_of), float(print_of) ** 2, float(loss), *(float(weight.grad is not None) for weight in weights)], dtype=torch.double)
        self.add(told)
        if float(told[0]) != self.count * print_of or float(told[1]) != self.count * print_of**2:
            raise StateError(f"the processes learn different rows in the same step (process={self.place!r}). Give all of them the same data and settings.")
        if self.sharded:  # the backward passes have summed them
            return told[2].to(loss)
        known = [weight for weight, has in zip(weights, told[3:].tolist(), strict=True) if has]
        with torch.no_grad():
            for part in _parts(known):
                self._add_part(part)
        return told[2].to(loss)

    def wait(self) -> None:
        """Until every process is here."""
        if self.several:
            distributed.barrier()

    def _add_part(self, weights: Sequence[nn.Parameter]) -> None:
        flat = self.add(torch.cat([(torch.zeros_like(w) if w.grad is None else w.grad).flatten() for w in weights]))
        for weight, value in zip(weights, torch.split(flat, [weight.numel() for weight in weights]), strict=True):
            if weight.grad is None:
                weight.grad = value.view_as(weight).clone()
            else:
                weight.grad.copy_(value.view_as(weight))


def _parts(weights: Sequence[nn.Parameter]) -> list[list[nn.Parameter]]:
    """Runs of weights of one type that hold at most MOST_BYTES, or are one."""
    parts, filled = list[list[nn.Parameter]](), 0
    for weight in weights:
        size = weight.numel() * weight.element_size()
        if parts and parts[-1][-1].dtype == weight.dtype and filled + size <= MOST_BYTES:
            parts[-1].append(weight)
            filled += size
        else:
            parts.append([weight])
            filled = size
    return parts


def processes() -> Processes:
    """The processes that a launcher (`accelerate launch`, torchrun) started together, found by its environment; one without a launcher.

    Weights are shared out too where it asks for FSDP2. Raises SettingError for the other ways to share them out (FSDP1, DeepSpeed, Megatron).
    """
    if (count := launched()) <= 1:
        return Processes()
    for name in ("ACCELERATE_USE_DEEPSPEED", "ACCELERATE_USE_MEGATRON_LM"):
        if _asked(name):
            raise SettingError(f"the launcher asks to share out the weights ({name}={os.environ[name]!r}). Launch with --use_fsdp --fsdp_version 2, or none.")
    sharded, version = _asked("ACCELERATE_USE_FSDP"), os.environ.get("FSDP_VERSION", "1")
    if sharded and version != "2":
        raise SettingError(f"weights are shared out by the second FSDP alone (FSDP_VERSION={version!r}). Launch with --fsdp_version 2.")
    if not distributed.is_initialized():
        distributed.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo")  # numbers go by the first, gradients by the second
        if torch.cuda.is_available():
            torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    return Processes(count, distributed.get_rank(), sharded)


def _asked(name: str) -> bool:
    return os.environ.get(name, "false").lower() in ("true", "1")
