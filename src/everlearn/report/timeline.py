"""The stream as time went on: what its rows were of, where it changed, and how new rows fared before they were learned."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import JsonValue

from everlearn.evaluate.matrix import Cell, mean
from everlearn.report.drawing import Figure, axis, layout_of, look, plotly_text
from everlearn.report.saved import EventRecord, PrequentialRecord
from everlearn.report.sections import Method, Section
from everlearn.report.words import counted, listed, shown

COLOURS = 7  # @s0 to @s6


def events_of(section: Section) -> tuple[EventRecord, ...]:
    """Every change that was found in the stream as the first run had it, in order."""
    return tuple(sorted((event for experience in section.experiences for event in experience.events), key=lambda event: event.at))


def timeline_figures(section: Section) -> list[Figure]:
    """Those that the records are enough for: test-then-train, and what the rows were of."""
    return [figure for figure in (_tried(section, "windowed"), _tried(section, "anytime"), _composition(section)) if figure is not None]


def _tried(section: Section, what: str) -> Figure | None:
    """A line a method over rows; upright lines where the stream changed."""
    told = {method.number: record for method in section.methods if (record := _record(method)) is not None}
    if not told:
        return None
    first, drawn = next(iter(told.values())), [method for method in section.methods if method.number in told]
    curves = {number: _mean_over_runs(section.methods[number], record, what) for number, record in told.items()}
    title = "New rows before they are learned" if what == "windowed" else "The same, over all rows so far"
    about = f"Test, then train: the mean score ({first.score}) of {f'the last {first.window}' if what == 'windowed' else 'all'} new rows."
    events = events_of(section)
    about += _upright(events)
    layout = layout_of("rows that have come", "") | {"shapes": _lines([event.at for event in events])}
    ends = [str(end) for end in first.ends]
    rows = tuple((method.label, *(shown(value) for value in curves[method.number])) for method in drawn)
    last = "; ".join(f"{row[0]} {row[-1]}" for row in rows)
    data = [_line(section, method, told[method.number], curves[method.number]) for method in drawn]
    return Figure(title, about, f"{title}, a line for each method. At the end: {last}.", data, layout, ("method", *ends), rows, tuple(m.number for m in drawn))


def _record(method: Method) -> PrequentialRecord | None:
    return next((run.prequential for run in method.runs if run.prequential.ends), None)


def _mean_over_runs(method: Method, like: PrequentialRecord, what: str) -> list[Cell]:
    """The mean over the runs whose windows end where these do."""
    records = [run.prequential for run in method.runs if run.prequential.ends == like.ends]
    curves = [record.windowed if what == "windowed" else record.anytime for record in records]
    return [mean(curve[at] for curve in curves) for at in range(len(like.ends))]


def _line(section: Section, method: Method, record: PrequentialRecord, curve: Sequence[Cell]) -> JsonValue:
    style = look(method, section.methods)
    return {
        "x": list(record.ends),
        "y": list(curve),
        "mode": "lines",
        "meta": method.number,
        "name": plotly_text(method.label),
        "line": {"color": style.colour, "dash": style.dash, "width": 2},
        "hovertemplate": "row %{x}: %{y:.1%}<extra>%{fullData.name}</extra>",
    }


def _lines(places: Sequence[int]) -> list[JsonValue]:
    across: list[JsonValue] = []
    for place in places:
        across.append({"type": "line", "yref": "paper", "y0": 0, "y1": 1, "x0": place, "x1": place, "line": {"color": "@muted", "dash": "dot", "width": 1}})
    return across


def _upright(events: Sequence[EventRecord]) -> str:
    return f" Upright lines: {counted(len(events), 'change')} found." if events else ""


def _composition(section: Section) -> Figure | None:
    """A bar for each part that was learned together, as wide as it has rows, in the colours of what they are of."""
    parts = [experience for experience in section.experiences if experience.start is not None and experience.rows_of]
    if not parts:
        return None
    names = list(dict.fromkeys(name for part in parts for name in part.rows_of))
    starts, sizes = [part.start or 0 for part in parts], [sum(part.rows_of.values()) for part in parts]
    data: list[JsonValue] = []
    for number, name in enumerate(names):
        shares: list[JsonValue] = [part.rows_of.get(name, 0) / size for part, size in zip(parts, sizes, strict=True)]
        middle: list[JsonValue] = [start + size / 2 for start, size in zip(starts, sizes, strict=True)]
        pattern: JsonValue = {"shape": ("", "/", "x", ".")[number // COLOURS % 4]}
        line: JsonValue = {"width": 1, "color": "@paper"}
        data.append(
            {
                "type": "bar",
                "x": middle,
                "y": shares,
                "width": list(sizes),
                "name": plotly_text(name),
                "marker": {"color": f"@s{number % COLOURS}", "pattern": pattern, "line": line},
                "hovertemplate": "%{y:.0%}<extra>%{fullData.name}</extra>",
            }
        )
    events = events_of(section)
    layout = layout_of("rows that have come", "") | {"barmode": "stack", "shapes": _lines([event.at for event in events])}
    layout["yaxis"] = axis("") | {"range": [0, 1], "tickformat": ".0%"}
    about = f"Each part was learned together; its colours are the experiences that its rows are of, which no learner was told.{_upright(events)}"
    rows = tuple((part.name, f"{part.start:,}", *(str(part.rows_of.get(name, 0)) for name in names)) for part in parts)
    alt = f"What the rows of each of {len(parts)} parts are of: {listed(names)}."
    return Figure("What came", about, alt, data, layout, ("part", "begins at row", *names), rows, ())
