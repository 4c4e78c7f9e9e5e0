"""Drift: one interface over detectors that are fed a row's number or vector at a time and say when the stream has changed."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import deque
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from everlearn.errors import DataError, MissingExtra, SettingError
from everlearn.streams.two_sample import Likeness, difference

Vector = NDArray[np.float32]
Value = float | Vector | None
SELDOM = 4  # of so many looks one is at the first rows, too: what is slow can wait


@dataclass(frozen=True, slots=True)
class Change:
    """That the rows are no longer what they were.

    noticed: rows seen when it was.   began: how many rows came before the first that is unlike, as well as that can be told.   measure: what was held
    against the threshold, such as "p-value".   score: its value, None where the detector keeps it to itself.
    """

    noticed: int
    began: int
    measure: str
    score: float | None
    threshold: float


class Detector(Protocol):
    """Told one row after the other; after a change it begins anew with what is new.

    signal: what it is to be told of a row, its "vector" or its "loss".
    """

    signal: ClassVar[Literal["vector", "loss"]]

    def update(self, value: Value) -> Change | None:
        """Take the next row; None for a row of which nothing is known, which only counts. Raises DataError for a value of the wrong kind."""
        ...


@dataclass(slots=True)
class Embedding:
    """A two-sample test on row vectors: are the latest `window` rows drawn as the rows before them were?

    Every `every` rows the latest are held against the up to `past` rows before them, none older than the last change, and at every fourth look against
    the first `past` rows since that change, which a slow blend has left far behind, by the shrunk Hotelling test of `two_sample.difference`. It began where,
    among the latest 2 `window` rows, both sides differ most: of a blend somewhere in it, as far as it has come. Rows of one domain are taken to come in
    no order: where rows about one thing come in runs, each run is a change.

    window: rows, at least 8; as many must lie before them.   level: the p-value below which it is a change, in (0, 0.1); where nothing changes there are
    at most 1.25 level / every false alarms a row, at the defaults one in 960,000.   shrink: of the covariance, as `difference` says. The defaults were
    chosen on other streams than those measured (benchmarks/drift.py).

    >>> random = np.random.default_rng(0)
    >>> detector = Embedding(window=32)
    >>> rows = np.concatenate([random.normal(size=(200, 8)), 1 + random.normal(size=(100, 8))]).astype(np.float32)
    >>> found = [change for row in rows if (change := detector.update(row))]
    >>> len(found), abs(found[0].began - 200) < 8, found[0].noticed <= 232
    (1, True, True)
    """

    window: int = 48
    past: int = 144
    every: int = 12
    level: float = 1e-5
    shrink: float = 0.3
    signal: ClassVar[Literal["vector", "loss"]] = "vector"
    _rows: list[Vector] = field(default_factory=list, init=False, repr=False)
    _first: list[Vector] = field(default_factory=list, init=False, repr=False)
    _since: int = field(default=0, init=False, repr=False)
    _seen: int = field(default=0, init=False, repr=False)

    def __post_init__(self) -> None:
        wrong = [
            f"embedding {name} must be {allowed}, got {getattr(self, name)!r}"
            for name, allowed, right in (
                ("window", "at least 8", self.window >= 8),
                ("past", f"at least the window, {self.window}", self.past >= self.window),
                ("every", "at least 1", self.every >= 1),
                ("level", "above 0 and below 0.1", 0 < self.level < 0.1),
                ("shrink", "above 0", self.shrink > 0),
            )
            if not right
        ]
        if wrong:
            raise SettingError("; ".join(wrong) + ".")

    def update(self, value: Value) -> Change | None:
        self._seen += 1
        if value is None:
            return None
        if not isinstance(value, np.ndarray) or not np.isfinite(value).all():
            raise DataError(f"the embedding detector takes vectors of finite numbers (row={self._seen - 1}, got={type(value).__name__}).")
        self._rows = [*self._rows[-(self.past + self.window - 1) :], value]
        self._since += 1
        if len(self._first) < self.past:
            self._first.append(value)
        if self._seen % self.every or len(self._rows) < 2 * self.window:
            return None
        new, p = self._surest()
        if p >= self.level:
            return None
        self._rows = self._rows[-new:]
        self._first, self._since = self._rows[: self.past], new
        return Change(self._seen, self._seen - new, "p-value", p, self.level)

    def _surest(self) -> tuple[int, float]:
        """How many of the latest rows are new, as the rows held split best, and the p-value of the surer test."""
        before = difference(np.stack(self._rows), self.shrink)
        p = self._p(before)
        if self._since >= self.past + self.window and self._seen // self.every % SELDOM == 0:  # before, the first rows are the ones tested above
            p = min(p, self._p(difference(np.stack([*self._first, *self._rows[-self.window :]]), self.shrink)))
        least, most = self.window // 4, 2 * self.window
        new = max(range(least, min(most, len(self._rows) - least) + 1), key=before.z) if p < self.level else 0  # where the two sides differ most
        return new, p

    def _p(self, test: Likeness) -> float:
        """The test's p-value; 1 where even a normal's tail is not below the level: the null distribution leans to the right, and its tail is no thinner."""
        return test.p(self.window) if math.erfc(test.z(self.window) / math.sqrt(2)) / 2 < self.level else 1.0


@dataclass(slots=True)
class _OfNumbers(ABC):
    """What river's detectors share: numbers in standard deviations around the first ones since the last change, and where a change most likely began."""

    settle: ClassVar[int] = 30  # numbers from which mean and deviation are taken
    signal: ClassVar[Literal["vector", "loss"]] = "loss"
    _seen: int = field(default=0, init=False, repr=False)
    _held: deque[tuple[int, float]] = field(default_factory=lambda: deque(maxlen=1024), init=False, repr=False)
    _scale: tuple[float, float] | None = field(default=None, init=False, repr=False)
    _river: Any = field(default=None, init=False, repr=False)

    def update(self, value: Value) -> Change | None:
        self._seen += 1
        if value is None:
            return None
        if isinstance(value, np.ndarray) or not math.isfinite(value):
            raise DataError(f"this detector takes finite numbers (row={self._seen - 1}, got={value!r}). Give it one number a row, such as its loss.")
        self._held.append((self._seen - 1, value))
        if self._scale is None:
            if len(self._held) == self.settle:
                first = [number for _, number in self._held]
                self._scale, self._river = (float(np.mean(first)), float(np.std(first)) or 1.0), self._fresh()
            return None
        mean, deviation = self._scale
        self._river.update((value - mean) / deviation)
        if not self._river.drift_detected:
            return None
        measure, score, threshold = self._sure()
        new = _split([number for _, number in self._held])
        change = Change(self._seen, self._held[-new][0], measure, score, threshold)
        self._held.clear()
        self._scale = None
        return change

    @abstractmethod
    def _fresh(self) -> Any:
        """river's detector with nothing seen."""

    @abstractmethod
    def _sure(self) -> tuple[str, float | None, float]:
        """Measure, score and threshold of the change it has just found."""


@dataclass(slots=True)
class ADWIN(_OfNumbers):
    """river's ADWIN on losses: does any cut of an adaptive window leave two parts with different means? Bifet and Gavalda 2007.

    delta: the probability of a false alarm that its bound allows at a cut, in (0, 1).
    """

    delta: float = 1e-4

    def __post_init__(self) -> None:
        _between("adwin delta", self.delta, 0, 1)
        _river()

    def _fresh(self) -> Any:
        return _river().ADWIN(delta=self.delta, clock=1)

    def _sure(self) -> tuple[str, float | None, float]:
        return "ADWIN's bound", None, self.delta


@dataclass(slots=True)
class PageHinkley(_OfNumbers):
    """river's Page-Hinkley test on losses: has the sum of what exceeds the mean grown beyond a threshold? Page 1954.

    threshold: in standard deviations, > 0.   delta: by which each number may exceed the mean, in standard deviations, >= 0.
    """

    threshold: float = 20.0
    delta: float = 0.5

    def __post_init__(self) -> None:
        _between("page_hinkley threshold", self.threshold, 0, math.inf)
        if not self.delta >= 0:
            raise SettingError(f"page_hinkley delta must be at least 0, got {self.delta!r}.")
        _river()

    def _fresh(self) -> Any:
        return _river().PageHinkley(min_instances=1, threshold=self.threshold, delta=self.delta)

    def _sure(self) -> tuple[str, float | None, float]:
        return "Page-Hinkley's sum", None, self.threshold


@dataclass(slots=True)
class KSWIN(_OfNumbers):
    """river's KSWIN on losses: does a Kolmogorov-Smirnov test tell the latest numbers from a sample of those before? Raab et al. 2020.

    alpha: its p-value from which on it is a change, in (0, 1).   window: numbers held.   recent: of these the latest that are tested.
    """

    alpha: float = 1e-6
    window: int = 60
    recent: int = 20
    seed: int = 0

    def __post_init__(self) -> None:
        _between("kswin alpha", self.alpha, 0, 1)
        if not 2 <= self.recent <= self.window // 2:
            raise SettingError(f"kswin recent must be between 2 and half of the window ({self.window}), got {self.recent!r}.")
        _river()

    def _fresh(self) -> Any:
        return _river().KSWIN(alpha=self.alpha, window_size=self.window, stat_size=self.recent, seed=self.seed)

    def _sure(self) -> tuple[str, float | None, float]:
        return "p-value", float(self._river.p_value), self.alpha


DETECTORS: dict[str, type[Detector]] = {"embedding": Embedding, "adwin": ADWIN, "page_hinkley": PageHinkley, "kswin": KSWIN}


def _between(name: str, value: float, low: float, high: float) -> None:
    if not low < value < high:
        raise SettingError(f"{name} must be above {low}" + (f" and below {high}" if math.isfinite(high) else "") + f", got {value!r}.")


def _split(values: list[float]) -> int:
    """How many of the last values are new, if there was one change of their mean: the likeliest number (least squares)."""
    series = np.asarray(values)
    count, total, late = len(series), series.sum(), series[::-1].cumsum()[:-1]
    new = np.arange(1, count)
    apart = np.abs(late / new - (total - late) / (count - new)) * np.sqrt(new * (count - new) / count)
    return int(apart.argmax()) + 1


def _river() -> Any:
    try:
        from river import drift
    except ImportError as problem:
        raise MissingExtra("a library is not installed (library='river'). It comes with the extra `drift`: pip install \"everlearn[drift]\"") from problem
    return drift
