"""Examples as plain text, to be compared, counted and told apart."""

from __future__ import annotations

import re
import unicodedata

from everlearn.types import Example

# Signs that carry no meaning of their own; + - * / % = stay, so that 7+5 and 7-5 are not the same.
_MARKS = re.compile(r"""[\s.,;:!?"'`()\[\]…。，、；：！？“”‘’「」『』（）【】《》]+""")


def normalised(text: str) -> str:
    """The text without what does not matter: compatible forms joined, letters folded, punctuation and white space one space.

    >>> normalised("  What is  the Capital of Kenya?"), normalised("７＋５＝？")
    ('what is the capital of kenya', '7+5=')
    """
    return _MARKS.sub(" ", unicodedata.normalize("NFKC", text).casefold()).strip()


def parts_of(example: Example) -> list[str]:
    """The texts a row is made of: what is asked, what is answered, or the plain text."""
    given = (example.text, example.prompt, example.completion, example.chosen, example.rejected)
    return [part for part in (*given, *(turn["content"] for turn in example.messages or ())) if part]


def whole(example: Example) -> str:
    """Everything a row holds, as one text."""
    return " ".join(parts_of(example))


def question(example: Example) -> str:
    """What a row asks: its prompt, its conversation before the last turn, or all of a plain text."""
    if example.messages is not None:
        return " ".join(turn["content"] for turn in example.messages[:-1])
    return example.prompt if example.prompt is not None else example.text or ""


def answer(example: Example) -> str | None:
    """What a row answers, white space collapsed; None for plain text and for pairs of a better and a worse answer."""
    given = example.messages[-1]["content"] if example.messages else example.completion
    return None if given is None else " ".join(given.split())


def shown(text: str) -> str:
    """A text as a report shows it, at most 60 characters on one line."""
    line = " ".join(text.split())
    return repr(line if len(line) <= 60 else f"{line[:57]}...")
