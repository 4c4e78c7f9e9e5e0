"""What a recommender sees: items, impressions with candidates and clicks, and their periods in time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from everlearn.errors import DataError, SettingError, did_you_mean

LENGTHS = {"day": 10, "week": 0, "month": 7, "year": 4}  # of an ISO time, what names its period


@dataclass(frozen=True, slots=True)
class Item:
    """Something that can be shown. text: what a reader sees of it, "" where that is not known.   category: "" for none."""

    id: str
    text: str
    category: str = ""


@dataclass(frozen=True, slots=True)
class Impression:
    """What one reader was shown at a time, and what was clicked of it.

    history, candidates: ids, the history oldest first.   clicked: places in `candidates`.   time: ISO.   place: file and line, or "".
    """

    user: str
    time: str
    history: tuple[str, ...]
    candidates: tuple[str, ...]
    clicked: tuple[int, ...]
    place: str = ""

    @property
    def chosen(self) -> tuple[str, ...]:
        """The ids that were clicked."""
        return tuple(self.candidates[at] for at in self.clicked)

    @property
    def scored(self) -> bool:
        """Whether some were clicked, and not all: only then a ranking says something."""
        return 0 < len(self.clicked) < len(self.candidates)


@dataclass(frozen=True, slots=True)
class Feed:
    """Impressions in order of time, and the items in them.   verb: what readers do, as a prompt says it.   notes: what was left out."""

    name: str
    items: Mapping[str, Item]
    impressions: tuple[Impression, ...]
    about: str = ""
    verb: str = "read"
    notes: tuple[str, ...] = ()


def periods_of(feed: Feed, length: str) -> list[tuple[str, list[Impression]]]:
    """The impressions by period, in order: ("2019-11-09", [...]). length: "day", "week", "month" or "year".

    >>> shown = Impression("ann", "2024-05-06T08:00:00", (), ("a", "b"), (1,))
    >>> [name for name, _ in periods_of(Feed("one", {}, (shown,)), "week")]
    ['2024-W19']
    """
    if length not in LENGTHS:
        raise SettingError(f"there is no such period ({length=}). {did_you_mean(length, LENGTHS)}")
    found: dict[str, list[Impression]] = {}
    for one in sorted(feed.impressions, key=lambda one: one.time):
        found.setdefault(_week(one) if length == "week" else one.time[: LENGTHS[length]], []).append(one)
    return list(found.items())


def _week(one: Impression) -> str:
    year, week, _ = date.fromisoformat(one.time[:10]).isocalendar()
    return f"{year}-W{week:02}"


def with_text(feed: Feed, most_missing: float = 0.0) -> Feed:
    """The feed with only what has a text: a model ranks words, not numbers.

    most_missing: the share of the candidates that may have none, 0 to 1; these are left out, and so is an impression where nothing clicked or nothing
    else is left. Raises DataError with a place where more are missing.
    """
    if not 0 <= most_missing <= 1:
        raise SettingError(f"most_missing must be between 0 and 1, got {most_missing!r}. It is a share of the candidates.")
    has = {name for name, item in feed.items.items() if item.text.strip()}
    lacks = [(one, name) for one in feed.impressions for name in one.candidates if name not in has]
    count = sum(len(one.candidates) for one in feed.impressions)
    if len(lacks) > most_missing * count:
        one, name = lacks[0]
        raise DataError(
            f"{len(lacks)} of {count} candidates have no text, the first in {one.place or one.time} (item={name!r}). Add them to the items, or allow a"
            f" share with most_missing={round(len(lacks) / count + 0.005, 2)}."
        )
    kept = tuple(trimmed for one in feed.impressions if (trimmed := _trimmed(one, has)).scored)
    gone = len(feed.impressions) - len(kept)
    notes = (f"{len(lacks):,} of {count:,} candidates have no text and are left out, with them {gone:,} impressions.",) if lacks else ()
    return Feed(feed.name, feed.items, kept, feed.about, feed.verb, (*feed.notes, *notes))


def _trimmed(one: Impression, has: set[str]) -> Impression:
    places = [at for at, name in enumerate(one.candidates) if name in has]
    clicked = tuple(new for new, at in enumerate(places) if at in one.clicked)
    return Impression(one.user, one.time, tuple(name for name in one.history if name in has), tuple(one.candidates[at] for at in places), clicked, one.place)


def evenly(rows: Sequence[Impression], most: int) -> list[Impression]:
    """At most so many, evenly taken over the period; all for 0."""
    if not most or len(rows) <= most:
        return list(rows)
    return [rows[at * len(rows) // most] for at in range(most)]
