"""Which facts are likely to stay: how long they have held, and how often facts of their kind were superseded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from everlearn.memory.lexicon import Lexicon
from everlearn.memory.passages import Passage
from everlearn.memory.reading import answered_in, asked_in, example_of
from everlearn.memory.words import words_of
from everlearn.types import Example

PRIOR = 20.0  # what the rate of all facts counts for in that of a kind: so many facts seen through one experience


@dataclass(frozen=True, slots=True)
class Fact:
    """A row, and how it fared.

    passage: the id of the store's; "" for what was known before the first experience.   began: the experience that brought it, 0 for what was known.
    ended: the experience that brought what superseded it, None while it holds.   changes: how many other answers its question had before.
    """

    row: Example
    passage: str
    began: int
    ended: int | None = None
    changes: int = 0

    def held(self, now: int) -> int:
        """Through how many experiences it held, up to now."""
        return max(0, (now if self.ended is None else self.ended) - self.began)


def facts_of(passages: Iterable[Passage], arrived: Mapping[str, int], past: Mapping[str, Example]) -> list[Fact]:
    """What was known before the first experience, then the rows of a store in order of arrival, those of one question by date.

    passages: the whole store, in order of arrival.   arrived: by a passage's id the experience that brought it.   past: rows by their question.
    A passage that no row was made from is none, nor one whose end is told.

    >>> from everlearn.memory.reading import passage_of
    >>> ann, bo, cy = (Example(prompt="Mayor?", completion=name, time=time) for name, time in ((" Ann", "2020"), (" Bo", "2021"), (" Cy", "2023")))
    >>> store, past = [passage_of(bo), passage_of(cy)], {"Mayor?": ann}
    >>> [(fact.row.completion, fact.began, fact.ended, fact.changes) for fact in facts_of(store, {store[0].id: 1, store[1].id: 3}, past)]
    [(' Ann', 0, 1, 0), (' Bo', 1, 3, 1), (' Cy', 3, None, 2)]
    """
    chains, left, found = dict[str, list[Fact]](), dict(past), list[Fact]()
    for passage in sorted(passages, key=lambda passage: passage.valid_from):
        row = example_of(passage)
        if row is not None and (passage.superseded_by or not passage.valid_to):
            chains.setdefault(passage.key, []).append(Fact(row, passage.id, arrived[passage.id]))
    for chain in chains.values():
        found += _linked(chain, left.pop(chain[0].row.question or "", None))
    return [*(Fact(row, "", 0) for row in left.values()), *found]


def _linked(chain: Sequence[Fact], known: Example | None) -> list[Fact]:
    """The facts of one question, the known one first, each ended by the next; told again, what is known stays known."""
    course = list(chain)
    if known is not None:
        again = [at for at, fact in enumerate(course) if answered_in(fact.row) == answered_in(known)]
        if again:  # the weights know the last of these, whenever it was told
            course[again[-1]] = Fact(known, "", 0 if again[-1] == 0 else course[again[-1]].began)
        else:
            course.insert(0, Fact(known, "", 0))
    ends = [*(fact.began for fact in course[1:]), None]
    return [Fact(fact.row, fact.passage, fact.began, end, at) for at, (fact, end) in enumerate(zip(course, ends, strict=True))]


class Rates:
    """How often facts are superseded, by their kind: the words of a question that do not say whom or what it is about.

    Of a kind: changes / experiences held, both summed over its facts, drawn towards the rate of all facts as if PRIOR experiences of those were its own. A kind
    nothing was seen of has the rate of all; what was never superseded looks stable, whatever it is.

    >>> asks = [Example(prompt=f"Who is the mayor of {town}?", completion=" Ann") for town in ("Ashford", "Hartbury", "Penwick")]
    >>> rates = Rates([Fact(asks[0], "a", 0, 1), Fact(asks[1], "b", 0), Fact(asks[2], "c", 0)], now=2)
    >>> rates.all, rates.of(Example(prompt="Who is the mayor of Coldhaven?", completion=" Bo"))
    (0.2, 0.2)
    """

    def __init__(self, facts: Sequence[Fact], now: int) -> None:
        self.lexicon = Lexicon(asked_in(fact.row) for fact in facts)
        self.changed, self.held = Counter[frozenset[str]](), Counter[frozenset[str]]()
        for fact in facts:
            kind = self.kind(fact.row)
            self.changed[kind] += fact.ended is not None
            self.held[kind] += fact.held(now)
        self.all = self.changed.total() / max(1, self.held.total())

    def kind(self, row: Example) -> frozenset[str]:
        """The words that questions of its kind share; none of a plain text."""
        asked = asked_in(row)
        return frozenset(words_of(asked)) - self.lexicon.telling(asked)

    def of(self, row: Example) -> float:
        """Changes an experience."""
        kind = self.kind(row)
        return (self.changed[kind] + PRIOR * self.all) / (self.held[kind] + PRIOR)
