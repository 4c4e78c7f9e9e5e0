"""What a change means to a reader: when, how sure, and in words what is new."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import log
from typing import Any

from everlearn.streams.drift import Change
from everlearn.types import Example

WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|[^\W_]+")  # of Chinese and Japanese one character at a time
SHOWN, TERMS, LONGEST = 3, 5, 100  # examples, words each way, letters of an example
CLEAR = 2.0  # standard errors by which a word's share must differ to be named


@dataclass(frozen=True, slots=True)
class Event:
    """A change in a stream.

    at: how many rows came before it.   noticed: rows seen when it was found.   time: of the first row after it, "" where rows have none.   measure, score,
    threshold: how sure, as `Change` says.   more, fewer: words that have come up and gone.   unlike: the rows after it that are most unlike those before.

    >>> Event(120, 168, "2024-05-01", "p-value", 3e-9, 1e-5, ("oven",), ("loan",), ("Bake it",)).sentence
    "After row 120 (2024-05-01) rows are unlike before (p-value 3e-09, threshold 1e-05): more 'oven', fewer 'loan'; most unlike: 'Bake it'."
    """

    at: int
    noticed: int
    time: str
    measure: str
    score: float | None
    threshold: float
    more: tuple[str, ...] = ()
    fewer: tuple[str, ...] = ()
    unlike: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        """All of it in one."""
        when = f" ({self.time})" if self.time else ""
        sure = f"{self.measure} {f'{self.score:.2g}, threshold' if self.score is not None else 'beyond'} {self.threshold:.2g}"
        parts = [f"{name} {', '.join(map(repr, words))}" for name, words in (("more", self.more), ("fewer", self.fewer)) if words]
        told = [", ".join(parts)] if parts else []
        told += [f"most unlike: {', '.join(map(repr, self.unlike))}"] if self.unlike else []
        return f"After row {self.at}{when} rows are unlike before ({sure}){': ' if told else ''}{'; '.join(told)}."

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def event_of(change: Change, before: Sequence[Example], after: Sequence[Example]) -> Event:
    """The change in words, from rows before and after it.

    A word is named where the share of rows that hold it differs by more than chance (log odds over their standard error); a row is the more unlike
    before, the more its words are on average among those that came up.
    """
    old, new = [_words(row) for row in before], [_words(row) for row in after]
    odds = _odds(old, new)
    ranked = sorted(odds, key=lambda word: (-odds[word], word))
    more = [word for word in ranked[:TERMS] if odds[word] > CLEAR]
    fewer = [word for word in ranked[::-1][:TERMS] if odds[word] < -CLEAR]
    worth = [sum(odds[word] for word in words) / len(words) if words else 0.0 for words in new]
    strange = sorted(range(len(new)), key=lambda at: (-worth[at], at))[:SHOWN]
    time = after[0].time if after else ""
    told = tuple(_short(after[at]) for at in strange)
    return Event(change.began, change.noticed, time, change.measure, change.score, change.threshold, tuple(more), tuple(fewer), told)


def text_of(row: Example) -> str:
    """All that a row says."""
    if row.messages is not None:
        return "\n".join(message["content"] for message in row.messages)
    return "".join(part for part in (row.text, row.prompt, row.completion, row.chosen) if part)


def _words(row: Example) -> frozenset[str]:
    return frozenset(WORD.findall(text_of(row).lower()))


def _odds(old: Sequence[frozenset[str]], new: Sequence[frozenset[str]]) -> dict[str, float]:
    """By word, how much oftener rows hold it now: the difference of log shares over its standard error."""
    was, now = (Counter(word for words in of for word in words) for of in (old, new))
    found = {}
    for word in was | now:
        a, b = now[word] + 0.5, was[word] + 0.5
        apart = log(a / (len(new) + 1)) - log(b / (len(old) + 1))
        found[word] = apart / (1 / a + 1 / b) ** 0.5
    return found


def _short(row: Example) -> str:
    """The end of the question and the answer, where the row's own words most likely are, on one line."""
    said = " ".join(text_of(row).split())
    return said if len(said) <= LONGEST else f"…{said[-LONGEST + 1 :]}"
