"""Supersession: of the facts about one subject, which one holds when."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from everlearn.memory.passages import Passage


@dataclass(frozen=True, slots=True)
class Link:
    """One fact in the order of its subject's facts.

    passage: `valid_to` as it was given.   number: of its arrival.   until: from when it does not hold, "" for no end; never later than its successor's
    beginning.   superseded_by: the id of its successor, "" if there is none or it had ended before.
    """

    passage: Passage
    number: int
    until: str = ""
    superseded_by: str = ""

    def to_json(self) -> dict[str, object]:
        """All of it as one JSON object."""
        return {"passage": self.passage.to_json(), "number": self.number, "until": self.until, "superseded_by": self.superseded_by}

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Link:
        """The link that `to_json` wrote."""
        return cls(Passage.from_json(row["passage"]), int(row["number"]), str(row["until"]), str(row["superseded_by"]))


def chained(links: Iterable[Link]) -> list[Link]:
    """The facts of one subject in order of their dates, those of one date in order of arrival, each closed by the next.

    Equal texts that follow each other without a gap are one fact from the first date on, with all their sources. Of two different facts of one date the one
    that arrived later holds. A fact without a date is older than any with one.

    >>> ann, bo = Passage("Ann", "mayor", "2024"), Passage("Bo", "mayor", "2020")
    >>> [(link.passage.text, link.until) for link in chained([Link(ann, 0), Link(bo, 1)])]
    [('Bo', '2024-01-01'), ('Ann', '')]
    """
    runs: list[list[Link]] = []
    for link in sorted(links, key=lambda link: (link.passage.valid_from, link.number)):
        if runs and _continues(runs[-1][-1].passage, link.passage):
            runs[-1].append(link)
        else:
            runs.append([link])
    kept = [run[0] if len(run) == 1 else replace(run[0], passage=_merged([link.passage for link in run])) for run in runs]
    after: list[Link | None] = [*kept[1:], None]
    return [_closed(link, following) for link, following in zip(kept, after, strict=True)]


def _continues(before: Passage, after: Passage) -> bool:
    return before.text == after.text and (not before.valid_to or before.valid_to >= after.valid_from)


def _merged(run: Sequence[Passage]) -> Passage:
    """All as one: from the first's date to the end that was told last."""
    one = replace(run[0], valid_to=run[-1].valid_to, trust=max(passage.trust for passage in run))
    return one.said_by(tuple(dict.fromkeys(source for passage in run for source in passage.sources)))


def _closed(link: Link, following: Link | None) -> Link:
    end, begins = link.passage.valid_to, following.passage.valid_from if following else ""
    if following is None or (end and end < begins):
        return replace(link, until=end, superseded_by="")
    return replace(link, until=begins, superseded_by=following.passage.id)
