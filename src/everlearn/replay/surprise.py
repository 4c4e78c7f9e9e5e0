"""A buffer of what surprised the model most, when it came."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from everlearn.replay.buffers import Json
from everlearn.types import Example, superseded


@dataclass(slots=True)
class Surprising:
    """The examples with the highest surprise on arrival, at most `capacity`; None keeps everything.

    SuRe (Hazard et al. 2025, arXiv:2511.22367) ranks by negative log-likelihood. `most` is the largest share of the capacity that one source may fill where
    there are others that want room: without it one noisy source fills the buffer. A newer example with the same question and another answer
    supersedes the older.

    kept: each example with its surprise, by id.

    >>> buffer = Surprising(2)
    >>> buffer.offer([Example(text=word) for word in "abc"], {Example(text=word).id: nats for word, nats in zip("abc", (1.0, 3.0, 2.0))})
    >>> sorted(example.text for example in buffer.examples())
    ['b', 'c']
    """

    capacity: int | None = None
    most: float = 0.5
    kept: dict[str, tuple[float, Example]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.kept)

    def offer(self, examples: Iterable[Example], surprise: Mapping[str, float]) -> None:
        """Take in new examples with their surprise in nats a token, by id; one already held keeps the surprise it came with."""
        given = list(examples)
        fresh = superseded(given, given)
        self.supersede(fresh)
        self.kept = {e.id: (surprise[e.id], e) for e in fresh} | self.kept
        if self.capacity is None or len(self.kept) <= self.capacity:
            return
        room = max(self.most, 1 / len({e.source for e in self.examples()})) * self.capacity
        filled, first, later = Counter[str](), list[str](), list[str]()
        for key, (_, example) in sorted(self.kept.items(), key=lambda item: (-item[1][0], item[0])):
            (first if filled[example.source] < room else later).append(key)
            filled[example.source] += 1
        chosen = set((first + later)[: self.capacity])
        self.kept = {key: pair for key, pair in self.kept.items() if key in chosen}

    def examples(self) -> list[Example]:
        """Everything held."""
        return [example for _, example in self.kept.values()]

    def discard(self, ids: set[str]) -> int:
        """Delete examples by id; how many were there."""
        before = len(self.kept)
        self.kept = {key: pair for key, pair in self.kept.items() if key not in ids}
        return before - len(self.kept)

    def supersede(self, newer: Iterable[Example]) -> int:
        """Delete what a newer example answers differently; how many were there."""
        return self.discard(set(self.kept) - {e.id for e in superseded(self.examples(), newer)})

    def to_json(self) -> Json:
        return {"kept": [[surprise, example.to_json()] for surprise, example in self.kept.values()]}

    def load_json(self, saved: Json) -> None:
        """Take up what `to_json` gave; capacity and `most` stay this buffer's own."""
        pairs = [(float(surprise), Example.from_json(row)) for surprise, row in saved["kept"]]
        self.kept = {example.id: (surprise, example) for surprise, example in pairs}
