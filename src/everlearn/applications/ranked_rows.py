"""A stream's ranking tasks as a feed: rows that are prompts already, with choices of which one was chosen."""

from __future__ import annotations

from dataclasses import dataclass

from everlearn.applications.impressions import Impression, Item
from everlearn.errors import DataError
from everlearn.types import Example, Stream


@dataclass(frozen=True, slots=True)
class Asked:
    """A period of any feed: what is learned in it and, after that, ranked. rows: what the model learns.   prompts: one an impression."""

    name: str
    rows: tuple[Example, ...]
    impressions: tuple[Impression, ...]
    prompts: tuple[str, ...]


def periods_of_stream(stream: Stream) -> tuple[list[Asked], dict[str, Item]]:
    """Each experience as a period, and every choice as an item whose id is its text. Raises DataError for a stream without ranking tasks."""
    found, items = [], dict[str, Item]()
    for experience in stream:
        tests = [e for task, rows in experience.tests.items() if experience.scores.get(task) in ("ranking", "choice") for e in rows if e.prompt is not None]
        impressions = [Impression("", e.time or experience.time, (), e.choices, (e.choices.index(e.completion or ""),), e.id) for e in tests]
        items |= {text: Item(text, text) for one in impressions for text in one.candidates}
        found.append(Asked(experience.name, experience.train, tuple(impressions), tuple(e.prompt or "" for e in tests)))
    if not any(period.impressions for period in found):
        raise DataError(f"the stream has no ranking tasks (stream={stream.name!r}). Score tasks with choices as ranking in stream.toml.")
    return found, items
