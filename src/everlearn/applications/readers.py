"""Simulated readers whose interests drift, over real or generated articles: clicks whose cause is known."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from random import Random

from everlearn.applications.impressions import Feed, Impression, Item
from everlearn.errors import DataError, SettingError
from everlearn.streams.words import name_of

# A headline of each section, with what stands in its blanks: the almanac's people, towns, goods.
SECTIONS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "trade": (("{good} prices rise in {town}", "{town} sells more {good} abroad", "Less {good} comes to {town}"), ("good", "town")),
    "music": (
        ("{person} plays the {instrument} in {town}", "A new {instrument} for {person}", "{town} hears {person} on the {instrument}"),
        ("person", "instrument", "town"),
    ),
    "rivers": (("The {river} floods near {town}", "A new bridge over the {river} at {town}", "Fish return to the {river} in {town}"), ("river", "town")),
    "firms": (("{firm} hires {person}", "{firm} moves to {town}", "{person} leaves {firm}"), ("firm", "person", "town")),
    "offices": (("{person} heads the {office}", "The {office} meets in {town}", "The {office} thanks {person}"), ("office", "person", "town")),
    "town life": (("{town} greets {person}", "{person} returns to {town}", "{town} honours {person}"), ("town", "person")),
}


@dataclass(frozen=True, slots=True)
class Readers:
    """Who reads, and how. Every reader has two interests among the categories and clicks those with `keen`, others with `chance`.

    count: at the start.   arriving: new ones each period.   visits: impressions of a period.   shown: candidates in each.   drift: the chance, each period,
    that an interest gives way to what is in fashion.   fashion: periods after which the next of `fashions` categories is in fashion; after the last the first
    returns.   fresh: articles of so many last periods are shown.
    """

    count: int = 40
    arriving: int = 4
    visits: int = 30
    shown: int = 8
    drift: float = 0.5
    fashion: int = 2
    fashions: int = 3
    fresh: int = 2
    keen: float = 0.6
    chance: float = 0.04
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.count, self.visits, self.fashion, self.fashions, self.fresh) < 1 or self.arriving < 0 or self.shown < 2:
            raise SettingError(f"count, visits, fashion, fashions and fresh must be at least 1, arriving at least 0, shown at least 2 ({self!r}).")
        if not all(0 <= share <= 1 for share in (self.drift, self.keen, self.chance)):
            raise SettingError(f"drift, keen and chance must be between 0 and 1 ({self!r}).")


def simulated(name: str, articles: Sequence[tuple[str, Sequence[Item]]], readers: Readers, about: str = "") -> Feed:
    """The feed of these readers. articles: (date, items) by period, each item with a category; raises DataError where there are fewer than two categories."""
    categories = sorted({item.category for _, items in articles for item in items if item.category})
    if len(categories) < 2:
        raise DataError(f"readers choose between categories, and there are {len(categories)} (articles={name!r}). Give items of two or more.")
    random, people, history = Random(f"readers/{readers.seed}"), dict[str, list[str]](), dict[str, list[str]]()
    impressions: list[Impression] = []
    for now, (day, _) in enumerate(articles):
        for _ in range(readers.arriving if now else readers.count):
            people[f"R{len(people) + 1}"] = random.sample(categories, 2)
        for interests in people.values():
            if random.random() < readers.drift:
                interests[random.randrange(2)] = categories[now // readers.fashion % min(readers.fashions, len(categories))]
        pool = [item for _, items in articles[max(0, now - readers.fresh + 1) : now + 1] for item in items]
        for visit in range(readers.visits):
            user = random.choice(list(people))
            shown = _shown(pool, history.get(user, ()), readers, random)
            clicked = tuple(at for at, item in enumerate(shown) if random.random() < (readers.keen if item.category in people[user] else readers.chance))
            minutes = visit * 1440 // readers.visits
            time, past = f"{day[:10]}T{minutes // 60:02}:{minutes % 60:02}:00", tuple(history.get(user, ()))
            one = Impression(user, time, past, tuple(item.id for item in shown), clicked)
            history.setdefault(user, []).extend(one.chosen)
            impressions += [one] if one.scored else []
    items = {item.id: item for _, of in articles for item in of}
    return Feed(name, items, tuple(impressions), about or f"{len(people)} simulated readers, whose interests drift, over {len(items)} articles")


def _shown(pool: Sequence[Item], read: Sequence[str], readers: Readers, random: Random) -> list[Item]:
    unread = [item for item in pool if item.id not in read]
    return random.sample(unread, min(readers.shown, len(unread)))


def generated(days: int = 10, articles: int = 24, readers: Readers | None = None) -> Feed:
    """Headlines from the almanac's world and simulated readers: every run on every machine the same."""
    given = readers or Readers()
    random, first = Random(f"headlines/{given.seed}"), date(2021, 3, 1)
    made: list[tuple[str, list[Item]]] = []
    texts = set[str]()
    for day in range(days):
        of: list[Item] = []
        while len(of) < articles:
            section = random.choice(list(SECTIONS))
            text = _headline(section, random)
            if text not in texts:
                texts.add(text)
                of.append(Item(f"A{len(texts)}", text, section))
        made.append(((first + timedelta(day)).isoformat(), of))
    return simulated("generated", made, given)


def _headline(section: str, random: Random) -> str:
    forms, blanks = SECTIONS[section]
    text = random.choice(forms).format(**{kind: _latin(kind, random) for kind in blanks})
    return f"{section}: {text}"


def _latin(kind: str, random: Random) -> str:
    """A name in Latin letters: headlines are English."""
    draw: Callable[[], str] = lambda: name_of(kind, random)  # noqa: E731
    name = draw()
    while not name.isascii():
        name = draw()
    return name
