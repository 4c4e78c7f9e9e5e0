"""What every model that learns shares: its weights, in and out, and an output head that runs only where it is asked to."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from random import Random
from typing import ClassVar, cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.utils.generic import ModelOutput

from everlearn.errors import ModelError
from everlearn.models.batch import MOST_PADDING, make_batch, tokens_a_pass
from everlearn.models.decoding import Decoding
from everlearn.models.encode import Encoder
from everlearn.models.late import LateHead
from everlearn.models.processes import Processes, processes
from everlearn.models.sampling import Sampling
from everlearn.models.sharding import Shards
from everlearn.types import Batch, Example, Out, Row


class TrainedModel(ABC):
    """A LanguageModel whose weights learn: what methods, objectives and learners see.

    module: the PreTrainedModel or PeftModel, `head` its output head.   encoder: its Examples as Rows.   name: for messages.   begins: can it write
    a text from nothing, and learn plain text?
    """

    begins: ClassVar[bool] = True

    def __init__(self, module: PreTrainedModel, encoder: Encoder, head: nn.Module, name: str) -> None:
        self.module, self.encoder, self.name = module, encoder, name
        self.tokenizer = encoder.tokenizer
        self.pad = int(self.tokenizer.pad_token_id if self.tokenizer.pad_token_id is not None else encoder.end)
        self._head, self._late = head, LateHead(module)
        self._shards: Shards | None = None

    @abstractmethod
    def logits(self, batch: Batch) -> Out:
        """Next-token logits for the batch's N learned tokens, (N, V); differentiable."""

    def outputs(self, batch: Batch) -> Out:
        """As `logits`, for a step that learns: a batch's logits that are many are not held whole, but made as they are read (`Out.each`)."""
        return self.logits(batch)

    @abstractmethod
    def generate(self, prompts: Sequence[Example], limit: int, lines: bool = False) -> list[str]:
        """The greedy answer to each prompt, up to the end of text, a line break (with `lines` also beyond), or `limit` tokens."""

    @abstractmethod
    def begin(self, prompts: Sequence[Sequence[int]]) -> Decoding:
        """Answers to prompts, as `encoder.prompts` gives them, to be said token by token by who calls; in evaluation mode, without gradients."""

    @abstractmethod
    def ends(self) -> frozenset[int]:
        """The tokens that end an answer."""

    @abstractmethod
    def sample(self, prompts: Sequence[Example], limit: int, sampling: Sampling, random: Random, lines: bool = False) -> list[str]:
        """One continuation a prompt, drawn token by token, ended as by `generate`, a line break that ends it kept; an empty prompt starts a text."""

    def rollouts(self, prompts: Sequence[Example], limit: int, sampling: Sampling, random: Random) -> list[Row]:
        """One drawn answer a prompt as a Row to learn from, of at most `limit` tokens and its end.

        Here the answer's text encoded again; where the tokens drawn are at hand, exactly these.
        """
        said = self.sample(prompts, limit, sampling, random, lines=True)
        return self.encoder.rows([prompt.answered(text) for prompt, text in zip(prompts, said, strict=True)])

    @abstractmethod
    def score(self, prompts: Sequence[Example], continuations: Sequence[Sequence[str]]) -> list[list[float]]:
        """Log-likelihood in nats of each continuation after its prompt, the end of text not included."""

    @property
    def device(self) -> torch.device:
        return next(self.module.parameters()).device

    def tokens_a_pass(self, precision: str = "no") -> int:
        """Tokens that cost about as much as one more pass: up to so many of padding micro-batches take."""
        if self.device.type == "cpu":
            return MOST_PADDING
        known = getattr(self.module.config.get_text_config(decoder=True), "hidden_size", 0)
        width = int(known or cast(nn.Embedding, self.module.get_input_embeddings()).weight.shape[-1])
        return tokens_a_pass(self.device, width, precision)

    def trained(self) -> dict[str, nn.Parameter]:
        """The parameters that learn, by name; with adapters, the adapters' alone. Methods know no others."""
        if self._shards is not None:
            return self._shards.trained()
        return {name: parameter for name, parameter in self.module.named_parameters() if parameter.requires_grad}

    def share_out(self, processes: Processes) -> None:
        """From now on each process holds a part of every weight, which `trained`, `state` and `load` are about; what methods put in is in already."""
        if self.module.config.is_encoder_decoder:  # it answers by calls of its encoder alone, which gather nothing of what lies around the blocks
            raise ModelError(f"an encoder-decoder's weights cannot be shared out (model={self.name!r}). Launch without FSDP.")
        if self._shards is None:
            self._shards = Shards(self.module, processes)

    @property
    def shared_out(self) -> bool:
        """Does each process hold only a part of every weight."""
        return self._shards is not None

    def collect(self) -> None:
        """After a step's backward passes: the trained parameters' `.grad` is all of them together."""
        if self._shards is not None:
            self._shards.collect()

    def gradient(self, loss: Tensor) -> dict[str, Tensor]:
        """The loss's gradient by name of the trained parameters, 0 where it has none; `.grad` stays. Processes that share weights have one loss."""
        if self._shards is not None:
            return self._shards.gradient(loss)
        trained = self.trained()
        found = torch.autograd.grad(loss, list(trained.values()), allow_unused=True)
        return {name: torch.zeros_like(weight) if one is None else one for (name, weight), one in zip(trained.items(), found, strict=True)}

    def whole_state(self) -> dict[str, Tensor]:
        """A copy of the trained parameters, whole where they are shared out: then in the first process, which writes; all of them ask together."""
        return self.state() if self._shards is None else self._shards.whole(processes().first)

    def state(self) -> dict[str, Tensor]:
        """A copy of the trained parameters."""
        return {name: parameter.detach().clone() for name, parameter in self.trained().items()}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Put trained parameters back in place."""
        trained = self.trained()
        if trained.keys() != state.keys():
            raise ModelError(f"saved weights do not fit (differing names: {sorted(trained.keys() ^ state.keys())[:3]}). Load the model they were saved from.")
        if other := [name for name, value in state.items() if trained[name].shape != value.shape]:
            raise ModelError(f"saved weights do not fit (differing sizes: {other[:3]}). Load the model they were saved from, with the same methods.")
        with torch.no_grad():
            for name, value in state.items():
                trained[name].copy_(value)

    def batch(self, rows: Sequence[Row]) -> Batch:
        """The rows as tensors on the model's device."""
        return make_batch(rows, self.pad, self.device)

    def _at(self, keep: Tensor, **inputs: object) -> ModelOutput:
        """The module's output with logits (1, N, V) at the flat positions `keep` of (B, T) alone, whatever the architecture does around its head."""

        def select(_: nn.Module, given: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            if given[0].dim() != 3:
                raise ModelError(
                    f"the output head reads more than one state a token (model={self.name!r}, shape={tuple(given[0].shape)!r}). Give another model."
                )
            return (given[0].flatten(0, 1)[keep].unsqueeze(0),)

        handle = self._head.register_forward_pre_hook(select)
        try:
            return self.module(**inputs)  # type: ignore[no-any-return]
        finally:
            handle.remove()


def chosen(logits: Tensor, targets: Tensor) -> Tensor:
    """log p of each target, (N,), in float64."""
    return torch.log_softmax(logits.float(), 1).gather(1, targets[:, None])[:, 0].double()


@contextmanager
def as_found(module: nn.Module) -> Iterator[None]:
    """Evaluation mode inside; every submodule's mode and the random state are afterwards what they were."""
    modes = {part: part.training for part in module.modules()}
    devices = [p.device for p in module.parameters()][:1]
    try:
        with torch.random.fork_rng([d for d in devices if d.type == "cuda"]):
            module.eval()
            yield
    finally:
        for part, training in modes.items():
            part.training = training


@contextmanager
def holding(model: TrainedModel, weights: Mapping[str, Tensor]) -> Iterator[None]:
    """The model with these trained weights inside (by name; no copy is made, and nothing may be trained); afterwards its own again."""
    trained = model.trained()
    own = {name: parameter.data for name, parameter in trained.items()}
    try:
        for name, value in weights.items():
            trained[name].data = value
        yield
    finally:
        for name, value in own.items():
            trained[name].data = value
