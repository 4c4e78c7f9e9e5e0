"""What requests may say: OpenAI's bodies, as far as they do something here, and our own for feedback and documents."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from everlearn.memory.passages import iso
from everlearn.serve.pool import LATEST
from everlearn.streams.rows import check_time
from everlearn.types import Message

Words = Annotated[str, Field(min_length=1, max_length=200)]
Date = Annotated[str, Field(max_length=40, description="ISO date or time; empty for now")]


class _Body(BaseModel):
    """Anything else is refused by name: an option that is accepted does something."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    @field_validator("*", mode="after")
    @classmethod
    def _is_text(cls, value: object) -> object:
        """Half a surrogate pair, which JSON can spell, is in no text."""
        for part in value if isinstance(value, list) else [value]:
            if isinstance(part, str) and any("\ud800" <= letter <= "\udfff" for letter in part):
                raise ValueError(f"a character is half of one (a lone surrogate, {part!r:.40})")
        return value


class Part(_Body):
    """A part of a message."""

    type: Literal["text"]
    text: str


class Turn(_Body):
    """A message of a conversation."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | Annotated[list[Part], Field(min_length=1, max_length=64)]
    name: str | None = Field(default=None, max_length=64, description="not shown to the model")

    def message(self) -> Message:
        text = self.content if isinstance(self.content, str) else "\n".join(part.text for part in self.content)
        return {"role": "system" if self.role == "developer" else self.role, "content": text}


class StreamOptions(_Body):
    include_usage: bool = False
    include_obfuscation: Literal[False] | None = None


class Answering(_Body):
    """What chat and completions share."""

    model: str = Field(default=LATEST, max_length=64, description="`latest`, or a version that /v1/models lists")
    max_tokens: int | None = Field(default=None, ge=1, description="by default as many as the model has room for, up to the server's limit")
    temperature: float | None = Field(default=0.0, ge=0, le=2, description="0, the default, says the likeliest token every time, as versions are tested")
    top_p: float | None = Field(default=1.0, gt=0, le=1)
    top_k: int | None = Field(default=0, ge=0, le=1_000_000, description="0 for no cut")
    seed: int | None = Field(default=None, ge=-(2**63), lt=2**63)
    stop: Words | Annotated[list[Words], Field(max_length=4)] | None = None
    n: int | None = Field(default=1, ge=1, le=8)
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    user: str | None = Field(default=None, max_length=200, description="the same user gets the same version while one is on trial")
    as_of: Date = ""
    presence_penalty: Literal[0] | None = None
    frequency_penalty: Literal[0] | None = None
    logit_bias: None = None

    @field_validator("presence_penalty", "frequency_penalty", mode="before")
    @classmethod
    def _none_given(cls, value: object) -> object:
        return 0 if value == 0 and not isinstance(value, bool) else value

    @property
    def stops(self) -> tuple[str, ...]:
        return () if self.stop is None else (self.stop,) if isinstance(self.stop, str) else tuple(self.stop)

    @property
    def drawn(self) -> bool:
        """By chance, or the likeliest token every time?"""
        return self.temperature is not None and self.temperature >= 0.01


class ChatBody(Answering):
    """A request to /v1/chat/completions."""

    messages: list[Turn] = Field(min_length=1, max_length=256)
    max_completion_tokens: int | None = Field(default=None, ge=1)
    logprobs: Literal[False] | None = None
    response_format: dict[Literal["type"], Literal["text"]] | None = None


class CompletionBody(Answering):
    """A request to /v1/completions."""

    prompt: str | Annotated[list[str], Field(min_length=1, max_length=32)]
    logprobs: None = None
    echo: Literal[False] | None = None
    best_of: Literal[1] | None = None
    suffix: None = None

    @property
    def prompts(self) -> list[str]:
        return [self.prompt] if isinstance(self.prompt, str) else list(self.prompt)


class EmbeddingBody(_Body):
    """A request to /v1/embeddings."""

    input: str | Annotated[list[str], Field(min_length=1, max_length=256)]
    model: str = Field(default=LATEST, max_length=64)
    encoding_format: Literal["float", "base64"] | None = "float"
    dimensions: int | None = Field(default=None, ge=1, description="must be the model's own")
    user: str | None = Field(default=None, max_length=200)

    @property
    def texts(self) -> list[str]:
        return [self.input] if isinstance(self.input, str) else list(self.input)


class FeedbackBody(_Body):
    """Feedback: on an answer, by its `id`, or by itself with `prompt` or `messages`.

    correction: what should have been said; it becomes an example to learn from.   chosen: of several answers or items the one that was taken, with
    `shown` the others; it becomes an example too.   rating: counts for or against the version that answered.
    """

    id: str | None = Field(default=None, max_length=64, description="of the answer")
    prompt: str | None = Field(default=None, min_length=1)
    messages: list[Turn] | None = Field(default=None, min_length=1, max_length=256)
    correction: str | None = Field(default=None, min_length=1)
    chosen: str | None = Field(default=None, min_length=1)
    shown: list[Annotated[str, Field(min_length=1)]] = Field(default=[], max_length=64)
    rating: Literal["good", "bad"] | None = None
    time: Date = ""

    @field_validator("time")
    @classmethod
    def _is_a_time(cls, value: str) -> str:
        check_time(value)
        iso(value, "time")  # and one that is in the calendar
        return value

    @model_validator(mode="after")
    def _says_something(self) -> FeedbackBody:
        if self.correction is not None and self.chosen is not None:
            raise ValueError("feedback is a correction or a choice, not both")
        if self.correction is None and self.chosen is None and (self.rating is None or self.id is None):
            raise ValueError("feedback needs a correction, a choice, or the id of an answer with a rating")
        if sum(part is not None for part in (self.id, self.prompt, self.messages)) != 1:
            raise ValueError("feedback is about one of: the id of an answer, a prompt, messages")
        if any(text is not None and not text.strip() for text in (self.correction, self.chosen, self.prompt, *self.shown)):
            raise ValueError("a text of white space says nothing")
        return self


class DocumentBody(_Body):
    """A document: a text that holds, or a question (prompt) with its answer (completion)."""

    text: str | None = Field(default=None, min_length=1)
    prompt: str | None = Field(default=None, min_length=1)
    completion: str | None = Field(default=None, min_length=1)
    subject: str = Field(default="", max_length=1000, description="what a newer document of the same subject supersedes")
    valid_from: Date = ""
    valid_to: Date = ""
    source: str = Field(default="", max_length=200)
    trust: float = Field(default=1.0, gt=0, le=1)
    id: str = Field(default="", max_length=100)

    @model_validator(mode="after")
    def _one_form(self) -> DocumentBody:
        if (self.text is None) == (self.prompt is None) or (self.prompt is None) != (self.completion is None):
            raise ValueError("a document is a text, or a prompt with its completion")
        return self


class DocumentsBody(_Body):
    """Documents to take in, all or none."""

    documents: list[DocumentBody] = Field(min_length=1, max_length=1000)


def told(problem: dict[str, Any]) -> tuple[str, str | None]:
    """One mistake of a body in a sentence, and the place it is at."""
    place = ".".join(str(part) for part in problem["loc"] if part != "body")
    said, given = str(problem["msg"]).removeprefix("Value error, ").rstrip("."), json.dumps(problem.get("input"), default=str)[:80]
    if problem["type"] == "json_invalid":
        return f"The body is not JSON (character {place}: {problem.get('ctx', {}).get('error', said)}). Correct it.", None
    if problem["type"] in ("model_attributes_type", "dict_type", "model_type") and not place:
        return "The body must be a JSON object, sent with the header Content-Type: application/json (curl --json does that).", None
    if problem["type"] == "missing":
        return f"{place} is missing.", place or None
    if problem["type"] == "extra_forbidden":
        return f"{place} is not known here, got {given}. /openapi.json lists what is.", place or None
    shown = "" if not place or problem["type"] == "value_error" else f", got {given}"  # our own sentences name the value
    return f"{place}: {said}{shown}." if place else f"{said}.", place or None
