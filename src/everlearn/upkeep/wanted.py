"""What is to be forgotten: rows of a source or one example, and how they are known wherever they lie."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from everlearn.errors import DataError, SettingError
from everlearn.evaluate.scores import right
from everlearn.streams.rows import CONTENT, to_example
from everlearn.types import Example

START = 8  # characters by which text is searched: what is shorter is no sign of an example in other text
MANY = 64  # needles from which on looking up every place of a text is faster than searching it for each
ABSENT = "\1"  # in an example's content, where a part is not given
NAMES = ("name", "path", "test")  # of the files that rows came in, which their owner chose: no example, whatever they say
KNOWN = {one.name for one in fields(Example)}
FORMS = ("text", "prompt", "messages")


@dataclass(frozen=True, slots=True)
class Wanted:
    """Rows by their source, or one by its id and everything with equal content.

    ids, contents: of these rows, found where they lay; of a source's rows only those that no other source gave too: its rows stay.   answers: question
    and answer of all of them.
    """

    source: str | None = None
    id: str | None = None
    ids: frozenset[str] = frozenset()
    contents: frozenset[tuple[str, ...]] = frozenset()
    answers: frozenset[tuple[str, str]] = frozenset()
    starts: Mapping[str, tuple[_Says, ...]] = field(default_factory=dict, compare=False)
    marked: re.Pattern[str] | None = field(default=None, compare=False)  # the source or id in JSON, also in a line that is broken

    def __post_init__(self) -> None:
        if (self.source is None) == (self.id is None) or not (self.source or self.id):
            raise SettingError(f"name a source or an id, one of them (source={self.source!r}, id={self.id!r}). A row carries both.")
        ids = self.ids | ({self.id} if self.id else set())
        object.__setattr__(self, "ids", ids)
        object.__setattr__(self, "starts", _starts(ids, self.contents))
        name, value = ("source", self.source) if self.source is not None else ("id", self.id)
        object.__setattr__(self, "marked", re.compile(rf'"{name}"\s*:\s*{re.escape(json.dumps(value))}'))

    def takes(self, row: Example) -> bool:
        """Is this row one of them?"""
        return self.source == row.source if self.source is not None else row.id in self.ids or row.content in self.contents

    def takes_pair(self, key: str, source: str) -> bool:
        """Is the row with this id and source one of them?"""
        return self.source == source if self.source is not None else key in self.ids

    def without(self, row: Example) -> Example | None:
        """The row without what is to be forgotten: None for one of them; an earlier answer that it quotes goes."""
        if self.takes(row):
            return None
        quoted = row.old_completion is not None and row.question is not None and (row.question, row.old_completion) in self.answers
        return replace(row, old_completion=None) if quoted else row

    def with_rows(self, rows: Iterable[Example], pairs: Iterable[tuple[str, str]] = ()) -> Wanted:
        """The same, knowing the ids and texts of all rows that the home holds. rows: every one of them.   pairs: ids and sources of those not kept."""
        given, known = list(rows), list(pairs)
        mine = [row for row in given if self.takes(row)]
        others, elsewhere = list[Example](), set[str]()
        if self.source is None:
            contents = frozenset(row.content for row in mine)
            mine += [row for row in given if row.content in contents]
        else:
            others = [row for row in given if row.source != self.source]
            elsewhere = {row.id for row in others} | {key for key, source in known if source != self.source}
        called = {row.id for row in mine} | {key for key, source in known if self.takes_pair(key, source)}
        return replace(
            self,
            ids=self.ids | (called - elsewhere),
            contents=self.contents | ({row.content for row in mine} - {row.content for row in others}),
            answers=self.answers | {(row.question, answer) for row in mine if row.question is not None and (answer := right(row)) is not None},
        )

    def said_in(self, text: str) -> bool:
        """Does plain text hold a whole row, the id of one, or broken JSON that says it is one?"""
        if self.marked is not None and self.marked.search(text):
            return True
        if len(self.starts) < MANY:
            return any(start in text and any(says.stands_in(text) for says in found) for start, found in self.starts.items())
        places = (self.starts.get(text[at : at + START], ()) for at in range(len(text) - START + 1))
        return any(says.stands_in(text) for found in places for says in found)

    def found_in(self, value: object) -> bool:
        """Does a JSON value hold one of them: as a row, as an id and source, in a list of ids, or in text?"""
        if isinstance(value, str):
            return self.said_in(value)
        if isinstance(value, list):
            return any((is_pair(part) and self.takes_pair(*part)) or self.found_in(part) for part in value)
        if not isinstance(value, Mapping):
            return False
        name, asked = ("source", self.source) if self.source is not None else ("id", self.id)
        if value.get(name) == asked and any(key in value for key in CONTENT):
            return True  # also a row that no file of data may hold
        row = row_of(value)
        if row is not None:
            return self.without(row) is not row or self.found_in({key: part for key, part in value.items() if key not in KNOWN})
        called = value.get("ids")
        if isinstance(called, list | Mapping) and any(isinstance(key, str) and key in self.ids for key in called):
            return True
        return any(self.said_in(key) or (key not in NAMES and self.found_in(part)) for key, part in value.items())

    def to_json(self) -> dict[str, Any]:
        return {
            "source": self.source,
            "id": self.id,
            "ids": sorted(self.ids),
            "contents": sorted(map(list, self.contents)),
            "answers": sorted(map(list, self.answers)),
        }

    @classmethod
    def from_json(cls, saved: Mapping[str, Any]) -> Wanted:
        """What `to_json` wrote."""
        contents, answers = (frozenset(map(tuple, saved[name])) for name in ("contents", "answers"))
        return cls(saved["source"], saved["id"], frozenset(saved["ids"]), contents, answers)


def rows_in(value: object) -> Iterator[Example]:
    """Every example that stands in a JSON value, at any depth."""
    if isinstance(value, Mapping):
        row = row_of(value)
        if row is not None:
            yield row
        for part in () if row is not None else value.values():
            yield from rows_in(part)
    elif isinstance(value, list):
        for part in value:
            yield from rows_in(part)


def row_of(value: Mapping[str, Any]) -> Example | None:
    """The example that a JSON object is, whoever wrote it; None for any other object."""
    if not any(name in value for name in FORMS):
        return None
    try:
        return to_example({name: part for name, part in value.items() if name in KNOWN})
    except DataError:
        return _ours(value)


def _ours(value: Mapping[str, Any]) -> Example | None:
    """An example that a program made, such as one with an empty prompt: no file could hold it, a buffer can."""
    parts = [value.get(name) for name in ("text", "prompt", "completion", "chosen", "rejected")]
    texts = all(part is None or isinstance(part, str) for part in parts) and any(parts)
    if not texts or not set(value) <= KNOWN or "messages" in value:
        return None
    return Example.from_json(value)


def is_pair(value: object) -> bool:
    """An id and its source, as a version's list of ids holds them."""
    return isinstance(value, list) and len(value) == 2 and isinstance(value[0], str) and isinstance(value[1], str)


@dataclass(frozen=True, slots=True)
class _Says:
    """What text must hold. whole: as a word of its own, for an id: 'q-1' is none in 'q-12'."""

    parts: tuple[str, ...]
    whole: bool = False

    def stands_in(self, text: str) -> bool:
        if self.whole:
            return re.search(rf"(?<![\w-]){re.escape(self.parts[0])}(?![\w-])", text) is not None
        return all(part in text for part in self.parts)


def _starts(ids: Iterable[str], contents: Iterable[tuple[str, ...]]) -> dict[str, tuple[_Says, ...]]:
    """By the first characters of its longest part, what text must hold to hold a row or an id; as it is, and as JSON spells it.

    An id that is a plain word, or short, is looked for only where ids stand.
    """
    found: dict[str, list[_Says]] = {}
    plain = [((key,), True) for key in ids if any(letter.isdigit() for letter in key)] + [(_parts(content), False) for content in contents]
    for parts, whole in plain:
        for spelt in {parts, *(tuple(json.dumps(part, ensure_ascii=narrow)[1:-1] for part in parts) for narrow in (True, False))}:
            longest = max(spelt, key=len, default="")
            if len(longest) >= START:
                found.setdefault(longest[:START], []).append(_Says(spelt, whole))
    return {start: tuple(says) for start, says in found.items()}


def _parts(content: tuple[str, ...]) -> tuple[str, ...]:
    """The texts of a row: its parts, or the turns of its conversation."""
    text, prompt, completion, messages, chosen, rejected = content
    turns = [turn["content"] for turn in json.loads(messages)] if messages != ABSENT else []
    return tuple(part for part in (*(p for p in (text, prompt, completion, chosen, rejected) if p != ABSENT), *turns) if part)
