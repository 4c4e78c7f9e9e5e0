"""Paired tests: do the same examples score higher now than before, or is that chance?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

FLIPS = 9_999  # of the signs; the smallest p is 1 / (FLIPS + 1)
FEWEST = 13  # differences up to which every flip is tried


def sign_test(gained: int, lost: int) -> float:
    """The exact two-sided p of a split this uneven or more under a fair coin; 1 where nothing changed.

    >>> sign_test(5, 0), sign_test(3, 3)
    (0.0625, 1.0)
    """
    changed, ways, every = gained + lost, 1, 1
    for at in range(min(gained, lost)):
        ways = ways * (changed - at) // (at + 1)  # of choosing at + 1 among the changed
        every += ways
    return min(1.0, float(2 * every / (1 << changed)))


def more_likely(differences: Sequence[float], seed: int = 0) -> float:
    """The one-sided p of a mean difference this high or higher, were every difference as likely with the other sign (Fisher's sign-flip test).

    Exact where all differences are of one size (then it is the one-sided sign test, for right and wrong McNemar's) or few; else over
    9,999 flips drawn from `seed`, the observed one counted in. 1 where nothing changed.

    >>> more_likely([1, 1, 1, 1, 1, 0, 0]), more_likely([0, 0])
    (0.03125, 1.0)
    """
    moved = np.asarray([value for value in differences if value], dtype=float)
    if not len(moved):
        return 1.0
    size = np.abs(moved)
    if np.ptp(size) <= 1e-12 * size[0]:
        return _binomial(len(moved), int((moved > 0).sum()))
    if len(moved) <= FEWEST:
        signs = 1 - 2 * ((np.arange(2 ** len(moved))[:, None] >> np.arange(len(moved))) & 1)
        return float((signs @ size >= moved.sum() - 1e-12 * size.sum()).mean())
    signs = np.random.default_rng(seed).integers(0, 2, (FLIPS, len(moved)), dtype=np.int8) * 2 - 1
    return float((1 + int((signs @ size >= moved.sum() - 1e-12 * size.sum()).sum())) / (FLIPS + 1))


def _binomial(tries: int, right: int) -> float:
    """The chance of `right` or more heads in `tries` throws of a fair coin."""
    ways, every = 1, 1
    for at in range(tries - right):
        ways = ways * (tries - at) // (at + 1)
        every += ways
    return float(every / (1 << tries))
