"""What rows have to do with each other: answers that contradict or change, and tests whose prompts are taught."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from everlearn.data_check.gather import LEARNED, Part
from everlearn.data_check.text import answer, normalised, question, shown
from everlearn.types import Example


@dataclass(frozen=True, slots=True)
class Pair:
    """Two rows that meet. file: of the first.   place, other: file and line of each.   what: in a few words."""

    file: str
    place: str
    other: str
    what: str

    def __str__(self) -> str:
        return f"{self.place} and {self.other}: {self.what}"


def conflicts(parts: Sequence[Part]) -> list[Pair]:
    """Rows of one file that answer one question differently, each against the first; white space does not count."""
    found = []
    for part in parts:
        seen: dict[str, tuple[str, Example]] = {}
        for example, asked, said in _answered(part):
            first, other = seen.setdefault(asked, (said, example))
            if first != said:
                found.append(Pair(str(part.reading.path), part.place(example), part.place(other), f"{_asked(example)} is {shown(said)} and {shown(first)}"))
    return found


def changes(parts: Sequence[Part]) -> list[Pair]:
    """Questions to which a later learned file gives another answer than the one before it: the newer one holds."""
    found = []
    latest: dict[str, tuple[str, str, int]] = {}
    for number, part in enumerate(part for part in parts if part.role in LEARNED):
        for example, asked, said in _answered(part):
            before = latest.get(asked)
            if before and before[2] < number and before[0] != said:
                found.append(Pair(str(part.reading.path), part.place(example), before[1], f"{_asked(example)} was {shown(before[0])}, is {shown(said)}"))
            latest[asked] = (said, part.place(example), number)
    return found


def taught(parts: Sequence[Part]) -> list[Pair]:
    """Test and validation rows whose question is learned somewhere: word for word, or equal once normalised."""
    exact: dict[str, dict[str | None, str]] = {}  # by question and answer the place that teaches it
    loose: dict[str, dict[str | None, str]] = {}
    for part in parts:
        for example in part.reading.examples if part.role in LEARNED else ():
            asked = question(example)
            exact.setdefault(asked, {}).setdefault(answer(example), part.place(example))
            loose.setdefault(normalised(asked) or asked, {}).setdefault(answer(example), part.place(example))
    found = []
    for part in parts:
        for example in part.reading.examples if part.role not in LEARNED else ():
            asked = question(example)
            how, hits = ("word for word", exact[asked]) if asked in exact else ("but for case and punctuation", loose.get(normalised(asked) or asked))
            if hits:
                same = answer(example) in hits
                place, with_it = hits[answer(example)] if same else next(iter(hits.values())), "with its answer" if same else "with another answer"
                found.append(Pair(str(part.reading.path), part.place(example), place, f"{_asked(example)} is taught {how}, {with_it}"))
    return found


def repeated(parts: Sequence[Part]) -> list[Pair]:
    """Learned rows whose content an earlier learned file holds already."""
    found = []
    first: dict[tuple[str, ...], str] = {}
    for part in parts:
        for example in part.reading.examples if part.role in LEARNED else ():
            other = first.setdefault(example.content, part.place(example))
            if other != part.place(example):
                found.append(Pair(str(part.reading.path), part.place(example), other, "equal content"))
    return found


def _answered(part: Part) -> Iterable[tuple[Example, str, str]]:
    """Rows with a question and an answer."""
    for example in part.reading.examples:
        said = answer(example)
        if said is not None:
            yield example, question(example), said


def _asked(example: Example) -> str:
    return shown(question(example))
