"""Logits made as they are read, some tokens at a time: those of a long batch with a large vocabulary are never whole in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import copy

import torch
from peft import PeftModel
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput
from transformers.utils.generic import ModelOutput

from everlearn.types import Out

# Values of logits, 512 MiB in float32: up to so many are made whole, as making them again in the backward pass takes a third more time of the head.
MOST_LOGITS = 2**27
# Values of a part: on two cores 2**24 was faster than 2**22 and 2**26 (4,096 tokens, 32,768 words) and took a third of the latter's memory.
PART = 2**24
LEAST_TOKENS = 256  # of a part, however large the vocabulary: fewer leave a GPU waiting for its memory
Head = Callable[[Tensor], Tensor]


class LateOut(Out):
    """An Out of the states (N, D) before the output head, and the head, that makes logits (n, V) of states (n, D), of `size` tokens at a time.

    `each` makes the logits of some tokens, and again in the backward pass: what is kept of them is what `values` gives, and the states.
    """

    __slots__ = ("_head", "_size", "_states")
    _states: Tensor
    _head: Head
    _size: int

    def __init__(self, states: Tensor, head: Head, size: int) -> None:
        for name, value in (("_states", states), ("_head", head), ("_size", size)):
            object.__setattr__(self, name, value)

    @property
    def logits(self) -> Tensor:
        """All of them, whole in memory."""
        return self._head(self._states)

    def each(self, values: Callable[..., Tensor], *aligned: Tensor) -> Tensor:
        if not len(self._states):
            return values(self.logits, *aligned)
        parts = zip(*(torch.split(one, self._size) for one in (self._states, *aligned)), strict=True)

        def made(states: Tensor, *given: Tensor) -> Tensor:
            return values(self._head(states), *given)

        if not torch.is_grad_enabled() or not self._states.requires_grad:
            return torch.cat([made(*part) for part in parts])
        return torch.cat([checkpoint(made, *part, use_reentrant=False, preserve_rng_state=False) for part in parts])

    def at(self, here: Tensor) -> Out:
        return LateOut(self._states[here], self._head, self._size)

    def detached(self) -> Out:
        states, head = self._states.detach(), self._head

        def without(given: Tensor) -> Tensor:
            with torch.no_grad():
                return head(given)

        return LateOut(states, without, self._size)


class LateHead:
    """A module's output head, to be run after the rest of it.

    The decoder runs once; what the architecture does around its head (scales, caps, a bias) is done by the module's own forward pass, with the decoder's
    states handed to it. right: does that give the module's own logits? Found at the first use, by one token; None before.
    """

    def __init__(self, module: PreTrainedModel) -> None:
        self.module = module
        self.right: bool | None = None

    def outputs(self, keep: Tensor, **inputs: object) -> Out | None:
        """What the module says at the flat positions `keep` of its decoder's (B, T), logits not made yet; None where they are few, or cannot be had so."""
        whole = self.module.get_base_model() if isinstance(self.module, PeftModel) else self.module
        vocabulary = int(whole.config.get_text_config(decoder=True).vocab_size)
        size = max(LEAST_TOKENS, PART // vocabulary)
        if len(keep) <= size or len(keep) * vocabulary <= MOST_LOGITS or self.right is False or not torch.is_grad_enabled():
            return None
        decoder, seen = whole.get_decoder(), list[ModelOutput]()  # type: ignore[no-untyped-call]

        def only_first(_: nn.Module, given: object, out: object) -> object:
            if not isinstance(out, ModelOutput):
                return out
            seen.append(_with_states(out, out["last_hidden_state"].flatten(0, 1)[keep][None]))
            return _with_states(out, seen[0]["last_hidden_state"][:, :1])

        hook = decoder.register_forward_hook(only_first)
        try:
            said = self.module(**inputs)
        finally:
            hook.remove()
        if len(seen) != 1:
            self.right = False
            return None
        states = seen[0]["last_hidden_state"][0]
        late = LateOut(states, _head(whole, decoder, seen[0], _read(said, inputs), states.device.type), size)
        if self.right is None:
            with torch.no_grad():
                self.right = torch.allclose(
                    late.detached().at(torch.zeros(1, dtype=torch.long, device=keep.device)).logits, said["logits"][0], atol=1e-4, rtol=1e-4
                )
        return late if self.right else None


def _head(whole: PreTrainedModel, decoder: nn.Module, out: ModelOutput, inputs: Mapping[str, object], kind: str) -> Head:
    """The module from its decoder's states on, in the precision that holds now."""
    casts, to = torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind)

    def head(states: Tensor) -> Tensor:
        with _handing(decoder, _with_states(out, states[None])), torch.autocast(kind, dtype=to, enabled=casts):
            logits: Tensor = whole(**inputs)["logits"][0]
        return logits

    return head


@contextmanager
def _handing(decoder: nn.Module, out: ModelOutput) -> Iterator[None]:
    """Inside, the decoder gives this whatever it is given."""
    own = decoder.__dict__.get("forward")
    decoder.forward = lambda *given, **named: out
    try:
        yield
    finally:
        del decoder.forward
        if own is not None:
            decoder.forward = own


def _with_states(out: ModelOutput, states: Tensor) -> ModelOutput:
    changed = copy(out)
    changed["last_hidden_state"] = states
    return changed


def _read(said: ModelOutput, inputs: Mapping[str, object]) -> dict[str, object]:
    """The inputs, for an encoder-decoder with what its encoder made of the source, so that it's not read again."""
    states = said.get("encoder_last_hidden_state")
    return dict(inputs) if states is None else {**inputs, "encoder_outputs": BaseModelOutput(last_hidden_state=states.detach())}
