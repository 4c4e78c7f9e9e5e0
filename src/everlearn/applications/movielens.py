"""MovieLens' layouts: ratings and movies as .csv (latest, 20M, 25M) or .dat (1M, 10M)."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import accumulate
from pathlib import Path
from random import Random
from typing import Literal

from everlearn.applications.impressions import Feed, Impression, Item
from everlearn.applications.tables import cells, every, the
from everlearn.errors import DataError, SettingError

Negatives = Literal["popular", "uniform"]
MOST_PAST = 100  # likes kept of a viewer's past: the last ones
LIKED = 4.0  # stars from which a film counts as liked, as in most work on implicit feedback


@dataclass(frozen=True, slots=True)
class Rating:
    user: str
    item: str
    stars: float
    time: str


def read_movielens(folder: str | Path, shown: int = 20, negatives: Negatives = "popular", seed: int = 0, least: int = 3) -> Feed:
    """The feed of a folder with ratings.csv and movies.csv (or .dat): a like is a click among films drawn around it.

    MovieLens has no impressions, so each film liked (4 stars or more) by someone who liked `least` before is shown among `shown` - 1 others that were liked
    by somebody in an earlier month and not rated by this viewer so far. negatives: "popular" draws them as often as they were liked, so that being
    popular does not give an answer away; "uniform" draws all alike. Scores among drawn candidates are not those of a full ranking (Krichene and
    Rendle 2020, "On Sampled Metrics for Item Recommendation"). Raises DataError with file, line and reason for what cannot be read.
    """
    if shown < 2:
        raise SettingError(f"shown must be at least 2, got {shown!r}. It counts the film that was liked, too.")
    if negatives not in ("popular", "uniform"):
        raise SettingError(f"negatives must be 'popular' or 'uniform', got {negatives!r}.")
    root = Path(folder)
    items = {item.id: item for item in every(cells(the(root, "movies.csv", "movies.dat"), "::"), _item)}
    ratings = every(cells(the(root, "ratings.csv", "ratings.dat"), "::"), _rating)
    strange = next((one for one in ratings if one.item not in items), None)
    if strange is not None:
        raise DataError(f"a rated film is not among the movies (film={strange.item!r}, user={strange.user!r}, folder={str(root)!r}). Add it to the movies.")
    ratings.sort(key=lambda one: (one.time, one.user, one.item))
    return Feed(
        root.resolve().name,
        items,
        tuple(_impressions(ratings, shown, negatives, seed, least)),
        f"films liked, each among {shown - 1} drawn ({negatives})",
        "liked",
    )


def _item(place: str, row: object) -> Item:
    assert isinstance(row, list)
    if len(row) < 3:
        raise DataError(f"too few columns ({len(row)}). There are three: id, title, genres.")
    return Item(row[0], row[1].strip(), row[2].split("|")[0])


def _rating(place: str, row: object) -> Rating:
    assert isinstance(row, list)
    if len(row) < 4:
        raise DataError(f"too few columns ({len(row)}). There are four: user, film, rating, timestamp.")
    try:
        stars, seconds = float(row[2]), int(row[3])
    except ValueError as problem:
        raise DataError(f"rating and timestamp must be numbers (rating={row[2]!r}, timestamp={row[3]!r}). The timestamp is in seconds since 1970.") from problem
    return Rating(row[0], row[1], stars, datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None).isoformat())


def _impressions(ratings: Sequence[Rating], shown: int, negatives: str, seed: int, least: int) -> list[Impression]:
    """One for each like of a viewer with a past, in order of time."""
    liked, rated = defaultdict[str, list[str]](list), defaultdict[str, set[str]](set)
    fans, month, pool, found = Counter[str](), "", _Pool({}, True), list[Impression]()
    for one in ratings:
        if one.time[:7] != month:
            month, pool = one.time[:7], _Pool(fans, negatives == "uniform")
        if one.stars >= LIKED and one.item not in rated[one.user]:
            past, random = liked[one.user], Random(f"{seed}/{one.user}/{one.item}/{one.time}")
            if len(past) >= least and len(pool.names) > 2 * shown + len(rated[one.user]):
                others = pool.drawn(random, shown - 1, rated[one.user] | {one.item})
                at = random.randrange(len(others) + 1)
                found.append(Impression(one.user, one.time, tuple(past[-MOST_PAST:]), (*others[:at], one.item, *others[at:]), (at,)))
            past.append(one.item)
            fans[one.item] += 1
        rated[one.user].add(one.item)
    return found


class _Pool:
    """The films liked so far, to be drawn from without drawing one twice."""

    def __init__(self, fans: Mapping[str, int], uniform: bool) -> None:
        self.names = list(fans)
        self.ends = list(accumulate(1 if uniform else fans[name] for name in self.names))

    def drawn(self, random: Random, count: int, without: set[str]) -> list[str]:
        found: dict[str, None] = {}
        while len(found) < count:
            name = self.names[bisect_left(self.ends, math.floor(random.random() * self.ends[-1]) + 1)]
            if name not in without:
                found[name] = None
        return list(found)
