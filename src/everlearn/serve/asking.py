"""What is asked of a version, and how its answer becomes text, piece by piece."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Literal

import torch
from torch import Tensor

from everlearn.errors import DataError, ModelError
from everlearn.memory.passages import Passage
from everlearn.models.sampling import Choose, Sampling
from everlearn.serve.opening import Served
from everlearn.types import Example

SHORT = 64  # tokens that an answer of no given length may have, whatever a memory puts before its question
Finish = Literal["", "stop", "length"]


class TooLong(DataError):
    """A question that leaves no room for its answer."""


class Overloaded(ModelError):
    """More questions wait than the engine takes."""


@dataclass(frozen=True, slots=True)
class Ask:
    """A question to be answered. limit: the most tokens; with `fits` fewer where the model has no room for so many, else that is refused.

    told: the question with what else the model is to read before it, None for nothing.   read: the documents that are read.
    stop: texts before which the answer ends.   sampling: None for the likeliest token every time.   seed: of what is drawn.
    """

    question: Example
    limit: int
    fits: bool = False
    told: Example | None = None
    read: tuple[Passage, ...] = ()
    stop: tuple[str, ...] = ()
    sampling: Sampling | None = None
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Piece:
    """What was said since the piece before. finish: why it is the last one, "" if it is not.   asked, said: tokens so far."""

    text: str
    finish: Finish
    asked: int
    said: int


# Is told each piece, or what went wrong, which is the last it hears; from the engine's thread.
Deliver = Callable[[Piece | Exception], None]


@dataclass(slots=True, eq=False)
class Answer:
    """An answer under way. stream: deliver it piece by piece, else whole.   gone: nobody waits for it any more."""

    served: Served
    ask: Ask
    deliver: Deliver
    stream: bool = False
    gone: bool = False
    prompt: tuple[int, ...] = ()
    limit: int = 0
    tokens: list[int] = field(default_factory=list)
    sent: int = 0
    choose: Choose | None = None

    def encode(self, read: Example) -> None:
        """Take up the question as the model is asked it. Raises TooLong where the answer has no room."""
        encoder, ask = self.served.model.encoder, self.ask
        prompt = encoder.prompts([read])[0] or [encoder.end]
        own = prompt if read is ask.question else encoder.prompts([ask.question])[0]
        room = encoder.room_after(own)
        if room < 1 or (room < ask.limit and not ask.fits):
            raise TooLong(
                f"the prompt has {len(own)} tokens and the answer may have {ask.limit}, and this model reads {encoder.longest} in all."
                " Shorten the prompt, or ask for fewer tokens."
            )
        left = encoder.room_after(prompt)
        self.limit = min(ask.limit, room if not ask.fits else max(left, min(room, SHORT)))
        over = max(0, self.limit - left)  # what a memory put before the question gives way to the answer
        start = len(encoder.start) if prompt[: len(encoder.start)] == encoder.start else 0
        self.prompt = (*prompt[:start], *prompt[start + over :])
        if ask.sampling is not None:
            self.choose = ask.sampling.chooser(Random(ask.seed))

    def drawn(self, logits: Tensor) -> int:
        """The next token by chance, from logits (1, V)."""
        assert self.choose is not None
        return int(self.choose(logits)[0])

    def take(self, token: int) -> Piece | None:
        """Add a token: what is new to be delivered, its `finish` set where the answer is over; None where there is nothing yet."""
        ended = token in self.served.model.ends()
        if not ended:
            self.tokens.append(token)
        finish: Finish = "stop" if ended else "length" if len(self.tokens) == self.limit else ""
        if not (self.stream or self.ask.stop or finish):
            return None
        text = str(self.served.model.tokenizer.decode(self.tokens, skip_special_tokens=True))
        at = min((found for stop in self.ask.stop if (found := text.find(stop)) >= 0), default=-1)
        if at >= 0:
            text, finish = text[:at], "stop"
        sent, ready = self.sent, len(text) if finish else settled(text, self.ask.stop)
        if not finish and not (self.stream and ready > sent):
            return None
        self.sent = max(sent, ready)
        return Piece(text[sent:ready], finish, len(self.prompt), len(self.tokens))


def settled(text: str, stop: tuple[str, ...]) -> int:
    """How many characters of an answer under way will stay: no half of a character, no beginning of a text that ends it.

    >>> settled("the end. U", ("USER:",)), settled("the end. Us", ("USER:",)), settled("caf\\ufffd", ())
    (9, 11, 3)
    """
    whole = len(text) - (len(text) - len(text.rstrip("\ufffd")))
    most = max((len(one) for one in stop), default=1) - 1
    begun = next((size for size in range(min(most, whole), 0, -1) if any(one.startswith(text[whole - size : whole]) for one in stop)), 0)
    return whole - begun


def finite(values: Tensor) -> list[bool]:
    """Which of the largest logits (B,) are numbers."""
    return [bool(one) for one in torch.isfinite(values).tolist()]
