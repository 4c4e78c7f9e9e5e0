"""Buffers of past examples: reservoir and balanced, with deletion."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from everlearn.types import Example, superseded

Json = dict[str, Any]


@dataclass(slots=True)
class Reservoir:
    """A uniform sample of everything offered, at most `capacity` (Vitter 1985, algorithm R); None keeps everything.

    Each of n distinct examples offered is kept with probability capacity / n, early or late. An example already held is not taken
    twice. A newer example with the same question and another answer supersedes the older.

    >>> buffer = Reservoir(2)
    >>> buffer.offer([Example(text=word) for word in ("a", "b", "c")], Random(0))
    >>> len(buffer), buffer.seen
    (2, 3)
    """

    capacity: int | None = None
    seen: int = 0
    kept: list[Example] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.kept)

    def offer(self, examples: Iterable[Example], random: Random) -> None:
        """Take in new examples, one after the other."""
        given = list(examples)
        fresh = superseded(given, given)
        self.discard({e.id for e in self.kept} - {e.id for e in superseded(self.kept, fresh)})
        held = {e.id for e in self.kept}
        for example in fresh:
            if example.id in held:
                continue
            self.seen += 1
            if self.capacity is None or len(self.kept) < self.capacity:
                self.kept.append(example)
                held.add(example.id)
            elif (slot := random.randrange(self.seen)) < self.capacity:
                held.discard(self.kept[slot].id)
                held.add(example.id)
                self.kept[slot] = example

    def examples(self) -> list[Example]:
        """Everything held."""
        return list(self.kept)

    def discard(self, ids: set[str]) -> int:
        """Delete examples by id; how many were there. They leave the count of those seen, so that the rest stays a fair sample."""
        before = len(self.kept)
        self.kept = [e for e in self.kept if e.id not in ids]
        gone = before - len(self.kept)
        self.seen -= round(gone * self.seen / before) if gone else 0
        return gone

    def to_json(self) -> Json:
        return {"seen": self.seen, "kept": [e.to_json() for e in self.kept]}

    def load_json(self, saved: Json) -> None:
        """Take up what `to_json` gave; the capacity stays this buffer's own."""
        self.seen, self.kept = int(saved["seen"]), [Example.from_json(row) for row in saved["kept"]]


@dataclass(slots=True)
class Balanced:
    """Equal room for each group (by default an example's source), a reservoir in each; together at most `capacity`.

    When a new group comes, the larger ones give up examples at random.
    """

    capacity: int | None = None
    group: Callable[[Example], str] = lambda example: example.source
    parts: dict[str, Reservoir] = field(default_factory=dict)

    def __len__(self) -> int:
        return sum(map(len, self.parts.values()))

    def offer(self, examples: Iterable[Example], random: Random) -> None:
        """Take in new examples, each into its group."""
        given, groups = list(examples), dict[str, list[Example]]()
        self.discard({e.id for e in self.examples()} - {e.id for e in superseded(self.examples(), given)})
        for example in superseded(given, given):
            groups.setdefault(self.group(example), []).append(example)
        for name in groups:
            self.parts.setdefault(name, Reservoir())
        for name, room in self._rooms().items():
            part = self.parts[name]
            if room is not None and len(part.kept) > room:
                part.kept = random.sample(part.kept, room)
            part.capacity = room
            part.offer(groups.get(name, ()), random)

    def _rooms(self) -> dict[str, int | None]:
        if self.capacity is None:
            return dict.fromkeys(self.parts)
        share, rest = divmod(self.capacity, len(self.parts))
        return {name: share + (place < rest) for place, name in enumerate(self.parts)}

    def examples(self) -> list[Example]:
        """Everything held, group by group."""
        return [e for part in self.parts.values() for e in part.kept]

    def discard(self, ids: set[str]) -> int:
        """Delete examples by id; how many were there."""
        return sum(part.discard(ids) for part in self.parts.values())

    def to_json(self) -> Json:
        return {"parts": {name: part.to_json() for name, part in self.parts.items()}}

    def load_json(self, saved: Json) -> None:
        """Take up what `to_json` gave; the capacity stays this buffer's own."""
        self.parts = {}
        for name, part in saved["parts"].items():
            self.parts[name] = Reservoir()
            self.parts[name].load_json(part)
