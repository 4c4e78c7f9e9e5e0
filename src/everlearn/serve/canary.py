"""A newly promoted version on trial: a share of the requests, until it has shown itself, or failed."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from math import comb
from typing import Literal

SURE = 0.99  # looked at after every answer, so stricter than one look would be
FEWEST = 20  # answers of the new version before it is judged


@dataclass(slots=True)
class Tally:
    """A version's answers, and those of them that failed or were corrected."""

    answers: int = 0
    bad: int = 0


@dataclass(frozen=True, slots=True)
class Trial:
    """Rules of a trial. share: of requests that go to the new version, in [0, 0.9].   answers: how many it must give.   worse: bad share above the old one's
    that fails it, where a test is sure of it.
    """

    share: float = 0.0
    answers: int = 200
    worse: float = 0.05

    def takes(self, key: str) -> bool:
        """Does the new version answer this one? The same key goes the same way for all of a trial."""
        return int.from_bytes(hashlib.sha256(key.encode(errors="surrogatepass")).digest()[:4]) < self.share * 2**32

    def verdict(self, old: Tally, new: Tally) -> Literal["", "passed", "failed"]:
        """What is known so far.

        >>> Trial(0.1).verdict(Tally(100, 2), Tally(30, 12)), Trial(0.1).verdict(Tally(100, 2), Tally(30, 1)), Trial(0.1).verdict(Tally(), Tally(200, 0))
        ('failed', '', 'passed')
        """
        if new.answers >= FEWEST:
            before = old.bad / old.answers if old.answers else 0.0
            if new.bad / new.answers > before + self.worse and likely(old, new) <= 1 - SURE:
                return "failed"
        return "passed" if new.answers >= self.answers else ""


def likely(old: Tally, new: Tally) -> float:
    """How likely the new version has so many of all bad answers if it is no worse: Fisher's exact test, one-sided. Without any of the old's, as if it had 20
    good ones.

    >>> round(likely(Tally(10, 1), Tally(10, 6)), 4)
    0.0286
    """
    before = old.answers or FEWEST
    total, bad = before + new.answers, old.bad + new.bad
    most = min(new.answers, bad)
    ways = sum(comb(new.answers, k) * comb(before, bad - k) for k in range(new.bad, most + 1) if bad - k <= before)
    return ways / comb(total, bad)
