"""Rows that are nearly another row: MinHash over character shingles, each candidate verified."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import numpy as np
from numpy.typing import NDArray

SHINGLE = 5  # characters: some words of English, a phrase of Chinese
BANDS, DEEP = 12, 4  # a pair of Jaccard 0.8 shares no band with probability (1 - 0.8^4)^12 = 0.2 %
MOST_ROWS = 200_000  # looked at; some twenty seconds
_SAMPLE = 500  # texts in which the common form is looked for
_IN_BUCKET = 20  # earlier rows of one bucket that a row is compared with

Hashes = NDArray[np.uint32]


def near_duplicates(texts: Sequence[str], at_least: float = 0.8) -> list[tuple[int, int, float]]:
    """(later, earlier, similarity) for every text that is nearly an earlier one; equal texts have similarity 1.

    Similarity is the Jaccard index of the sets of 5-character shingles. Shingles that stand in more than half of all texts are their common
    form (a template, an instruction) and do not count. Of texts that resemble each other only the first is compared with later ones.
    """
    first: dict[str, int] = {}
    pairs: list[tuple[int, int, float]] = []
    form, factors = _form(texts), _factors()
    sets: dict[int, Hashes] = {}
    buckets: dict[tuple[int, bytes], list[int]] = {}
    for later, text in enumerate(texts[:MOST_ROWS]):
        earlier = first.setdefault(text, later)
        if earlier != later:
            pairs.append((later, earlier, 1.0))
            continue
        own = np.setdiff1d(_shingles(text), form, assume_unique=True)
        if len(own) < SHINGLE:
            continue  # too short to be like another
        keys = _keys(own, factors)
        candidates = {at for key in keys for at in buckets.get(key, ())[-_IN_BUCKET:]}
        best = max(((_jaccard(own, sets[at]), -at) for at in candidates), default=(0.0, 0))
        if best[0] >= at_least:
            pairs.append((later, -best[1], best[0]))
            continue
        sets[later] = own
        for key in keys:
            buckets.setdefault(key, []).append(later)
    return sorted(pairs)


def _shingles(text: str) -> Hashes:
    """Hashes of the distinct 5-character pieces, sorted."""
    letters = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.uint64)
    if len(letters) < SHINGLE:
        return np.empty(0, np.uint32)
    found = np.zeros(len(letters) - SHINGLE + 1, np.uint64)
    for at in range(SHINGLE):
        found = found * np.uint64(0x9E3779B97F4A7C15) + letters[at : len(letters) - SHINGLE + 1 + at]
    found ^= found >> np.uint64(31)  # mixed as in splitmix64, so that the upper half depends on every letter
    found *= np.uint64(0xBF58476D1CE4E5B9)
    return np.unique((found >> np.uint64(32)).astype(np.uint32))


def _form(texts: Sequence[str]) -> Hashes:
    """Shingles that more than half of the texts share; none for few texts, where chance would make one."""
    if len(texts) < SHINGLE * 4:
        return np.empty(0, np.uint32)
    sample = Random(0).sample(list(texts), min(_SAMPLE, len(texts)))
    hashes, counts = np.unique(np.concatenate([_shingles(text) for text in sample]), return_counts=True)
    return hashes[counts > len(sample) / 2]


def _factors() -> NDArray[np.uint64]:
    """Odd multipliers, one a hash function: (BANDS * DEEP, 1)."""
    random = Random(0)
    return np.array([[random.getrandbits(64) | 1] for _ in range(BANDS * DEEP)], np.uint64)


def _keys(own: Hashes, factors: NDArray[np.uint64]) -> list[tuple[int, bytes]]:
    """The bands of the text's MinHash signature, each with its number."""
    signature = ((own[None, :].astype(np.uint64) * factors) >> np.uint64(16)).astype(np.uint32).min(1)
    return [(band, signature[band * DEEP : (band + 1) * DEEP].tobytes()) for band in range(BANDS)]


def _jaccard(one: Hashes, other: Hashes) -> float:
    shared = len(np.intersect1d(one, other, assume_unique=True))
    return shared / (len(one) + len(other) - shared)
