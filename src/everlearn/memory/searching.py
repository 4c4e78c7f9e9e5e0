"""Hybrid search in a store's table: by vector and by words, joined, dated, and nothing where nothing is near."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from everlearn.errors import SettingError
from everlearn.memory import tables
from everlearn.memory.chains import Link
from everlearn.memory.passages import Found, iso, searchable
from everlearn.memory.ranking import freshness, fused
from everlearn.memory.tables import Vectors
from everlearn.memory.words import words_of

DEPTH, DEEPER = 5, 10  # candidates of each kind for one passage that is wanted, and how many times more where too few of them hold
PROBES, REFINE = 32, 1  # cells read of the vector index, and exact vectors compared for one that is looked at; benchmarks/store.py measures both


@dataclass(frozen=True, slots=True)
class Search:
    """How a store is searched.

    k: at most so many passages, >= 1.   as_of: an ISO date, for what held then; "" for now.   least: nearness (cosine, -1 to 1) below which a passage is left
    out; None leaves none out.   recency: how much more a passage of today counts than an undated one, as a share of the best score, >= 0; `half_life`: days
    after which half of that is left, > 0.   kind: "hybrid", "vector" or "words".   source: of this one alone.
    """

    k: int = 5
    as_of: str = ""
    least: float | None = None
    recency: float = 0.01
    half_life: float = 365.0
    kind: str = "hybrid"
    source: str = ""

    def __post_init__(self) -> None:
        if self.k < 1:
            raise SettingError(f"search k must be at least 1, got {self.k!r}.")
        if self.least is not None and not -1 <= self.least <= 1:
            raise SettingError(f"search least must be between -1 and 1, got {self.least!r}. It is a cosine; None leaves nothing out.")
        if self.recency < 0 or self.half_life <= 0:
            raise SettingError(f"recency must be 0 or more and half_life above 0 (recency={self.recency!r}, half_life={self.half_life!r}).")
        if self.kind not in ("hybrid", "vector", "words"):
            raise SettingError(f"there is no such search (kind={self.kind!r}). Allowed are 'hybrid', 'vector', 'words'.")
        searchable(self.source)
        object.__setattr__(self, "as_of", iso(self.as_of, "as_of"))


@dataclass(frozen=True, slots=True)
class Candidate:
    """A row that came up. told: its LINK.   nearness: cosine to the question, 0 without its vector.   words: its score by words, 0 where it came by vector."""

    told: dict[str, Any]
    nearness: float
    words: float = 0.0

    @property
    def id(self) -> str:
        return str(self.told["passage"]["id"])


def searched(table: Any | None, search: Search, questions: Sequence[str | None], vectors: Vectors | None) -> list[list[Found]]:
    """For each question, given as text, as a vector (n, d) of length 1, or as both, its passages, best first; those equally good by id.

    Without a vector nothing is said of nearness (0), and `least` leaves nothing out. Raises SettingError where the kind of search needs what was not given.
    """
    if (search.kind == "vector" and vectors is None) or (search.kind == "words" and None in questions):
        raise SettingError(f"this search lacks what it compares (kind={search.kind!r}). 'vector' needs a vector or an embedder, 'words' a text.")
    if table is None:
        return [[] for _ in questions]
    return [_one(table, search, text, None if vectors is None else vectors[at]) for at, text in enumerate(questions)]


def _one(table: Any, search: Search, text: str | None, vector: Vectors | None) -> list[Found]:
    near = [] if vector is None or search.kind == "words" else _by_vector(table, vector, search)
    same = [] if text is None or search.kind == "vector" else _by_words(table, text, vector, search)
    rows = {one.id: one for one in (*same, *near)}
    fresh = freshness({name: one.told["passage"].get("valid_from", "") for name, one in rows.items()}, search.as_of, search.half_life)
    ranked = fused([{one.id: one.nearness for one in near}, {one.id: one.words for one in same}])
    scores = {name: score * rows[name].told["passage"].get("trust", 1.0) * (1 + search.recency * fresh[name]) for name, score in ranked.items()}
    best = sorted((name for name in scores if vector is None or search.least is None or rows[name].nearness >= search.least), key=lambda n: (-scores[n], n))
    return [Found(tables.shown(Link.from_json(rows[name].told)), scores[name], rows[name].nearness) for name in best[: search.k]]


def _by_vector(table: Any, vector: Vectors, search: Search) -> list[Candidate]:
    """The nearest rows that hold."""

    def asked(depth: int, condition: str) -> list[Candidate]:
        query = table.search(vector, vector_column_name="vector").distance_type("cosine").nprobes(PROBES).refine_factor(REFINE).limit(depth)
        query = query.where(condition, prefilter=True).bypass_vector_index() if condition else query  # the nearest cells may hold none that fulfils it
        rows = query.select([tables.LINK, "_distance"]).to_arrow()
        return [Candidate(json.loads(told), 1 - far) for told, far in zip(rows[tables.LINK].to_pylist(), rows["_distance"].to_pylist(), strict=True)]

    return _holding(asked, search, whole=False)


def _by_words(table: Any, text: str, vector: Vectors | None, search: Search) -> list[Candidate]:
    """The rows that share most with the text's words and hold."""
    words = " ".join(dict.fromkeys(words_of(text)))

    def asked(depth: int, condition: str) -> list[Candidate]:
        query = table.search(words, query_type="fts", fts_columns="words").limit(depth)
        query = query.where(condition, prefilter=True) if condition else query
        rows = query.select([tables.LINK, "_score", *([] if vector is None else ["vector"])]).to_arrow()
        near = np.zeros(rows.num_rows) if vector is None else tables.vectors_of(rows) @ vector
        told = zip(rows[tables.LINK].to_pylist(), near.tolist(), rows["_score"].to_pylist(), strict=True)
        return [Candidate(json.loads(link), nearness, score) for link, nearness, score in told]

    return _holding(asked, search, whole=True) if words else []


def _holding(asked: Callable[[int, str], list[Candidate]], search: Search, whole: bool) -> list[Candidate]:
    """What comes up and holds. First the best are asked, whatever holds of them, then many more; only where still fewer than `k` do is the condition put to all
    rows before: that reads the dates of the whole table, which takes several times as long as the search itself (benchmarks/store.py).

    whole: fewer than were asked for are all there are.
    """
    moment, first = tables.now(), max(30, DEPTH * search.k)
    for depth in (first, DEEPER * first):
        every = asked(depth, "")
        found = [one for one in every if tables.holds(one.told, search.as_of, search.source, moment)]
        if len(found) >= search.k or (whole and len(every) < depth):
            return found
        if len(every) < depth:
            break
    return asked(first, tables.holding(search.as_of, search.source))
