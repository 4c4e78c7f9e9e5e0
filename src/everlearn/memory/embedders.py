"""What turns texts into vectors for a store, and how vectors are made comparable."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from everlearn.errors import DataError
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
