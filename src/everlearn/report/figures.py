"""The page's figures: scores over the stream, cost against quality, and what else moved."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from pydantic import JsonValue

from everlearn.evaluate.matrix import Cell, Matrix, mean
from everlearn.report.drawing import Curve, Figure, axis, layout_of, line_figure, look, point, pooled
from everlearn.report.saved import RunRecord
from everlearn.report.sections import QUALITY, Method, Section
from everlearn.report.standing import front
from everlearn.report.words import NONE, between, listed, shown

START = 0.1  # where no chance level is given, a task whose first score is above this was known before
LOGARITHMIC = 20  # from this ratio of learning times on, their axis is logarithmic

SAID = {
    "kl": ("Distance from the start", "KL divergence from the untouched model, in nats per token; 0 is unchanged."),
    "nats_per_byte": ("Nats per byte", "Of text the stream does not teach; lower is better, and models with other tokens compare."),
    "perplexity": ("Perplexity", "On text the stream does not teach; lower is better."),
}

Chosen = Callable[[Matrix, int], list[int]]


def stream_figures(section: Section, kind: str) -> list[Figure]:
    """What was known before, what was learned earlier, and what is new, over the stream; tasks of one kind of score."""
    chance = {task.name: START if task.chance is None else task.chance for task in section.tasks}
    before = "Mean of the tasks the stream never teaches and the untouched model scored above chance on (above 10 % where no chance level is given)."
    panels: list[tuple[str, str, Chosen]] = [
        ("Known before the stream", before, partial(_known, chance)),
        ("Learned so far", "Mean of all tasks taught up to here: what falls was forgotten, or is diluted by what was learned badly.", _taught),
        ("Just learned", "Mean of the tasks that this experience is the first to teach.", _new),
    ]
    found = []
    for title, about, chosen in panels:
        curves = {method.number: pooled(method, partial(_curve, kind, chosen)) for method in section.methods}
        if any(value is not None for curve in curves.values() for value in curve):
            found.append(line_figure(section, title, about, curves))
    return found


def cost_figure(section: Section) -> Figure | None:
    """Learning time against what is known at the end, with the Pareto front; references are lines across, joint a point at its own cost too."""
    points = [(method, x, y) for method in section.methods if (x := method.cost("learn_seconds")) is not None and (y := method.metric(QUALITY)) is not None]
    usable = [place for place in points if not place[0].bound]
    if not usable:
        return None
    best = front([method for method, _, _ in usable], _seconds, _quality)
    across: list[JsonValue] = [_across(section, method, y) for method, _, y in points if method.bound]
    times = [x for method, x, _ in points if not method.bound or method.bound == "joint"]
    wide = max(times) > LOGARITHMIC * max(min(times), 1e-9)
    layout = layout_of("seconds of learning", "score at the end") | {"shapes": across}
    layout["xaxis"] = axis("seconds of learning") | ({"type": "log"} if wide else {"rangemode": "tozero"})
    data: list[JsonValue] = [_front_line(best)]
    data += [_unseen(times[0], y) for method, _, y in points if method.bound]
    data += [point(section, method, x, y, method.interval(QUALITY)) for method, x, y in points if not method.bound or method.bound == "joint"]
    names = listed([method.label for method in best])
    rows = tuple((m.label, shown(x, "seconds"), shown(y), between(m.interval(QUALITY)) or NONE, _place(m, best)) for m, x, y in points)
    lines = " Lines across are references." if across else ""
    about = f"Up and to the left is better.{lines} On the Pareto front, where no other method is both cheaper and better: {names}."
    alt = f"Score at the end against seconds of learning. On the Pareto front: {names}."
    heads = ("method", "learning", "at the end", "95 % interval", "on the front")
    return Figure("Cost against quality", about, alt, data, layout, heads, rows, tuple(method.number for method, _, _ in points))


def extra_figures(section: Section) -> list[Figure]:
    """Outdated answers, distance from the start, perplexity and probes, those that were measured."""
    found = []
    stale = _by_method(section, lambda run: [mean(row) for row in run.staleness])
    if any(value for curve in stale.values() for value in curve):
        found.append(line_figure(section, "Outdated answers", "Share of answers that were true before, mean over tasks; 0 is best.", stale, unit="share"))
    for name in _names(section, lambda run: run.divergence):
        title, about = SAID.get(name, (name.replace("_", " ").capitalize(), ""))
        curves = _by_method(section, partial(_divergence, name))
        found.append(line_figure(section, title, about, curves, unit="level" if name in ("perplexity", "nats_per_byte") else "number"))
    for name, curves in _probes(section).items():
        if not _at_the_ends(curves):
            about = "A probe: share of right answers to what the stream does not teach."
            found.append(line_figure(section, name.replace("_", " ").capitalize(), about, curves))
    return found


def probe_columns(section: Section) -> list[tuple[str, list[str]]]:
    """Each probe that was taken before and at the end alone, with both numbers of every method: a table says that better than a figure."""
    return [
        (name.replace("_", " "), [f"{shown(curve[0])} → {shown(curve[-1])}" if (curve := curves[method.number]) else NONE for method in section.methods])
        for name, curves in _probes(section).items()
        if _at_the_ends(curves)
    ]


def _probes(section: Section) -> dict[str, dict[int, Curve]]:
    return {name: _by_method(section, partial(_probe, name)) for name in _names(section, lambda run: run.probes)}


def _at_the_ends(curves: Mapping[int, Curve]) -> bool:
    return not any(value is not None for curve in curves.values() for value in curve[1:-1])


def _by_method(section: Section, curve: Callable[[RunRecord], Curve]) -> dict[int, Curve]:
    return {method.number: pooled(method, curve) for method in section.methods}


def _names(section: Section, named: Callable[[RunRecord], Mapping[str, Curve]]) -> list[str]:
    return list(dict.fromkeys(name for method in section.methods for run in method.runs for name in named(run)))


def _divergence(name: str, run: RunRecord) -> Curve:
    return run.divergence.get(name, ())


def _probe(name: str, run: RunRecord) -> Curve:
    return run.probes.get(name, ())


def _known(chance: Mapping[str, float], matrix: Matrix, i: int) -> list[int]:
    return [j for j, at in enumerate(matrix.learned) if at == 0 and (matrix.rows[0][j] or 0.0) > chance.get(matrix.tasks[j], START)]


def _taught(matrix: Matrix, i: int) -> list[int]:
    return [j for j, at in enumerate(matrix.learned) if 1 <= at <= i]


def _new(matrix: Matrix, i: int) -> list[int]:
    return [j for j, at in enumerate(matrix.learned) if at == i > 0]


def _curve(kind: str, chosen: Chosen, run: RunRecord) -> list[Cell]:
    matrix = run.scores
    return [mean(row[j] for j in chosen(matrix, i) if matrix.kinds[j] == kind) for i, row in enumerate(matrix.rows)]


def _seconds(method: Method) -> Cell:
    return method.cost("learn_seconds")


def _quality(method: Method) -> Cell:
    return method.metric(QUALITY)


def _place(method: Method, best: list[Method]) -> str:
    return "a reference" if method.bound else "yes" if method in best else "no"


def _across(section: Section, method: Method, y: float) -> JsonValue:
    dash = look(method, section.methods).dash
    return {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": y, "y1": y, "line": {"color": "@bound", "dash": dash, "width": 2}}


def _unseen(x: float, y: float) -> JsonValue:
    """Makes room for a bound's line: plotly does not count shapes when it chooses the range of an axis."""
    return {"x": [x], "y": [y], "mode": "markers", "marker": {"opacity": 0}, "hoverinfo": "skip"}


def _front_line(best: list[Method]) -> JsonValue:
    xs: list[JsonValue] = [_seconds(method) for method in best]
    ys: list[JsonValue] = [_quality(method) for method in best]
    return {"x": xs, "y": ys, "mode": "lines", "line": {"color": "@muted", "width": 1, "shape": "hv"}, "hoverinfo": "skip"}
