"""Buffers of past examples: reservoir and balanced, with deletion."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from everlearn.errors import SettingError
from everlearn.types import Example, superseded

Json = dict[str, Any]


@dataclass(slots=True)
class Reservoir:
    """A uniform sample of everything offered that still holds, at most `capacity`; None keeps everything.

    Vitter 1985, algorithm R; after deletions random pairing (Gemulla, Lehner, Haas 2006), so that early and late examples stay equally
    likely. An example already held is not taken twice. A newer example with the same question and another answer supersedes the older.

    seen: how many of the examples offered still hold, those not kept estimated.   vacant, missed: deletions not yet made up for, in the
    sample and (estimated) outside it.

    >>> buffer = Reservoir(2)
    >>> buffer.offer([Example(text=word) for word in ("a", "b", "c")], Random(0))
    >>> len(buffer), buffer.seen
    (2, 3)
    """

    capacity: int | None = None
    seen: int = 0
    kept: list[Example] = field(default_factory=list)
    vacant: int = 0
    missed: int = 0

    def __len__(self) -> int:
        return len(self.kept)

    def offer(self, examples: Iterable[Example], random: Random) -> None:
        """Take in new examples, one after the other."""
        given = list(examples)
        fresh = superseded(given, given)
        self.supersede(fresh)
        held = {e.id for e in self.kept}
        for example in fresh:
            if example.id not in held and (gone := self._take(example, random)) is not example:
                held.add(example.id)
                held -= {gone.id} if gone else set()

    def _take(self, example: Example, random: Random) -> Example | None:
        """Let it in, or not: what had to go for it, itself if it was not let in, None if there was room."""
        self.seen += 1
        if self.capacity is None or self.seen <= self.capacity:
            self.kept.append(example)
            return None
        if open_places := self.vacant + self.missed:
            inside = random.randrange(open_places) < self.vacant
            self.vacant, self.missed = self.vacant - inside, self.missed - (not inside)
            if inside:
                self.kept.append(example)
            return None if inside else example
        slot = random.randrange(self.seen)
        if slot >= len(self.kept):
            return example
        gone, self.kept[slot] = self.kept[slot], example
        return gone

    def examples(self) -> list[Example]:
        """Everything held."""
        return list(self.kept)

    def discard(self, ids: set[str]) -> int:
        """Delete examples by id; how many were there."""
        before = len(self.kept)
        self.kept = [e for e in self.kept if e.id not in ids]
        gone = before - len(self.kept)
        if gone:
            outside = round(gone * (self.seen - before) / before)  # as many a row outside the sample will no longer hold either
            self.seen -= gone + outside
            if self.capacity is not None and self.seen + gone + outside > self.capacity:
                self.vacant, self.missed = self.vacant + gone, self.missed + outside
        return gone

    def supersede(self, newer: Iterable[Example]) -> int:
        """Delete what a newer example answers differently; how many were there."""
        return self.discard({e.id for e in self.kept} - {e.id for e in superseded(self.kept, newer)})

    def to_json(self) -> Json:
        return {"seen": self.seen, "vacant": self.vacant, "missed": self.missed, "kept": [e.to_json() for e in self.kept]}

    def load_json(self, saved: Json) -> None:
        """Take up what `to_json` gave; the capacity stays this buffer's own."""
        self.seen, self.vacant, self.missed = int(saved["seen"]), int(saved["vacant"]), int(saved["missed"])
        self.kept = [Example.from_json(row) for row in saved["kept"]]


@dataclass(slots=True)
class Balanced:
    """Equal room for each group (by default an example's source), a reservoir in each; together at most `capacity`.

    When a new group comes, the larger ones give up examples at random. groups: what they are called in messages. Raises SettingError for more groups
    than room.
    """

    capacity: int | None = None
    group: Callable[[Example], str] = lambda example: example.source
    groups: str = "sources"
    parts: dict[str, Reservoir] = field(default_factory=dict)

    def __len__(self) -> int:
        return sum(map(len, self.parts.values()))

    def offer(self, examples: Iterable[Example], random: Random) -> None:
        """Take in new examples, each into its group."""
        given, groups = list(examples), dict[str, list[Example]]()
        self.supersede(given)
        for example in superseded(given, given):
            groups.setdefault(self.group(example), []).append(example)
        self.parts = {name: part for name, part in self.parts.items() if len(part) or name in groups} | {n: Reservoir() for n in groups if n not in self.parts}
        if self.capacity is not None and len(self.parts) > self.capacity:
            raise SettingError(f"a balanced buffer of {self.capacity} rows cannot hold {len(self.parts)} {self.groups}. Give it more, or kind='reservoir'.")
        for name, room in self._rooms().items():
            part = self.parts[name]
            if room is not None and len(part.kept) > room:
                part.kept, part.vacant, part.missed = random.sample(part.kept, room), 0, 0
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

    def supersede(self, newer: Iterable[Example]) -> int:
        """Delete what a newer example answers differently; how many were there."""
        given = list(newer)
        return sum(part.supersede(given) for part in self.parts.values())

    def to_json(self) -> Json:
        return {"parts": {name: part.to_json() for name, part in self.parts.items()}}

    def load_json(self, saved: Json) -> None:
        """Take up what `to_json` gave; the capacity stays this buffer's own."""
        self.parts = {}
        for name, part in saved["parts"].items():
            self.parts[name] = Reservoir()
            self.parts[name].load_json(part)
