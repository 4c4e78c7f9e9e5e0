"""What turns texts into vectors for a store, and how vectors are made comparable."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from everlearn.errors import DataError, SettingError
from everlearn.memory.tables import Vectors


class Embedder(Protocol):
    """Texts as vectors. name: says which one it is, of two that differ in anything two names.   dimension: the length d of its vectors."""

    @property
    def name(self) -> str: ...

    @property
    def dimension(self) -> int: ...

    def passages(self, texts: Sequence[str]) -> Vectors:
        """Vectors (n, d) of texts that are to be found."""
        ...

    def questions(self, texts: Sequence[str]) -> Vectors:
        """Vectors (n, d) of questions that are to find them."""
        ...


def named(embedder: Embedder) -> Embedder:
    """The embedder. Raises SettingError for one that could not be told from others, or makes no vectors."""
    if not embedder.name or embedder.dimension < 1:
        raise SettingError(f"an embedder needs a name and a dimension above 0 (name={embedder.name!r}, dimension={embedder.dimension!r}). Give both.")
    return embedder


def made_by(embedder: Embedder, texts: Sequence[str], asked: bool = False) -> Vectors:
    """Its vectors (n, d) of length 1 of texts that are to be found, or that ask. Raises DataError where it does not keep to what it says of itself."""
    found, wanted = np.asarray(embedder.questions(texts) if asked else embedder.passages(texts)), (len(texts), embedder.dimension)
    if found.shape != wanted:
        raise DataError(
            f"an embedder's vectors are not what it declares (embedder={embedder.name!r}, shape={found.shape!r}, declared={wanted!r})."
            " Give a vector for each text, of its dimension."
        )
    return unit(found)


def matrix(vectors: Any, rows: int, dimension: int) -> Vectors:
    """Vectors that were given as rows of length 1 (rows, d). dimension: d, 0 for any above 0. Raises DataError, with what is wrong, for anything else."""
    try:
        with np.errstate(over="ignore"):  # beyond float32 is infinite, which `unit` refuses
            found = np.asarray(vectors, dtype=np.float32)
    except (ValueError, TypeError) as problem:
        raise DataError(f"vectors must be rows of numbers, all of one length (first={str(vectors[0])[:40]!r}).") from problem
    if found.ndim and len(found) != rows:
        raise DataError(f"every text needs one vector (texts={rows}, vectors={len(found)}). Give as many.")
    if found.ndim != 2 or found.shape[1] == 0 or (dimension and found.shape[1] != dimension):
        raise DataError(
            f"vectors have another length than the store's (shape={found.shape!r}, dimension={dimension or 'any above 0'}). Embed with its own embedder."
        )
    return unit(found)


def unit(vectors: Vectors) -> Vectors:
    """Vectors (n, d) of length 1. Raises DataError, with the row, where one has no direction or is no number.

    >>> unit(np.array([[3.0, 4.0]])).tolist() == [[np.float32(0.6), np.float32(0.8)]]
    True
    """
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    wrong = np.flatnonzero(~np.isfinite(lengths[:, 0]) | (lengths[:, 0] == 0))
    if len(wrong):
        raise DataError(f"a vector has no direction (row={int(wrong[0])}, length={float(lengths[wrong[0], 0])!r}). Give finite numbers, one not 0.")
    return np.asarray(vectors / lengths, dtype=np.float32)
