"""One parsed row to one Example: TRL's formats, every mistake named."""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import get_close_matches
from functools import lru_cache

from everlearn.errors import DataError
from everlearn.types import Example, Message

CONTENT = ("text", "prompt", "completion", "messages", "chosen", "rejected")
KNOWN = (*CONTENT, "id", "source", "time", "task", "choices", "old_completion", "until", "count")
FORMS = "text; prompt + completion; messages; prompt + chosen + rejected"
_FORMS = [{"text"}, {"prompt", "completion"}, {"messages"}, {"prompt", "chosen", "rejected"}]
_ROLES = ("system", "user", "assistant")
_HALF = re.compile("[\ud800-\udfff]")  # surrogates: JSON can spell them, UTF-8 cannot hold them
_TIME = re.compile(r"\d{4}(-\d\d(-\d\d([T ]\S.*)?)?)?")


def to_example(row: Mapping[str, object]) -> Example:
    """The Example that one parsed row gives; DataError says what is wrong with it."""
    given = {key: value for key, value in row.items() if value is not None}
    if type(row.get("id")) is int:
        given["id"] = str(row["id"])
    _check_keys(tuple(given))
    messages = _messages(given)
    prompt, completion = (None, None) if messages else (_text(given, "prompt"), _text(given, "completion"))
    text, chosen, rejected, task, old_completion = (_text(given, key) for key in ("text", "chosen", "rejected", "task", "old_completion"))
    name, source, time = (_string(key, given.get(key, "")) for key in ("id", "source", "time"))
    check_time(time)
    choices = _choices(given["choices"], messages[-1]["content"] if messages else completion) if "choices" in given else ()
    until, count = _whole(given, "until"), _whole(given, "count") or 1
    return Example(text, prompt, completion, messages, chosen, rejected, name, source, time, task, choices, old_completion, until, count)


def check_time(time: str) -> None:
    """Raise DataError for what is no ISO date or time, nor empty."""
    if time and not _TIME.fullmatch(time):
        raise DataError(f"time must be an ISO date ({time=}). 2024, 2024-05, 2024-05-31 and 2024-05-31T12:00 are. Write it so, or leave it out.")


def misspelt(key: str) -> str | None:
    """The known key that this one is a letter away from; 'context', 'prompt_id' and 'idx' are keys of their own."""
    plain = re.sub("[- ]", "_", key.lower())
    close = get_close_matches(plain, KNOWN, n=1, cutoff=0.82)
    return close[0] if key not in KNOWN and close and abs(len(close[0]) - len(plain)) <= 1 else None


@lru_cache(maxsize=1000)
def _check_keys(keys: tuple[str, ...]) -> None:
    meant = {key: name for key in keys if (name := misspelt(key))}
    if meant or set(keys) & set(CONTENT) not in _FORMS:
        close = f"Did you mean {', '.join(map(repr, meant.values()))} by {', '.join(map(repr, meant))}?" if meant else "Correct or cut the line."
        raise DataError(f"wrong keys (keys={short(list(keys))}). A line holds exactly one of: {FORMS}. {close}")


def _messages(given: Mapping[str, object]) -> tuple[Message, ...] | None:
    """The turns of a conversation that ends with the assistant's; None for a row that is not made of messages."""
    parts = [part for key in ("prompt", "completion", "messages") if isinstance(part := given.get(key), list)]
    if "messages" not in given and len(parts) < 2:
        return None
    messages = tuple(_message(turn, number) for number, turn in enumerate((turn for part in parts for turn in part), 1))
    if len(messages) < 2 or messages[-1]["role"] != "assistant":
        raise DataError(f"messages are no list that ends with an answer (roles={[m['role'] for m in messages]}). The last turn is the assistant's. Add it.")
    return messages


def _message(turn: object, number: int) -> Message:
    if not isinstance(turn, dict) or turn.get("role") not in _ROLES:
        raise DataError(f"message {number} has no known role ({short(turn)}). A message has a role ({', '.join(_ROLES)}) and content. Correct it.")
    content = _string(f"content of message {number}", turn.get("content"))
    if not content.strip() and turn["role"] != "system":
        raise DataError(f"message {number} is empty ({content=}). Only a system message may be. Fill it, or leave it out.")
    return {"role": turn["role"], "content": content}


def _string(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise DataError(f"{name} must be text ({name}={short(value)}). Put it in quotes.")
    if not value.isascii() and _HALF.search(value):
        raise DataError(f"{name} holds half a surrogate pair ({name}={short(value)}). Text is Unicode. Correct where it was cut.")
    return value


def _text(given: Mapping[str, object], name: str) -> str | None:
    """Text that is not blank, or None if it is not given."""
    if name not in given:
        return None
    value = _string(name, given[name])
    if not value.strip():
        raise DataError(f"{name} is empty ({name}={value!r}). It holds more than white space. Fill it, or leave the line out.")
    return value


def _whole(given: Mapping[str, object], name: str) -> int | None:
    value = given.get(name)
    if value is not None and (type(value) is not int or value < 1):
        raise DataError(f"{name} must be a whole number of 1 or more ({name}={short(value)}). Correct it, or leave it out.")
    return value


def _choices(given: object, answer: str | None) -> tuple[str, ...]:
    choices = tuple(_string("a choice", choice) for choice in given) if isinstance(given, list) else ()
    if len(choices) < 2 or answer not in choices or len(set(choices)) < len(choices):
        raise DataError(f"choices must be a list of two or more, once each, the completion among them (choices={short(given)}, completion={short(answer)}).")
    return choices


def short(value: object) -> str:
    """A value as an error shows it: at most 80 characters."""
    return f"{value!r:.80}"
