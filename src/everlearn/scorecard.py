"""What an evaluation found: scores with their intervals, the difference to a second model, the tables and the JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

from everlearn.evaluate.intervals import at_ends, mean_interval
from everlearn.evaluate.paired import sign_test
from everlearn.results import write_json

if TYPE_CHECKING:
    from rich.table import Table

Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Scored:
    """One task or probe: its mean over the examples that count, 0 to 1, with the 95 % bootstrap interval over them (exact where all are 0 or all 1).

    kind: of score.   values: one an example, by its id.   chance: the score of a guess, where that is known.   stale: the share of outdated
    answers among the rows that could show one.   corpus: the figures that papers quote for the whole set (chrF2, BLEU, ROUGE, nDCG).
    """

    name: str
    kind: str
    values: Mapping[str, float]
    chance: float | None = None
    stale: float | None = None
    corpus: Mapping[str, float] = field(default_factory=dict)

    @property
    def score(self) -> float | None:
        return fmean(self.values.values()) if self.values else None

    @property
    def interval(self) -> Interval | None:
        return at_ends(mean_interval(list(self.values.values())), len(self.values)) if self.values else None

    def to_json(self) -> dict[str, object]:
        return {**asdict(self), "examples": len(self.values), "score": self.score, "interval": self.interval}


@dataclass(frozen=True, slots=True)
class Difference:
    """The model less the one it is compared with, on the same examples.

    value: the mean difference, -1 to 1, with its 95 % bootstrap interval over examples.   gained, lost: examples that score higher, lower.
    p: how likely so uneven a split of those is if both were equally likely (exact sign test, for right and wrong McNemar's), two-sided.

    >>> Difference.of("t", {"a": 1.0, "b": 0.0, "c": 1.0}, {"a": 0.0, "b": 0.0, "c": 1.0}).gained
    1
    """

    name: str
    value: float
    interval: Interval
    gained: int
    lost: int
    p: float

    @classmethod
    def of(cls, name: str, mine: Mapping[str, float], theirs: Mapping[str, float]) -> Difference:
        """From the scores of the same examples, by their ids."""
        less = [value - theirs[key] for key, value in mine.items()]
        gained, lost = sum(value > 0 for value in less), sum(value < 0 for value in less)
        return cls(name, fmean(less), mean_interval(less), gained, lost, sign_test(gained, lost))


@dataclass(frozen=True, slots=True)
class Text:
    """Anchor text under one model: exp(nats per token), nats per UTF-8 byte, and the tokens it has there."""

    perplexity: float
    nats_per_byte: float
    tokens: int


@dataclass(frozen=True, slots=True)
class Against:
    """The second model. scored, text: its own.   kl: KL(it || the model) in nats per token on anchor text, None where their tokens differ."""

    model: str
    scored: Sequence[Scored]
    differences: Sequence[Difference]
    text: Text
    kl: float | None


@dataclass(frozen=True, slots=True)
class Scorecard:
    """One model on the tasks of a stream, on probes, on anchor text and on lm-eval's tasks.

    after: the experience after which the stream's answers are held true, 0 for before it.   harness: by lm-eval task, its metrics.

    >>> card = Scorecard("tiny", "almanac", 0, [Scored("kept", "exact", {"a": 1.0, "b": 0.0})], Text(9.5, 0.7, 12))
    >>> card.scored[0].score, card.to_json()["text"]
    (0.5, {'perplexity': 9.5, 'nats_per_byte': 0.7, 'tokens': 12})
    """

    model: str
    stream: str
    after: int
    scored: Sequence[Scored]
    text: Text
    against: Against | None = None
    harness: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    version: str = ""

    def to_json(self) -> dict[str, object]:
        """Everything, one number an example included; what is no number any more (a model that diverged) is null."""
        card = {**asdict(self), "scored": [found.to_json() for found in self.scored]}
        if self.against is not None:
            card["against"] = {**asdict(self.against), "scored": [found.to_json() for found in self.against.scored]}
        return {name: _finite(value) for name, value in card.items()}

    def save(self, path: Path) -> None:
        """Write aside, flush, rename."""
        write_json(path, self.to_json())

    def heads(self) -> list[str]:
        """The names over `rows`."""
        more = ["against %", "difference", "95 %", "gained", "lost", "p"] if self.against else []
        return ["task", "score", "examples", "%", "95 %", "chance %", "stale %", *more]

    def rows(self) -> list[list[str]]:
        """The table's cells, one row a task or probe."""
        return [self._row(at, found) for at, found in enumerate(self.scored)]

    def _row(self, at: int, found: Scored) -> list[str]:
        cells = [found.name, found.kind, str(len(found.values)), _percent(found.score), _between(found.interval), _percent(found.chance), _percent(found.stale)]
        if self.against is None:
            return cells
        differences = {less.name: less for less in self.against.differences}
        if found.name not in differences:
            return [*cells, *["–"] * 6]
        less = differences[found.name]
        counts = [str(less.gained), str(less.lost), f"{less.p:.3f}"]
        return [*cells, _percent(self.against.scored[at].score), f"{100 * less.value:+.1f}", _between(less.interval), *counts]

    def notes(self) -> list[str]:
        """What the table does not show, a sentence each."""
        lines = [f"Anchor text: perplexity {self.text.perplexity:.5g} over {self.text.tokens} tokens, {self.text.nats_per_byte:.4f} nats a byte."]
        if self.against is not None:
            theirs = self.against.text
            lines.append(f"Against: perplexity {theirs.perplexity:.5g} over {theirs.tokens} tokens, {theirs.nats_per_byte:.4f} nats a byte.")
            undefined = "KL is not defined: the two models have different tokens."
            lines.append(undefined if self.against.kl is None else f"KL(against || model): {self.against.kl:.5f} nats a token.")
        lines += [f"{found.name}: " + ", ".join(f"{name} {100 * value:.1f}" for name, value in found.corpus.items()) for found in self.scored if found.corpus]
        lines += [
            f"lm-eval {task}: " + ", ".join(f"{name} {value:.4f}" for name, value in metrics.items() if "stderr" not in name)
            for task, metrics in self.harness.items()
        ]
        return lines

    def table(self) -> Table:
        """The table for a terminal, without the columns that say nothing here."""
        from rich.markup import escape
        from rich.table import Table

        names = f"{Path(self.model).name}" + (f" against {Path(self.against.model).name}" if self.against else "")
        shown = Table(title=escape(f"{self.stream} · {names}"), caption="95 %: bootstrap over examples. Task ids are hidden at test.")
        columns = [column for column in zip(self.heads(), *self.rows(), strict=True) if set(column[1:]) != {"–"}]
        for place, (head, *_) in enumerate(columns):
            shown.add_column(escape(head), justify="right" if place > 1 else "left", overflow="fold")
        for line in list(zip(*columns, strict=True))[1:]:
            shown.add_row(*map(escape, line))
        return shown


def _finite(value: object) -> object:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {name: _finite(part) for name, part in value.items()}
    return [_finite(part) for part in value] if isinstance(value, list | tuple) else value


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}"


def _between(given: Interval | None) -> str:
    return "–" if given is None else f"{100 * given[0]:.1f} to {100 * given[1]:.1f}"
