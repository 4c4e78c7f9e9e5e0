"""What an application's runs found, as the page and programs read it: curves by period, totals with intervals, examples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from everlearn.evaluate.intervals import DRAWS, Array, Interval, at_ends, drawn_by_fact, interval, means
from everlearn.evaluate.matrix import mean
from everlearn.results import write_json
from everlearn.types import Example

if TYPE_CHECKING:
    from rich.table import Table

Cell = float | None
# By measure and period one number an answer, None where it does not count.
Values = Mapping[str, Sequence[Sequence[Cell]]]


@dataclass(slots=True)
class Line:
    """One run or baseline. role: "everlearn", "plain", "frozen" or "baseline".   curves: by measure, one number a period, None where none was asked.

    totals: by measure, the mean over all that was asked.   intervals: 95 % of the bootstrap.   against: by measure, the paired difference from plain with its
    interval, (mean, low, high).   seconds: by what they went into.
    """

    name: str
    role: str
    curves: dict[str, list[Cell]]
    totals: dict[str, Cell]
    intervals: dict[str, list[float]] = field(default_factory=dict)
    against: dict[str, list[float]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)


@dataclass(slots=True)
class Record:
    """A whole run of an application.

    periods: each with its name, and how much was learned in it and asked of it.   measures: what each one means, the main one first.   examples: by head
    what was asked, what was right and what each run made of it.   notes: what a reader must know.
    """

    application: str
    data: str
    about: str
    model: str
    settings: dict[str, object]
    periods: list[dict[str, object]]
    measures: dict[str, str]
    lines: list[Line]
    examples: list[dict[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    command: str = ""
    created: str = ""

    def to_json(self) -> dict[str, object]:
        return asdict(self)

    def save(self, path: Path) -> None:
        """Write it as JSON, whole or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, self.to_json())


def cell(value: Cell, sure: Sequence[float] | None = None) -> str:
    """A share in per cent with its interval.

    >>> cell(0.5, [0.4, 0.61]), cell(None)
    ('50.0 (40.0 to 61.0)', '–')
    """
    if value is None:
        return "–"
    return f"{100 * value:.1f} ({100 * sure[0]:.1f} to {100 * sure[1]:.1f})" if sure else f"{100 * value:.1f}"


def line_of(name: str, role: str, values: Values, together: Sequence[str], plain: Values | None = None) -> Line:
    """A line from single values. values: of the run, by measure and period.

    together: for each answer, in the same order, whose it is: answers of one reader are right or wrong together, and are drawn together.   plain: the same
    of plain, answer by answer, for paired differences.
    """
    curves = {measure: [mean(of) for of in periods] for measure, periods in values.items()}
    flat = {measure: [value for of in periods for value in of] for measure, periods in values.items()}
    line = Line(name, role, curves, {measure: mean(of) for measure, of in flat.items()})
    for measure, of in flat.items():
        counted = [at for at, value in enumerate(of) if value is not None]
        if not counted:
            continue
        mine, whose = np.array([of[at] for at in counted], dtype=float), [together[at] for at in counted]
        if (sure := at_ends(_interval(mine, whose), len(set(whose)))) is not None:
            line.intervals[measure] = [*sure]
        if plain is not None and measure in plain:
            theirs = [value for part in plain[measure] for value in part]
            apart = mine - np.array([theirs[at] for at in counted], dtype=float)
            if (between := _interval(apart, whose)) is not None:
                line.against[measure] = [float(apart.mean()), *between]
    return line


def _interval(values: Array, together: Sequence[str]) -> Interval | None:
    """95 % of the bootstrap of a mean, those that belong together drawn together."""
    numbers = {who: at for at, who in enumerate(dict.fromkeys(together))}
    drawn = drawn_by_fact({"": len(together)}, {"": [numbers[who] for who in together]}, 0, DRAWS)[""]
    return interval(means(drawn, values[None])[:, 0])


def role_of(label: str) -> str:
    """What a run is to a reader.

    >>> role_of("plain"), role_of("frozen"), role_of("keep_current")
    ('plain', 'frozen', 'everlearn')
    """
    return label if label in ("plain", "frozen") else "everlearn"


def hidden(rows: Sequence[Example]) -> tuple[Example, ...]:
    """The rows as a learner sees them: without their tasks' names."""
    return tuple(replace(e, task=None) for e in rows)


def terminal_table(record: Record) -> Table:
    """The totals for a terminal, per cent."""
    from rich.markup import escape
    from rich.table import Table

    shown = Table(title=escape(f"{record.application}: {record.data} · {Path(record.model).name}, per cent"), caption="In brackets 95 % of the bootstrap.")
    for place, head in enumerate(("", *record.measures)):
        shown.add_column(escape(head), justify="right" if place else "left", overflow="fold")
    for line in record.lines:
        shown.add_row(escape(line.name), *(cell(line.totals.get(name), line.intervals.get(name)) for name in record.measures))
    return shown
