"""The page of an application: its curve over time, what each run scored, and examples; it opens offline, without a script."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from math import ceil, floor
from pathlib import Path
from typing import Any

from everlearn.disk import write_whole
from everlearn.errors import SettingError
from everlearn.report.page import environment
from everlearn.version import VERSION

WIDTH, HEIGHT, LEFT, BELOW = 640, 260, 46, 34  # of a chart, and what its axes take, in its own units
NAMED = 9  # names of periods that fit below an axis
TITLES = {"recommendation": "What readers chose next", "support": "What customers were told", "translation": "What was translated, and how"}
# By role; runs of everlearn take s0, s1, ... and baselines s3 on.
STYLES = {"plain": ("var(--plain)", ""), "frozen": ("var(--bound)", "2 4")}


@dataclass(frozen=True, slots=True)
class Curve:
    """A line of a chart: where it runs, its points with what they say, and how it looks."""

    name: str
    colour: str
    dash: str
    parts: tuple[str, ...]
    points: tuple[tuple[float, float, str], ...]


@dataclass(frozen=True, slots=True)
class Chart:
    """One measure over the periods. ticks: (height, text) on the left; names: (place, text) below.   rows: the same numbers."""

    measure: str
    meaning: str
    alt: str
    curves: tuple[Curve, ...]
    ticks: tuple[tuple[float, str], ...]
    names: tuple[tuple[float, str], ...]
    rows: tuple[tuple[str, ...], ...]


def write_application_page(out: str | Path, record: Mapping[str, Any]) -> Path:
    """Write the page of one application's record, as JSON has it; where it is.

    Raises SettingError for a name that is no page's, MissingExtra without the extra `report`.
    """
    path = Path(out)
    if path.is_dir() or path.suffix.lower() not in (".html", ".htm"):
        raise SettingError(f"out must be the page's own file, ending in .html, got {str(out)!r}. Name one, such as report.html.")
    text = (
        environment()
        .get_template("application.html")
        .render(
            record=record,
            title=TITLES[record["application"]],
            charts=[chart for measure in record["measures"] if (chart := _chart(record, measure)) is not None],
            totals=_totals(record),
            heads=list(dict.fromkeys(name for example in record["examples"] for name in example)),
            looks=_looks(record["lines"]),
            frame=(WIDTH, HEIGHT, LEFT, BELOW),
            version=VERSION,
            style=resources.files("everlearn.report").joinpath("page.css").read_text(encoding="utf-8"),
        )
    )
    write_whole(path, text.encode("utf-8", "replace"))
    return path


def _looks(lines: Sequence[Mapping[str, Any]]) -> dict[str, tuple[str, str]]:
    """Colour and dash of each line, so that none has to be told by colour alone."""
    found, own, others = dict[str, tuple[str, str]](), 0, 3
    for line in lines:
        if line["role"] in STYLES:
            found[line["name"]] = STYLES[line["role"]]
        elif line["role"] == "baseline":
            found[line["name"]] = (f"var(--s{others % 7})", ("8 4", "3 3")[others % 2])
            others += 1
        else:
            found[line["name"]] = (f"var(--s{own % 3})", "")
            own += 1
    return found


def _chart(record: Mapping[str, Any], measure: str) -> Chart | None:
    """None where no run has more than one number of it."""
    names = [str(period["name"]) for period in record["periods"]]
    given = {line["name"]: line["curves"].get(measure, []) for line in record["lines"]}
    values = [value for of in given.values() for value in of if value is not None]
    if len(names) < 2 or not values:
        return None
    low, high = _ends(min(values), max(values))

    def across(at: int) -> float:
        return round(LEFT + 8 + (WIDTH - LEFT - 24) * at / (len(names) - 1), 1)

    def up(value: float) -> float:
        return round(12 + (HEIGHT - BELOW - 12) * (high - value) / (high - low), 1)

    looks = _looks(record["lines"])
    curves = []
    for name, of in given.items():
        places = [None if value is None else (across(at), up(value)) for at, value in enumerate(of)]
        points = tuple((x, y, f"{name}, {names[at]}: {_percent(of[at])}") for at, place in enumerate(places) if place for x, y in [place])
        curves.append(Curve(name, *looks[name], tuple(_parts(places)), points))
    step = (high - low) / 4
    ticks = tuple((up(low + at * step), _percent(low + at * step, 0)) for at in range(5))
    shown = range(0, len(names), -(-len(names) // NAMED))
    below = tuple((across(at), names[at] if len(names[at]) <= 12 else names[at][:11] + "…") for at in shown)
    rows = tuple((name, *(_percent(value) for value in of)) for name, of in given.items())
    last = "; ".join(f"{row[0]} {row[-1]}" for row in rows)
    return Chart(measure, record["measures"][measure], f"{measure} by period, a line for each run. In the last: {last}.", tuple(curves), ticks, below, rows)


def _ends(low: float, high: float) -> tuple[float, float]:
    """Where an axis begins and ends: tenths around what it shows, never wider than 0 to 1, never without height.

    >>> _ends(0.42, 0.68), _ends(1.0, 1.0), _ends(0.0, 0.0)
    ((0.4, 0.7), (0.9, 1.0), (0.0, 0.1))
    """
    lower, upper = max(0, floor(10 * low + 1e-9)), min(10, ceil(10 * high - 1e-9))
    if lower >= upper:
        lower, upper = (lower, lower + 1) if lower < 10 else (9, 10)
    return lower / 10, upper / 10


def _parts(places: Sequence[tuple[float, float] | None]) -> list[str]:
    """The line's points as SVG has them, cut where there is no number."""
    parts: list[list[str]] = [[]]
    for place in places:
        if place is None:
            parts.append([])
        else:
            parts[-1].append(f"{place[0]},{place[1]}")
    return [" ".join(part) for part in parts if len(part) > 1]


def _totals(record: Mapping[str, Any]) -> list[tuple[Mapping[str, Any], list[tuple[str, str, str, bool]]]]:
    """Each line with its cells: (number, interval, difference from plain, is it the best)."""
    best = {measure: max((line["totals"].get(measure) or 0.0 for line in record["lines"]), default=0.0) for measure in record["measures"]}
    found = []
    for line in record["lines"]:
        cells = []
        for measure in record["measures"]:
            value, sure, apart = line["totals"].get(measure), line["intervals"].get(measure), line["against"].get(measure)
            between = f"{100 * sure[0]:.1f} to {100 * sure[1]:.1f}" if sure else ""
            shown = apart if measure == next(iter(record["measures"])) else None  # of the main measure alone, so that the table stays readable
            beside = f"{100 * shown[0]:+.1f} ({100 * shown[1]:+.1f} to {100 * shown[2]:+.1f}) from plain" if shown else ""
            cells.append((_percent(value), between, beside, value is not None and value == best[measure]))
        found.append((line, cells))
    return found


def _percent(value: float | None, digits: int = 1) -> str:
    return "–" if value is None else f"{100 * value:.{digits}f}"
