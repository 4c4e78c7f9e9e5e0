"""How a figure is drawn: one look a method, plotly's own JSON, and the same numbers as a table.

Colours are names of the page's own variables ("@s1"), put in by its script, so that figures follow light, dark and print.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import JsonValue

from everlearn.evaluate.matrix import Cell, mean
from everlearn.report.saved import RunRecord
from everlearn.report.sections import Method, Section
from everlearn.report.words import plain_number, shown

SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "x", "star")
DASHES = ("solid", "dash", "dashdot")
COLOURS = 7  # @s0 to @s6, then again with another dash
LONGEST = 13  # letters of an experience's name below an axis
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', sans-serif"

Curve = Sequence[Cell]
Unit = Literal["score", "share", "number", "level"]


@dataclass(frozen=True, slots=True)
class Figure:
    """alt: what it shows, in a sentence.   heads, rows: its numbers.   methods: the numbers of those it draws, a trace each, with `meta`."""

    title: str
    about: str
    alt: str
    data: list[JsonValue]
    layout: dict[str, JsonValue]
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    methods: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Look:
    """How a method is drawn everywhere: colour, dash and symbol, so that none has to be told by colour alone."""

    colour: str
    dash: str
    symbol: str


def look(method: Method, methods: Sequence[Method]) -> Look:
    """Bounds and plain are grey; the others take the palette in order."""
    if method.bound:
        return Look("@bound", "dot", "diamond-open") if method.bound == "frozen" else Look("@bound", "dash", "square-open")
    if method.plain:
        return Look("@plain", "solid", "circle-open")
    place = [other for other in methods if not other.bound and not other.plain].index(method)
    return Look(f"@s{place % COLOURS}", DASHES[place // COLOURS % len(DASHES)], SYMBOLS[place % len(SYMBOLS)])


def pooled(method: Method, curve: Callable[[RunRecord], Curve]) -> Curve:
    """The mean over a method's runs, place by place; empty where no run has the curve."""
    curves = [found for run in method.runs if (found := curve(run))]
    return [mean(found[i] for found in curves) for i in range(len(curves[0]))] if curves else []


def line_figure(section: Section, title: str, about: str, curves: Mapping[int, Curve], unit: Unit = "score") -> Figure:
    """A line a method over the stream; curves by method number, T + 1 values each.

    unit: a score is drawn from 0 to 100 %, a share and a number from 0, a level where it lies.
    """
    ticks = _ticks(section)
    drawn = [method for method in section.methods if any(value is not None for value in curves.get(method.number, ()))]
    data: list[JsonValue] = [_line(section, method, ticks, curves[method.number], unit) for method in drawn]
    layout = _layout()
    layout["xaxis"] = axis("") | {"type": "category", "categoryorder": "array", "categoryarray": list(ticks), "tickangle": "auto"}
    layout["yaxis"] = axis("") | _upright(unit)
    rows = tuple((method.label, *(_number(value, unit in ("score", "share")) for value in curves[method.number])) for method in drawn)
    last = "; ".join(f"{row[0]} {row[-1]}" for row in rows)
    return Figure(title, about, f"{title}, a line for each method. At the end: {last}.", data, layout, ("method", *ticks), rows, tuple(m.number for m in drawn))


def point(section: Section, method: Method, x: float, y: float, ends: tuple[float, float] | None) -> JsonValue:
    """One marker with its 95 % interval upright."""
    style = look(method, section.methods)
    bars: JsonValue = None
    if ends is not None:
        bars = {"type": "data", "symmetric": False, "array": [ends[1] - y], "arrayminus": [y - ends[0]], "color": style.colour, "thickness": 1.5, "width": 4}
    return {
        "x": [x],
        "y": [y],
        "error_y": bars,
        "mode": "markers",
        "meta": method.number,
        "name": plotly_text(method.label),
        "marker": {"color": style.colour, "symbol": style.symbol, "size": 11},
        "hovertemplate": "%{x:.1f} s, %{y:.1%}<extra>%{fullData.name}</extra>",
    }


def layout_of(x: str, y: str) -> dict[str, JsonValue]:
    """The frame of a figure with two numbers on its axes."""
    return _layout() | {"xaxis": axis(x), "yaxis": axis(y) | {"tickformat": ".0%"}}


def axis(title: str) -> dict[str, JsonValue]:
    titled: dict[str, JsonValue] = {"title": {"text": title, "standoff": 8, "font": {"size": 13}}} if title else {}
    return titled | {
        "automargin": True,
        "fixedrange": True,
        "gridcolor": "@line",
        "linecolor": "@line",
        "zerolinecolor": "@line",
        "ticks": "",
    }


def plotly_text(text: str) -> str:
    """Text that plotly shows as it is: it reads some HTML tags itself, so they must not reach it as tags."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _line(section: Section, method: Method, ticks: Sequence[str], curve: Curve, unit: str) -> JsonValue:
    style = look(method, section.methods)
    return {
        "x": list(ticks),
        "y": list(curve),
        "text": [_number(value, unit in ("score", "share")) for value in curve],
        "mode": "lines+markers",
        "meta": method.number,
        "name": plotly_text(method.label),
        "line": {"color": style.colour, "dash": style.dash, "width": 2},
        "marker": {"color": style.colour, "symbol": style.symbol, "size": 7},
        "connectgaps": False,
        "hovertemplate": "%{x}: %{text}<extra>%{fullData.name}</extra>",
    }


def _layout() -> dict[str, JsonValue]:
    return {
        "height": 260,
        "margin": {"l": 46, "r": 12, "t": 10, "b": 24},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": FONT, "size": 13, "color": "@muted"},
        "hoverlabel": {"bgcolor": "@paper", "bordercolor": "@line", "font": {"color": "@ink", "family": FONT}},
        "showlegend": False,
        "dragmode": False,
    }


def _upright(unit: str) -> dict[str, JsonValue]:
    if unit == "score":
        return {"range": [-0.03, 1.03], "tickformat": ".0%"}
    if unit == "level":
        return {"rangemode": "normal"}
    return {"rangemode": "tozero", "tickformat": ".1~%" if unit == "share" else ""}


def _ticks(section: Section) -> tuple[str, ...]:
    """'before', then the experiences by name; by their place where runs took them in different orders or names repeat."""
    names = [plotly_text(name if len(name) <= LONGEST else name[: LONGEST - 1] + "…") for name in section.first.matrix.experiences]
    by_place = any(run.order for method in section.methods for run in method.runs) or len(set(names)) < len(names)
    return ("before", *([f"no. {place}" for place in range(1, len(names) + 1)] if by_place else names))


def _number(value: Cell, share: bool) -> str:
    return shown(value) if share else plain_number(value)
