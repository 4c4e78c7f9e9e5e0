"""What a model must beat: popularity, and the items that the same readers chose (item-kNN)."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Protocol

from everlearn.applications.impressions import Impression, Item
from everlearn.applications.ranked_rows import Asked


class Baseline(Protocol):
    """Learns impressions of the past, then scores candidates of new ones."""

    name: str

    def learn(self, impressions: Sequence[Impression]) -> None: ...

    def scores(self, one: Impression) -> list[float]: ...


class Popularity:
    """How often an item was clicked before; among equals, how often its category was.

    >>> shown = Impression("ann", "2024-05-01", (), ("a", "b"), (1,))
    >>> popular = Popularity({})
    >>> popular.learn([shown])
    >>> popular.scores(shown)
    [0.0, 1.5]
    """

    name = "popularity"

    def __init__(self, items: Mapping[str, Item]) -> None:
        self.items, self.clicks, self.categories = items, Counter[str](), Counter[str]()

    def learn(self, impressions: Sequence[Impression]) -> None:
        chosen = [name for one in impressions for name in one.chosen]
        self.clicks.update(chosen)
        self.categories.update(self._category(name) for name in chosen)

    def scores(self, one: Impression) -> list[float]:
        return [self.clicks[name] + self._of_category(name) for name in one.candidates]

    def _category(self, name: str) -> str:
        return self.items[name].category if name in self.items else name

    def _of_category(self, name: str) -> float:
        """Below 1, so that it decides among equals alone."""
        count = self.categories[self._category(name)]
        return count / (count + 1)


class ItemKNN:
    """The cosine between who clicked a candidate and who clicked each item of the history, summed (Sarwar et al. 2001); ties by popularity.

    shrink: added to the lower part of the cosine, so that two readers are no proof; 10 is usual for data of this size (Dacrema et al. 2019 search 0 to 1,000).
    """

    name = "item-kNN"

    def __init__(self, items: Mapping[str, Item], shrink: float = 10.0) -> None:
        self.readers, self.shrink, self.popular = defaultdict[str, set[str]](set), shrink, Popularity(items)

    def learn(self, impressions: Sequence[Impression]) -> None:
        self.popular.learn(impressions)
        for one in impressions:
            for name in (*one.history, *one.chosen):
                self.readers[name].add(one.user)

    def scores(self, one: Impression) -> list[float]:
        near = [sum(self._cosine(name, read) for read in set(one.history)) for name in one.candidates]
        ties = self.popular.scores(one)
        most = 1 + max(ties, default=0.0)
        return [value + 1e-9 * tie / most for value, tie in zip(near, ties, strict=True)]

    def _cosine(self, one: str, other: str) -> float:
        mine, theirs = self.readers.get(one), self.readers.get(other)
        if not mine or not theirs or one == other:
            return 0.0
        return len(mine & theirs) / (math.sqrt(len(mine) * len(theirs)) + self.shrink)


def over(baseline: Baseline, days: Sequence[tuple[str, Sequence[Impression]]], periods: Sequence[Asked]) -> list[list[list[float]]]:
    """The baseline's scores of each period's impressions, once it has learned all days before."""
    asked, found = {period.name: period for period in periods}, []
    for name, impressions in days:
        if name in asked:
            found.append([baseline.scores(one) for one in asked[name].impressions])
        baseline.learn(impressions)
    return found


def over_rows(baseline: Baseline, periods: Sequence[Asked]) -> list[list[list[float]]]:
    """The same for periods whose clicks are known as rows alone: each is learned, then its impressions are scored."""
    found = []
    for period in periods:
        baseline.learn([Impression("", "", (), (e.completion,), (0,)) for e in period.rows if e.completion])
        found.append([baseline.scores(one) for one in period.impressions])
    return found
