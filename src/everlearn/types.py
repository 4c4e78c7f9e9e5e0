"""The nouns everyone shares: Example, Experience, Row, Batch, Out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from torch import Tensor

Score = Literal["exact", "choice", "loss", "chrf", "bleu", "rouge", "ranking"]
Message = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Example:
    """One thing to learn from or to be tested on, as text.

    Exactly one form: `text`; `prompt` + `completion`; `messages` (each {"role", "content"}); `prompt` + `chosen` + `rejected`.
    id: by default a hash of the content, so equal content is one example.   source: where it came from.   time: ISO date or "".
    task: the task it belongs to, hidden from learners.   choices: a test row's possible answers, `completion` among them.
    old_completion: what was true before (a test answered so is stale).   until: the experience (1-based) from which on a test row
    counts for staleness only.   count: how often it was given.

    >>> Example(prompt="Capital of Kenya?", completion=" Nairobi").id
    'afdad4a8a0abb987'
    """

    text: str | None = None
    prompt: str | None = None
    completion: str | None = None
    messages: tuple[Message, ...] | None = None
    chosen: str | None = None
    rejected: str | None = None
    id: str = ""
    source: str = ""
    time: str = ""
    task: str | None = None
    choices: tuple[str, ...] = ()
    old_completion: str | None = None
    until: int | None = None
    count: int = 1

    def __post_init__(self) -> None:
        if not self.id:
            object.__setattr__(self, "id", hashlib.sha256("\0".join(self.content).encode(errors="surrogatepass")).hexdigest()[:16])

    @property
    def content(self) -> tuple[str, ...]:
        """What is learned, in a fixed order: two examples with equal content are the same example."""
        messages = json.dumps([dict(m) for m in self.messages], ensure_ascii=False, sort_keys=True) if self.messages else None
        return tuple(part if part is not None else "\1" for part in (self.text, self.prompt, self.completion, messages, self.chosen, self.rejected))

    @property
    def question(self) -> str | None:
        """What a newer answer would supersede: the prompt, or the conversation up to its last answer; None for plain text."""
        if self.messages is not None:
            return json.dumps([dict(m) for m in self.messages[:-1]], ensure_ascii=False, sort_keys=True)
        return self.prompt

    def answered(self, answer: str) -> Example:
        """The same question with this answer, as an example of its own."""
        if self.messages is not None:
            return replace(self, messages=(*self.messages[:-1], {**self.messages[-1], "content": answer}), id="")
        return replace(self, completion=answer, id="")

    def to_json(self) -> dict[str, object]:
        """The fields that are set, as one JSON object."""
        told = {name: value for name in self.__slots__ if (value := getattr(self, name)) not in (None, "", ()) and not (name == "count" and value == 1)}
        return told if self.messages is None else {**told, "messages": tuple(dict(message) for message in self.messages)}

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Example:
        """The example that `to_json` wrote."""
        given = {**row, "choices": tuple(row.get("choices", ()))}
        return cls(**given) if "messages" not in row else cls(**{**given, "messages": tuple(row["messages"])})


@dataclass(frozen=True, slots=True)
class Experience:
    """What arrives together: examples to learn from, tasks to be tested on.

    tests, valid: examples by task name.   scores: each task's kind of score.   chance: the score of a guess, where that is known.
    note: what is known of where its rows come from, as JSON, for the record; no learner is given it.
    """

    name: str
    train: tuple[Example, ...]
    tests: Mapping[str, tuple[Example, ...]] = field(default_factory=dict)
    scores: Mapping[str, Score] = field(default_factory=dict)
    time: str = ""
    valid: Mapping[str, tuple[Example, ...]] = field(default_factory=dict)
    chance: Mapping[str, float] = field(default_factory=dict)
    note: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Stream:
    """Experiences in order, with what the starting model was taught (`base`, for methods that may keep old data).

    Any iterable of Experiences is a stream; this one is in hand, so its tasks are known before the first of them is learned.
    """

    name: str
    experiences: tuple[Experience, ...]
    base: tuple[Example, ...] = ()
    about: str = ""

    def __iter__(self) -> Iterator[Experience]:
        return iter(self.experiences)

    def __len__(self) -> int:
        return len(self.experiences)


def superseded(old: Iterable[Example], new: Iterable[Example]) -> list[Example]:
    """The old examples that no new one answers differently: same prompt, other completion means the newer one holds.

    >>> a, b = Example(prompt="Mayor?", completion=" Ann"), Example(prompt="Mayor?", completion=" Bo")
    >>> [e.completion for e in superseded([a], [b])]
    []
    """
    latest = {e.question: e.content for e in new if e.question is not None}
    return [e for e in old if e.question is None or latest.get(e.question, e.content) == e.content]


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """An Example in this run: encoded, and told apart by its example's id.

    tokens: all token ids.   learned: the positions in `tokens` (each >= 1) whose token is a target.   from_memory: rehearsed, not new.
    weight: a factor on its loss values.   factors: another one for each learned token; empty for 1.
    """

    example: Example
    tokens: tuple[int, ...]
    learned: tuple[int, ...]
    from_memory: bool = False
    weight: float = 1.0
    factors: tuple[float, ...] = ()

    @property
    def id(self) -> str:
        return self.example.id

    @property
    def weights(self) -> tuple[float, ...]:
        """The factor on each learned token's loss."""
        return tuple(self.weight * factor for factor in self.factors) if self.factors else (self.weight,) * len(self.learned)


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Rows as tensors, with every learned token of theirs: N in all, row by row, in order.

    tokens, mask: (B, T), padded on the right; of a row nothing is read after the last token that predicts a learned one
    (an encoder-decoder cuts the rows itself).
    at: (N,) index into the B*T positions of the one that predicts each target.   targets: (N,) token ids.
    row: (N,) the row each target is of.   weights: (N,).   from_memory: (N,) bool.
    """

    rows: tuple[Row, ...]
    tokens: Tensor
    mask: Tensor
    at: Tensor
    targets: Tensor
    row: Tensor
    weights: Tensor
    from_memory: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Out:
    """What the model says of a batch: logits (N, V), aligned with `batch.targets`; no shift, no padding, no prompt tokens.

    In a step that learns large ones are made only when they are read: what can be had from a part of the tokens at a time is best asked of `each`.
    """

    logits: Tensor

    def each(self, values: Callable[..., Tensor], *aligned: Tensor) -> Tensor:
        """values(logits, *aligned), where what it gives for a token depends on that token alone: (N, V) and (N, ...) to (N, ...); differentiable."""
        return values(self.logits, *aligned)

    def at(self, here: Tensor) -> Out:
        """Of some tokens, by a mask (N,) or their places."""
        return Out(self.logits[here])

    def detached(self) -> Out:
        """The same without gradients."""
        return Out(self.logits.detach())
