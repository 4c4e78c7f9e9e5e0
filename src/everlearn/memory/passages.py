"""What a memory holds: passages and facts, each with the dates between which it holds."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

from everlearn.errors import DataError

_DATE = re.compile(r"\d{4}(-\d{2}(-\d{2})?)?")


@dataclass(frozen=True, slots=True)
class Passage:
    """A text to be read again, and when it holds.

    subject: what a newer passage of the same subject supersedes; "" for a text that stands by itself.   valid_from, valid_to: ISO dates or times, from the
    first until just before the second; "" for always and for no end. A year or month alone is its first day.   source: where it came from; `also`: others
    who say the same.   trust: a factor on its rank, in (0, 1].   id: by default a hash of subject, text and date.   origin: what it was made from, as text.
    superseded_by: the id of the newer one, set by the store.

    >>> Passage("The mayor of Ashford is Ann.", subject="mayor of Ashford", valid_from="2021").valid_from
    '2021-01-01'
    """

    text: str
    subject: str = ""
    valid_from: str = ""
    valid_to: str = ""
    source: str = ""
    trust: float = 1.0
    id: str = ""
    origin: str = ""
    also: tuple[str, ...] = ()
    superseded_by: str = ""

    def __post_init__(self) -> None:
        if not self.text.strip():
            raise DataError(f"a passage has no text (text={self.text!r}, id={self.id!r}). Give at least one word.")
        if not 0 < self.trust <= 1:
            raise DataError(f"trust must be above 0 and at most 1 (trust={self.trust!r}, text={self.text[:40]!r}). 1 is full trust; delete what deserves none.")
        for text in (self.id, *self.sources):
            searchable(text)
        for name in ("valid_from", "valid_to"):
            object.__setattr__(self, name, iso(getattr(self, name), name))
        if self.valid_to and self.valid_to < self.valid_from:
            raise DataError(f"a passage ends before it begins (valid_from={self.valid_from!r}, valid_to={self.valid_to!r}). Put the later date last.")
        if not self.id:
            object.__setattr__(self, "id", digest(self.key, self.text, self.valid_from))

    @property
    def key(self) -> str:
        """Equal for passages that supersede each other: those of one subject; else those of one text."""
        return subject_key(self.subject) if self.subject else digest("text", self.text)

    @property
    def sources(self) -> tuple[str, ...]:
        """Everyone who says it."""
        return tuple(name for name in (self.source, *self.also) if name)

    def said_by(self, sources: tuple[str, ...]) -> Passage:
        """The same with these sources."""
        return replace(self, source=sources[0] if sources else "", also=sources[1:])

    def to_json(self) -> dict[str, object]:
        """The fields that are set, as one JSON object."""
        return {
            name: list(value) if name == "also" else value for name, value in asdict(self).items() if value not in ("", ()) and (name, value) != ("trust", 1.0)
        }

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Passage:
        """The passage that `to_json` wrote."""
        return cls(**{**row, "also": tuple(row.get("also", ()))})


@dataclass(frozen=True, slots=True)
class Found:
    """A passage that a search brought up. score: what it was ranked by, higher is better.   nearness: cosine to the question, -1 to 1."""

    passage: Passage
    score: float
    nearness: float


def searchable(name: str) -> str:
    """An id's or source's own text. Raises DataError for one that no file can hold (half of a pair of UTF-16)."""
    try:
        name.encode()
    except UnicodeEncodeError as problem:
        raise DataError(f"an id or source cannot be written in UTF-8 (name={name!r}). Leave out what is half a letter.") from problem
    return name


def subject_key(subject: str) -> str:
    """The key of all passages about a subject."""
    return digest("subject", subject)


def digest(*parts: str) -> str:
    """16 hexadecimal digits that differ where any part does."""
    return hashlib.sha256("\0".join(parts).encode(errors="surrogatepass")).hexdigest()[:16]


def iso(text: str, name: str = "date") -> str:
    """A date or time as it can be compared: YYYY-MM-DD, or with a time of day YYYY-MM-DDTHH:MM:SS in UTC; "" stays.

    A year or month alone is its first day, a day its first second: midnight is written as the day. A time without a zone is one in UTC. Raises DataError for
    anything else.

    >>> iso("2024"), iso("2024-05-01T12:00:00+02:00"), iso("2024-05-01T00:00"), iso("")
    ('2024-01-01', '2024-05-01T10:00:00', '2024-05-01', '')
    """
    if not text:
        return ""
    given = text + "-01-01"[len(text) - 4 :] if _DATE.fullmatch(text) else text
    try:
        found = datetime.fromisoformat(given)
        found = found.astimezone(UTC) if found.tzinfo else found
    except (ValueError, OverflowError) as problem:
        raise DataError(f"a date cannot be read ({name}={text!r}). Write YYYY, YYYY-MM, YYYY-MM-DD or an ISO time.") from problem
    return found.replace(tzinfo=None, microsecond=0).isoformat().removesuffix("T00:00:00")
