"""Hybrid search in a store's table: by vector and by words, joined, dated, and nothing where nothing is near."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from everlearn.errors import SettingError
from everlearn.memory import tables
from everlearn.memory.passages import Found
from everlearn.memory.ranking import freshness, fused
from everlearn.memory.tables import Vectors
from everlearn.memory.words import words_of

DEPTH = 10  # candidates of each kind for one passage that is wanted
PROBES, REFINE = 32, 8  # cells read of the vector index, and exact vectors compared for one that is wanted; benchmarks/store.py measures both


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


def searched(table: Any | None, search: Search, questions: Sequence[str | None], vectors: Vectors | None) -> list[list[Found]]:
    """For each question, given as text, as a vector (n, d), or as both, its passages, best first; those equally good by id.

    Without a vector nothing is said of nearness (0), and `least` leaves nothing out.
    """
    if table is None:
        return [[] for _ in questions]
    condition = tables.holding(search.as_of)
    condition += f" AND array_has(sources, {tables.quoted(search.source)})" if search.source else ""
    return [_one(table, search, condition, text, None if vectors is None else vectors[at]) for at, text in enumerate(questions)]


def _one(table: Any, search: Search, condition: str, text: str | None, vector: Vectors | None) -> list[Found]:
    depth = max(30, DEPTH * search.k)
    near = [] if vector is None or search.kind == "words" else _by_vector(table, vector, condition, depth, search.k)
    same = [] if text is None or search.kind == "vector" else _by_words(table, text, condition, depth, vector is not None)
    rows = {row["id"]: row for row in (*near, *same)}
    nearness = {name: 0.0 if vector is None else float(np.dot(np.asarray(row["vector"], np.float32), vector)) for name, row in rows.items()}
    by_nearness, by_words = {row["id"]: nearness[row["id"]] for row in near}, {row["id"]: float(row["_score"]) for row in same}
    fresh = freshness({name: row["valid_from"] for name, row in rows.items()}, search.as_of, search.half_life)
    scores = {name: score * rows[name]["trust"] * (1 + search.recency * fresh[name]) for name, score in fused([by_nearness, by_words]).items()}
    best = sorted((name for name in scores if vector is None or search.least is None or nearness[name] >= search.least), key=lambda name: (-scores[name], name))
    return [Found(tables.shown(tables.link_of(rows[name])), scores[name], nearness[name]) for name in best[: search.k]]


def _by_vector(table: Any, vector: Vectors, condition: str, depth: int, least: int) -> list[dict[str, Any]]:
    """The nearest rows that meet the condition. First it is asked of the nearest alone; only where fewer than `least` of them meet it, of all rows before:
    that reads the dates of the whole table, five times the time of the search itself (benchmarks/store.py).
    """
    query = table.search(vector, vector_column_name="vector").distance_type("cosine").nprobes(PROBES).refine_factor(REFINE).limit(depth)
    query = query.select([*tables.LINK, "vector", "_distance"])
    found = list(query.where(condition, prefilter=False).to_list())
    return found if len(found) >= least else list(query.where(condition, prefilter=True).to_list())


def _by_words(table: Any, text: str, condition: str, depth: int, vectors: bool) -> list[dict[str, Any]]:
    words = " ".join(dict.fromkeys(words_of(text)))
    if not words:
        return []
    columns = [*tables.LINK, "_score", *(["vector"] if vectors else [])]
    query = table.search(words, query_type="fts", fts_columns="words").where(condition, prefilter=True)
    return list(query.select(columns).limit(depth).to_list())
