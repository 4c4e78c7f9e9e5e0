"""How long rows are, and what a model's reach cuts off."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from copy import copy
from dataclasses import dataclass
from math import ceil

from everlearn.models.encode import Encoder
from everlearn.models.pairs import PairEncoder
from everlearn.types import Example, Row

AT_ONCE = 1000  # rows encoded together
ENDLESS = 2**40  # tokens: the reach of a model that cuts nothing


@dataclass(frozen=True, slots=True)
class Spread:
    """Half of the values are at most `median`, 95 of 100 at most `most_95`; `total` is their sum.

    >>> Spread.of([3, 1, 2])
    Spread(median=2, most_95=3, longest=3, total=6)
    """

    median: int
    most_95: int
    longest: int
    total: int

    @classmethod
    def of(cls, values: Iterable[int]) -> Spread:
        """The spread of some values, all 0 for none."""
        ordered = sorted(values) or [0]
        return cls(ordered[(len(ordered) - 1) // 2], ordered[ceil(0.95 * len(ordered)) - 1], ordered[-1], sum(ordered))


@dataclass(frozen=True, slots=True)
class Cut:
    """One row that is longer than the model's reach. tokens: its length.   prompt, answer: the tokens it loses of what is read and of what is learned."""

    example: Example
    tokens: int
    prompt: int
    answer: int


@dataclass(frozen=True, slots=True)
class Tokens:
    """The tokens of some rows. lengths: of whole rows, before anything is cut.   learned: targets in one pass.   cuts: rows that lose a part."""

    lengths: Spread
    learned: int
    cuts: tuple[Cut, ...]


def tokens_of(encoder: Encoder, examples: Sequence[Example]) -> Tokens:
    """What these examples are to a model, rows of preferences counted by their better answer.

    Raises ModelError or DataError for rows the model cannot encode.
    """
    lengths: list[int] = []
    learned, cuts = 0, list[Cut]()
    for start in range(0, len(examples), AT_ONCE):
        part = examples[start : start + AT_ONCE]
        whole, rows = _encoded(encoder, [_imitated(example) for example in part])
        for example, before, row in zip(part, whole, rows, strict=True):
            lengths.append(len(before.tokens))
            learned += len(row.learned)
            if len(row.tokens) < len(before.tokens):
                lost, answer = len(before.tokens) - len(row.tokens), len(before.learned) - len(row.learned)
                cuts.append(Cut(example, len(before.tokens), lost - answer, answer))
    return Tokens(Spread.of(lengths), learned, tuple(cuts))


def _encoded(encoder: Encoder, examples: list[Example]) -> tuple[list[Row], list[Row]]:
    """The rows before and after the model's reach cuts them; the encoder's own count of cuts stays."""
    own = copy(encoder)
    own.cut = 0
    rows = own.rows(examples)
    if not own.cut:
        return rows, rows
    wide = copy(encoder)
    wide.longest = ENDLESS
    if isinstance(wide, PairEncoder):
        wide.longest_target = ENDLESS
    return wide.rows(examples), rows


def _imitated(example: Example) -> Example:
    return example if example.chosen is None else Example(prompt=example.prompt, completion=example.chosen)
