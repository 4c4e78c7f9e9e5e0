"""A two-sample test on vectors whose null distribution needs no resampling: a shrunk Hotelling statistic over permutations of the labels."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

Floats = NDArray[np.float32]  # enough: the diagonal is shrunk


@dataclass(frozen=True, slots=True, eq=False)
class Likeness:
    """How alike every two of N rows are, (N, N), in any unit: rows sum to 0, and a row is not held against itself."""

    matrix: Floats

    @property
    def spread(self) -> float:
        """The sum of all squares."""
        flat = self.matrix.ravel()
        return float(flat @ flat)

    def z(self, new: int) -> float:
        """How much more alike the last `new` rows are among themselves than in a random choice of as many, in standard deviations of such choices.

        Mean and deviation over all choices are exact; 0 where all rows are equal.
        """
        count, spread = len(self.matrix), self.spread
        if spread <= 0.0:
            return 0.0
        two = new * (new - 1) / (count * (count - 1))
        three = two * (new - 2) / (count - 2)
        four = three * (new - 3) / (count - 3)
        return float(self.matrix[-new:, -new:].sum(dtype=np.float64)) / math.sqrt(2 * spread * (two - 2 * three + four))

    def p(self, new: int) -> float:
        """The probability of a `z` as large where the last rows are drawn as the others were.

        The null distribution is that of a weighted sum of squares (a degenerate U-statistic), so it leans to the right: it is taken as a gamma distribution
        of the same three moments, and that as a normal one by the cube root of Wilson and Hilferty 1931.
        """
        z, spread = self.z(new), self.spread
        if spread <= 0.0:
            return 1.0
        skew = 8 * float(((self.matrix @ self.matrix) * self.matrix).sum()) / (2 * spread) ** 1.5
        if skew > 1e-6:
            base = skew * z / 2 + 1
            z = -math.inf if base <= 0 else 6 / skew * (base ** (1 / 3) - 1) + skew / 6
        return math.erfc(z / math.sqrt(2)) / 2


def difference(vectors: NDArray[np.float32], shrink: float = 0.3) -> Likeness:
    """The likeness of rows (N, d), N >= 4, in the metric of their own covariance, so that what varies anyway counts for little.

    shrink: of the covariance towards a sphere, in shares of its mean variance, > 0. The metric is that of all rows together, so under no change every
    choice of rows is as good as any other: the test holds its level whatever the vectors are.

    >>> rows = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)
    >>> alike = difference(rows)
    >>> rows[40:] += 2
    >>> alike.p(20) > 0.01, difference(rows).p(20) < 1e-6
    (True, True)
    """
    centred = vectors - vectors.mean(0, dtype=np.float64)
    count = len(centred)
    mean_variance = float((centred**2).sum()) / count / min(centred.shape[1], count - 1)
    if mean_variance <= 0.0:
        return Likeness(np.zeros((count, count), np.float32))
    scaled = (centred / math.sqrt(mean_variance)).astype(np.float32)
    inner = scaled @ scaled.T
    inner[np.diag_indices(count)] += shrink * count
    near = -_inverse(inner)  # but for its diagonal, and a factor, what inner times it would be
    np.fill_diagonal(near, 0.0)
    sums = near.sum(1, dtype=np.float64)
    sides = (sums / (count - 2)).astype(np.float32)
    near -= sides[:, None]
    near -= sides - np.float32(sums.sum() / ((count - 1) * (count - 2)))
    np.fill_diagonal(near, 0.0)
    return Likeness(near)


def _inverse(matrix: Floats) -> Floats:
    """Of a symmetric positive definite matrix; by Cholesky, cheaper than NumPy's inverse, which makes nothing of either."""
    found: Floats = torch.cholesky_inverse(torch.linalg.cholesky(torch.from_numpy(matrix))).numpy()
    return found
