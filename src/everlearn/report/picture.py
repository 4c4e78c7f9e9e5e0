"""The table's message as one picture, for a README."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from textwrap import wrap

from pydantic import JsonValue

from everlearn.errors import SettingError
from everlearn.report.drawing import FONT, plotly_text
from everlearn.report.page import missing
from everlearn.report.sections import QUALITY, Method, Section, read_sections
from everlearn.report.verdict import verdict
from everlearn.report.words import Unit, shown, task_ids_told

WIDTH = 1600  # pixels
ROW, HEAD, FOOT = 74, 190, 44  # pixels of a method, of what stands above a section's methods, and below them
INK, MUTED, LINE, ACCENT, GREY = "#1b1e23", "#5a626e", "#dfe2e6", "#1a5fb4", "#868e99"
PALE = "#c9ced6"
LINES: dict[str, JsonValue] = {"color": INK, "thickness": 2, "width": 5}
LONGEST = 34  # letters of a method's name in a line
TITLE = 70  # letters of a headline in a line
Panel = tuple[str, str, Unit]  # the head, the metric or cost, its unit


def write_picture(folders: str | Path | Sequence[str | Path], out: str | Path) -> Path:
    """A PNG, 1600 pixels wide: of each method what is known at the end, what was lost, and the time it took; returns where it is.

    Raises what `write_report` raises, MissingExtra without the extra `png`, and SettingError where no Chrome or Chromium is installed to draw with.
    """
    path = picture_place(out)
    sections = read_sections([folders] if isinstance(folders, str | Path) else list(folders))
    try:
        from plotly.io import to_image
    except ImportError as problem:
        raise missing("plotly", "png") from problem
    figure = drawn(sections)
    try:
        pixels = to_image(figure, format="png", width=WIDTH, height=height_of(sections), scale=1)
    except (ImportError, ValueError) as problem:
        raise missing("kaleido", "png") from problem
    except RuntimeError as problem:
        raise SettingError(
            f"the picture needs Chrome or Chromium to be drawn with, and it did not start (png={str(out)!r}): {problem}"
            " Install one, such as the package chromium, or leave the picture out."
        ) from problem
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pixels)
    return path


def picture_place(out: str | Path) -> Path:
    """Where the picture goes. Raises SettingError for a name that is no PNG's, so that nothing need be written before it is refused."""
    path = Path(out)
    if path.is_dir() or path.suffix.lower() != ".png":
        raise SettingError(f"png must be a file ending in .png, got {str(out)!r}. Name one, such as report.png.")
    return path


def panels(section: Section) -> tuple[Panel, Panel, Panel]:
    """What is known, what was lost or (on the almanac) kept, and the time it took."""
    kept = any(method.metric("kept") is not None for method in section.methods)
    lost: Panel = ("of the unchanged kept", "kept", "share") if kept else ("lost, in points", "forgetting", "points")
    return ("known at the end", QUALITY, "share"), lost, ("learning time", "learn_seconds", "seconds")


def height_of(sections: Sequence[Section]) -> int:
    """Pixels."""
    return sum(HEAD + FOOT + ROW * len(section.methods) for section in sections)


def drawn(sections: Sequence[Section]) -> dict[str, JsonValue]:
    """The picture as plotly's JSON: a band a section, three panels each, the best method in the accent colour."""
    height, top = height_of(sections), 0
    data: list[JsonValue] = []
    notes: list[JsonValue] = []
    layout: dict[str, JsonValue] = {"paper_bgcolor": "#ffffff", "plot_bgcolor": "#ffffff", "showlegend": False, "margin": {"l": 0, "r": 0, "t": 0, "b": 0}}
    layout["font"] = {"family": FONT, "size": 22, "color": INK}
    for number, section in enumerate(sections):
        tall = HEAD + FOOT + ROW * len(section.methods)
        upper, lower = 1 - (top + HEAD) / height, 1 - (top + tall - FOOT) / height
        notes += _titles(section, 1 - top / height, height)
        for panel, shown_panel in enumerate(panels(section)):
            axes = str(number * 3 + panel + 1)
            left, right = (0.285 + panel * 0.245, 0.285 + panel * 0.245 + 0.205)
            layout |= _axes(section, axes, (left, right), (lower, upper), panel, shown_panel[1])
            notes.append(_note(f"<b>{shown_panel[0]}</b>", left, upper + 12 / height, "bottom", 23))
            data += _bars(section, axes, shown_panel)
        top += tall
    return {"data": data, "layout": layout | {"annotations": notes}}


def _titles(section: Section, top: float, height: int) -> list[JsonValue]:
    ids = task_ids_told(section.task_ids)
    known = any(method.interval(QUALITY) for method in section.methods)
    lines = "; lines are 95 % intervals over test questions" if known else ""
    under = f"{section.stream}, {section.model}. Scores: {section.main_kind}{lines}. {ids}"
    head = wrap(verdict(section).headline, TITLE)[:2]
    title = "<br>".join(f"<b>{plotly_text(line)}</b>" for line in head)
    return [
        _note(title, 0.02, top - (34 if len(head) == 1 else 14) / height, "top", 36 if len(head) == 1 else 27),
        _note(plotly_text(under), 0.02, top - 88 / height, "top", 21, MUTED),
    ]


def _note(text: str, x: float, y: float, anchor: str, size: int, colour: str = INK) -> JsonValue:
    return {
        "text": text,
        "x": x,
        "y": y,
        "xref": "paper",
        "yref": "paper",
        "xanchor": "left",
        "yanchor": anchor,
        "showarrow": False,
        "align": "left",
        "font": {"size": size, "color": colour},
    }


def _order(section: Section) -> list[Method]:
    return [*section.ranked, *(method for method in section.methods if method.bound)]


def _axes(section: Section, axes: str, across: tuple[float, float], up: tuple[float, float], panel: int, metric: str) -> dict[str, JsonValue]:
    """Methods from the top down; their names stand at the first panel only. Room is left right of the longest bar for its number."""
    values = [value for method in section.methods if (value := _value(method, metric)) is not None]
    most = 1.0 if metric in (QUALITY, "kept") else max([*values, 1e-9])
    rows = _order(section)
    x: dict[str, JsonValue] = {
        "domain": list(across),
        "anchor": f"y{axes}",
        "range": [min([0.0, *values]), (1.6 if metric == "learn_seconds" else 1.34) * most],
        "showgrid": False,
        "showticklabels": False,
    }
    y: dict[str, JsonValue] = {"domain": list(up), "anchor": f"x{axes}", "range": [len(rows) - 0.5, -0.5], "showgrid": False, "zeroline": False, "ticks": ""}
    y |= {"tickvals": list(range(len(rows))), "ticktext": [_name(method) for method in rows], "showticklabels": panel == 0}
    return {f"xaxis{axes}": x | {"zeroline": True, "zerolinecolor": LINE, "zerolinewidth": 2}, f"yaxis{axes}": y}


def _bars(section: Section, axes: str, panel: Panel) -> list[JsonValue]:
    """A bar a method with its interval, and its number to the right of both."""
    found: list[JsonValue] = []
    _, metric, unit = panel
    for place, method in enumerate(_order(section)):
        value, on = _value(method, metric), _on(axes, place)
        ends = None if metric == "learn_seconds" else method.interval(metric)
        bar = on | {"type": "bar", "orientation": "h", "x": [value or 0.0], "width": 0.46, "marker": {"color": _colour(section, method)}}
        if ends is not None and value is not None:
            bar["error_x"] = {"type": "data", "symmetric": False, "array": [ends[1] - value], "arrayminus": [value - ends[0]], **LINES}
        number = on | {"type": "scatter", "mode": "text", "text": [f"  {shown(value, unit)}"], "textposition": "middle right", "cliponaxis": False}
        found += [bar, number | {"x": [max(value or 0.0, ends[1] if ends is not None else 0.0, 0.0)]}]
    return found


def _on(axes: str, place: int) -> dict[str, JsonValue]:
    return {"xaxis": f"x{axes}", "yaxis": f"y{axes}", "y": [place]}


def _colour(section: Section, method: Method) -> str:
    """The best of several in the accent colour, bounds pale."""
    if method.bound:
        return PALE
    return ACCENT if len(section.ranked) > 1 and method is section.ranked[0] else GREY


def _value(method: Method, metric: str) -> float | None:
    return method.cost(metric) if metric == "learn_seconds" else method.metric(metric)


def _name(method: Method) -> str:
    """In lines of what a picture has room for, broken where methods are joined."""
    lines = [""]
    for part in method.label.replace("+", "+\n").split("\n"):
        lines = [*lines[:-1], lines[-1] + part] if len(lines[-1] + part) <= LONGEST else [*lines, part]
    cut = [line if len(line) <= LONGEST else line[: LONGEST - 1] + "…" for line in lines if line]
    return "<br>".join(f"{plotly_text(line)}  " for line in cut[:2]) + ("(reference)  " if method.bound else "")
