"""Orders in which the rows of a stream can come: with boundaries, blurred, coming back, or none at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import ClassVar, Literal, Protocol

from everlearn.errors import SettingError

Place = tuple[int, int]  # the experience a row is of, from 0, and which of its rows


class Order(Protocol):
    """A seeded order of the rows of several experiences. Within an experience rows come in random order, as the loop draws them anyway.

    keeps_time: does what came first in the given order still come first, but for a blend? Where truth has dates, no other order makes sense.
    """

    keeps_time: ClassVar[bool]

    def places(self, sizes: Sequence[int]) -> list[Place]:
        """Every row in its new order; sizes: how many rows each experience has."""
        ...

    def ends(self, sizes: Sequence[int]) -> list[int]:
        """Where a learner that is told the boundaries would be told them: the number of rows before each, the last being all."""
        ...


@dataclass(frozen=True, slots=True)
class Sequential:
    """One experience after the other, as given.

    >>> Sequential().ends([2, 3])
    [2, 5]
    """

    seed: int = 0
    keeps_time: ClassVar[bool] = True

    def places(self, sizes: Sequence[int]) -> list[Place]:
        return [place for of in _shuffled(sizes, self.seed) for place in of]

    def ends(self, sizes: Sequence[int]) -> list[int]:
        return _ends(sizes)


@dataclass(frozen=True, slots=True)
class Blurred:
    """Neighbours overlap: the last rows of one experience lie among the first of the next.

    overlap: of the smaller neighbour's rows the share in the blend, half of it on each side, in [0, 1]; 0 is sequential.   shape: "linear", where the
    share of new rows rises evenly through the blend, or "random", where it is one half all through.   The boundary that is told is the blend's middle.
    """

    overlap: float = 0.5
    shape: Literal["linear", "random"] = "linear"
    seed: int = 0
    keeps_time: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not 0 <= self.overlap <= 1:
            raise SettingError(f"blurred overlap must be between 0 and 1, got {self.overlap!r}. It is the share of an experience's rows in its blends.")
        if self.shape not in ("linear", "random"):
            raise SettingError(f"blurred shape must be 'linear' or 'random', got {self.shape!r}.")

    def places(self, sizes: Sequence[int]) -> list[Place]:
        random, keyed, starts = Random(f"blurred/{self.seed}"), list[tuple[float, Place]](), [0, *_ends(sizes)]
        for number, of in enumerate(_shuffled(sizes, self.seed)):
            before, after = self._half(sizes, number - 1), self._half(sizes, number)
            for at, place in enumerate(of):
                where = starts[number] + at + 0.5
                if at < before:
                    where = starts[number] - before + 2 * before * self._late(random)
                elif at >= len(of) - after:
                    where = starts[number + 1] + after - 2 * after * self._late(random)
                keyed.append((where, place))
        return [place for _, place in sorted(keyed)]

    def ends(self, sizes: Sequence[int]) -> list[int]:
        return _ends(sizes)

    def _half(self, sizes: Sequence[int], number: int) -> int:
        """Rows of each neighbour in the blend after experience `number`, 0 where there is none."""
        return int(self.overlap * min(sizes[number : number + 2]) / 2) if 0 <= number < len(sizes) - 1 else 0

    def _late(self, random: Random) -> float:
        """A place in the blend, 0 to 1, of a new row."""
        return float(random.random() ** 0.5) if self.shape == "linear" else random.random()


@dataclass(frozen=True, slots=True)
class Recurring:
    """Every experience comes back: a part of each, then the next part of each. times: parts, at least 2; no row comes twice."""

    times: int = 2
    seed: int = 0
    keeps_time: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.times < 2:
            raise SettingError(f"recurring times must be at least 2, got {self.times!r}. It is how often each experience comes.")

    def places(self, sizes: Sequence[int]) -> list[Place]:
        return [place for part in self._parts(sizes) for place in part]

    def ends(self, sizes: Sequence[int]) -> list[int]:
        return _ends([len(part) for part in self._parts(sizes)])

    def _parts(self, sizes: Sequence[int]) -> list[list[Place]]:
        every = _shuffled(sizes, self.seed)
        parts = [of[len(of) * turn // self.times : len(of) * (turn + 1) // self.times] for turn in range(self.times) for of in every]
        return [part for part in parts if part]


@dataclass(frozen=True, slots=True)
class Shuffled:
    """All rows mixed: no experience is told from another. The boundaries told are as many as given, at the same numbers of rows."""

    seed: int = 0
    keeps_time: ClassVar[bool] = False

    def places(self, sizes: Sequence[int]) -> list[Place]:
        every = [place for of in _shuffled(sizes, self.seed) for place in of]
        return Random(f"shuffled/{self.seed}").sample(every, len(every))

    def ends(self, sizes: Sequence[int]) -> list[int]:
        return _ends(sizes)


@dataclass(frozen=True, slots=True)
class Imbalanced:
    """One experience after the other, but of most of them few rows: a geometric row of shares from 1 to 1 / ratio, given out at random.

    ratio: the largest share over the smallest, at least 1; 1 is sequential. What is left out comes never.
    """

    ratio: float = 10.0
    seed: int = 0
    keeps_time: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not self.ratio >= 1:
            raise SettingError(f"imbalanced ratio must be at least 1, got {self.ratio!r}. It is the largest share of rows over the smallest.")

    def places(self, sizes: Sequence[int]) -> list[Place]:
        return [place for of, kept in zip(_shuffled(sizes, self.seed), self._kept(sizes), strict=True) for place in of[:kept]]

    def ends(self, sizes: Sequence[int]) -> list[int]:
        return _ends(self._kept(sizes))

    def _kept(self, sizes: Sequence[int]) -> list[int]:
        ranks = Random(f"imbalanced/{self.seed}").sample(range(len(sizes)), len(sizes))
        shares = [self.ratio ** (-rank / max(1, len(sizes) - 1)) for rank in ranks]
        return [max(1, round(size * share)) if size else 0 for size, share in zip(sizes, shares, strict=True)]


@dataclass(frozen=True, slots=True)
class Bursts:
    """Short runs of one experience at a time, in random order, until all rows have come.

    length: rows of a run, at least 1; the last of an experience may be shorter. The boundaries told are those of `Shuffled`.
    """

    length: int = 20
    seed: int = 0
    keeps_time: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.length < 1:
            raise SettingError(f"bursts length must be at least 1, got {self.length!r}. It is the rows of one experience that come together.")

    def places(self, sizes: Sequence[int]) -> list[Place]:
        runs = [of[at : at + self.length] for of in _shuffled(sizes, self.seed) for at in range(0, len(of), self.length)]
        return [place for run in Random(f"bursts/{self.seed}").sample(runs, len(runs)) for place in run]

    def ends(self, sizes: Sequence[int]) -> list[int]:
        return _ends(sizes)


ORDERS: dict[str, type[Order]] = {
    "sequential": Sequential,
    "blurred": Blurred,
    "recurring": Recurring,
    "shuffled": Shuffled,
    "imbalanced": Imbalanced,
    "bursts": Bursts,
}


def _shuffled(sizes: Sequence[int], seed: int) -> list[list[Place]]:
    """The rows of each experience in random order."""
    return [Random(f"rows/{seed}/{number}").sample([(number, at) for at in range(size)], size) for number, size in enumerate(sizes)]


def _ends(sizes: Sequence[int]) -> list[int]:
    """How many rows have come after each experience that has some."""
    found = list[int]()
    for size in sizes:
        if size:
            found.append((found[-1] if found else 0) + size)
    return found
