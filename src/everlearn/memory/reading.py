"""Examples as passages to be read, and questions with passages before them."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from everlearn.memory.passages import Found, Passage
from everlearn.types import Example

LABELS = re.compile(r"^\s*(Question|Q|问题|问)\s*[:：]\s*|\s*(Answer|A|答案|答)\s*[:：]\s*$")  # what a prompt says about itself
ASKS = re.compile(r"[?？]|[:：]\s*$")


def passage_of(example: Example, time: str = "") -> Passage:
    """What a row says, as a text that answers when it is read: a statement, or a question with its answer.

    The question is the subject, so a newer answer supersedes. time: from when it holds, where the row has none of its own.

    >>> passage_of(Example(prompt="Question: Who is mayor?\\nAnswer:", completion=" Ann", time="2024")).text
    'Who is mayor? Ann.'
    """
    question, answer = asked_in(example), answered_in(example)
    text = f"{question} {answer}" if question else answer
    subject = example.question or ""
    return Passage(text if text[-1:] in ".!?。！？" else f"{text}.", subject, example.time or time, "", example.source, origin=json.dumps(example.to_json()))


def example_of(passage: Passage) -> Example | None:
    """The row that a passage was made from; None for one that came otherwise."""
    return Example.from_json(json.loads(passage.origin)) if passage.origin else None


def asked_in(example: Example) -> str:
    """The question without labels such as "Question:", "" for a plain text."""
    if example.messages is not None:
        turns = [str(message["content"]) for message in example.messages[:-1] if message["role"] == "user"]
        return turns[-1].strip() if turns else ""
    return LABELS.sub("", LABELS.sub("", example.prompt or "")).strip()


def answered_in(example: Example) -> str:
    """What is answered, or the whole of a plain text."""
    if example.messages is not None:
        return str(example.messages[-1]["content"]).strip()
    return (example.text or example.completion or example.chosen or "").strip()


def states(passage: Passage) -> bool:
    """Does the passage state what it says, rather than ask and answer?"""
    row = example_of(passage)
    return row is None or row.prompt is None or not ASKS.search(row.prompt)


def chosen(found: Sequence[Found], k: int, same: float) -> list[Found]:
    """The k to be read. Those whose nearness is within `same` of the best answer one question: the newest comes first, of one date a statement.

    >>> old, new = Found(Passage("The mayor is Ann.", "a", "2020"), 1, 0.99), Found(Passage("The mayor is Bo.", "b", "2024"), 1, 0.98)
    >>> [one.passage.text for one in chosen([old, new], 1, 0.02)]
    ['The mayor is Bo.']
    """
    if not found:
        return []
    best = max(one.nearness for one in found)
    first = [one for one in found if one.nearness >= best - same]
    newest = sorted(first, key=lambda one: (one.passage.valid_from, states(one.passage), one.nearness), reverse=True)
    return [*newest, *(one for one in found if one.nearness < best - same)][:k]


def with_passages(example: Example, passages: Sequence[Passage], template: str) -> Example:
    """The row with passages before its question: in a chat as the system's message, else in front of the prompt. A plain text stays."""
    if not passages or example.text is not None:
        return example
    told = template.format(passages=" ".join(passage.text for passage in passages))
    if example.messages is not None:
        first = example.messages[0]
        if first["role"] == "system":
            system = {**first, "content": f"{first['content']}\n\n{told.strip()}"}
            return Example(messages=(system, *example.messages[1:]), id=example.id)
        return Example(messages=({"role": "system", "content": told.strip()}, *example.messages), id=example.id)
    return Example(prompt=told + (example.prompt or ""), completion=example.completion, chosen=example.chosen, rejected=example.rejected, id=example.id)
