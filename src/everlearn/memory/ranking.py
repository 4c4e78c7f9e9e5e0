"""Two rankings as one, with a weight for what is newer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date

CONSTANT = 60  # of reciprocal rank fusion, the paper's own value


def fused(rankings: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """By id the sum of 1 / (60 + rank) over the rankings it is in, as a share of the most there can be (first in each). Equal values have one rank.

    rankings: each a value by id, higher is better. Cormack, Clarke and Buettcher 2009, Reciprocal Rank Fusion.

    >>> {name: round(score, 3) for name, score in fused([{"a": 0.9, "b": 0.5}, {"a": 7.0}]).items()}
    {'a': 1.0, 'b': 0.492}
    """
    scores: dict[str, float] = {}
    for ranking in rankings:
        ordered = sorted((round(value, 6) for value in ranking.values()), reverse=True)
        places = {value: place for place, value in reversed(list(enumerate(ordered, 1)))}
        for name, value in ranking.items():
            scores[name] = scores.get(name, 0.0) + (CONSTANT + 1) / (CONSTANT + places[round(value, 6)]) / len(rankings)
    return scores


def freshness(begins: Mapping[str, str], now: str, half_life: float) -> dict[str, float]:
    """By id 2 ** (-age / half_life), age in days before `now`; 0 without a date, 1 for the newest where `now` is "".

    >>> freshness({"a": "2023-01-01", "b": ""}, "2024-01-01", 365.0)
    {'a': 0.5, 'b': 0.0}
    """
    newest = now or max(begins.values(), default="")
    return {name: 2 ** (-max(0, _days(newest) - _days(begun)) / half_life) if begun else 0.0 for name, begun in begins.items()}


def _days(moment: str) -> int:
    return date.fromisoformat(moment[:10]).toordinal()
