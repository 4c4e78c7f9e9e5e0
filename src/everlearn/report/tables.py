"""The page's tables, as rows of cells ready to be shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from everlearn.evaluate.matrix import Cell
from everlearn.report.sections import QUALITY, Method, Section
from everlearn.report.standing import Gap, averaged, gap, ranks, tied
from everlearn.report.words import ALMANAC, COSTS, ELSE, GENERAL, NONE, TRANSFER, Column, between, counted, plain_number, shown, signed

FIRST = (QUALITY, "forgetting", "kept")  # the differences one looks at first


@dataclass(frozen=True, slots=True)
class Shown:
    """A cell.   beside: its interval.   range: of several runs.   best: of all that can be used."""

    text: str
    beside: str = ""
    range: str = ""
    best: bool = False


@dataclass(frozen=True, slots=True)
class Line:
    """A method's row.   role: "best", "tied" (for the best), "bound", "plain" or ""."""

    method: Method
    role: str
    cells: tuple[Shown, ...]


@dataclass(frozen=True, slots=True)
class Heat:
    """A method's matrix for one kind of score and one order.

    heads: (task, chance in per cent or "").   asked: the questions of each task that count at the end, "" where that is not known.
    rows: (experience, cells); a cell is (number, its place on the colour scale 0 to 1 or None, when it was taught relative to this row: "before",
    "here", "after" or "never").   scale: what the colours run between, in per cent.
    """

    caption: str
    heads: tuple[tuple[str, str], ...]
    rows: tuple[tuple[str, tuple[tuple[str, float | None, str], ...]], ...]
    scale: tuple[str, str]
    asked: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Span:
    """A number with its interval, drawn on a scale: all places in percent of the track's width.   zero: where 0 or chance is marked, None for nowhere."""

    label: str
    text: str
    note: str
    low: float
    high: float
    at: float
    zero: float | None
    role: str = ""


def columns(section: Section) -> tuple[Column, ...]:
    """The columns of the summary: the almanac has its own; what no run measured is left out."""
    almanac = any(method.metric("kept") is not None for method in section.methods)
    return _measured(section, (*GENERAL[:2], *ALMANAC) if almanac else (*GENERAL, *TRANSFER))


def cost_columns(section: Section) -> tuple[Column, ...]:
    """Time, work and memory, those that were measured."""
    return _measured(section, COSTS)


def costs(section: Section) -> list[Line]:
    """What each method took, in the summary's order."""
    asked = cost_columns(section)
    return [Line(m, role_of(section, m), tuple(Shown(shown(value_of(section, m, c), c.unit)) for c in asked)) for m in _in_order(section)]


def _measured(section: Section, wanted: Sequence[Column]) -> tuple[Column, ...]:
    return tuple(column for column in wanted if any(value_of(section, method, column) is not None for method in section.methods))


def value_of(section: Section, method: Method, column: Column) -> Cell:
    """A method's number for a column; the frozen model learns nothing."""
    if column.key == "over_plain":
        base = None if section.baseline is None else section.baseline.cost("learn_seconds")
        mine = method.cost("learn_seconds")
        return mine / base if base and mine is not None and method.bound != "frozen" else None
    return method.cost(column.key) if column in COSTS else method.metric(column.key)


def summary(section: Section) -> list[Line]:
    """The best first, then what follows, bounds last."""
    shown_columns = columns(section)
    tops = {column.key: _top(section, column) for column in shown_columns}
    lines = []
    for method in _in_order(section):
        cells = tuple(_cell(section, method, column, tops[column.key]) for column in shown_columns)
        lines.append(Line(method, role_of(section, method), cells))
    return lines


def _in_order(section: Section) -> tuple[Method, ...]:
    return (*section.ranked, *(method for method in section.methods if method.bound))


def role_of(section: Section, method: Method) -> str:
    if method.bound:
        return "bound"
    level = tied(section)
    if method in level and len(section.ranked) > 1:
        return "best" if len(level) == 1 else "tied"
    return "plain" if method.plain else ""


def heats(section: Section, method: Method) -> list[Heat]:
    """The given order first; a table for each kind of score, since kinds never share a scale."""
    chance = {task.name: task.chance for task in section.tasks}
    found = []
    for order, runs in method.orders.items():
        matrix = averaged(runs)
        for kind in dict.fromkeys((section.main_kind, *matrix.kinds)):
            places = [j for j, own in enumerate(matrix.kinds) if own == kind]
            low, high = _scale(section, kind)
            heads = tuple((matrix.tasks[j], "" if chance.get(matrix.tasks[j]) is None else _tenth(chance[matrix.tasks[j]])) for j in places)
            asked = tuple(f"{section.asked_at_end[name]:,}" if (name := matrix.tasks[j]) in section.asked_at_end else "" for j in places)
            rows = tuple(
                (name, tuple((_number(row[j]), _within(row[j], low, high), _when(matrix.learned[j], i)) for j in places))
                for i, (name, row) in enumerate(zip(("before", *matrix.experiences), matrix.rows, strict=True))
            )
            of = "" if len(runs) == 1 else f", mean of {len(runs)} runs"
            caption = f"{method.label}: {kind}, per cent{of}" + ("" if order == 0 else f", order {order} of the experiences")
            found.append(Heat(caption, heads, rows, (f"{100 * low:.3g}", f"{100 * high:.3g}"), asked))
    return found


def interval_spans(section: Section) -> list[Span]:
    """Each method's score at the end with its interval, on a scale from 0 to 100 % on which chance is marked."""
    found = []
    for line in summary(section):
        value, ends = line.method.metric(QUALITY), line.method.interval(QUALITY)
        if value is not None and ends is not None:
            zero = None if section.chance is None else 100 * section.chance
            found.append(Span(line.method.label, shown(value), between(ends), 100 * ends[0], 100 * ends[1], 100 * value, zero, line.role))
    return found


def difference_spans(section: Section) -> dict[str, list[Span]]:
    """By metric, each method's paired difference from plain, on one symmetric scale a metric; metrics in which nothing differs are left out."""
    plain, found = section.baseline, dict[str, list[Span]]()
    if plain is None:
        return found
    named = {column.key: column for column in (*GENERAL, *TRANSFER, *ALMANAC, *ELSE)}
    told = dict.fromkeys(told.metric for told in section.differences if plain.label in (told.method, told.against))
    for metric in sorted(told, key=lambda metric: (metric not in FIRST, metric not in named)):
        gaps = [gap(section, method, plain, metric) for method in _in_order(section) if method is not plain]
        known = [(one, one.ends) for one in gaps if one is not None and one.ends is not None]
        wide = max((abs(end) for _, ends in known for end in ends), default=0.0)
        column = named.get(metric, Column(metric, metric.replace("_", " "), "", 0))
        if wide:
            head = f"{column.head} ({'less' if column.better < 0 else 'more'} is better)" if column.better else column.head
            found[head[0].upper() + head[1:]] = [_difference_span(section, one, ends, wide) for one, ends in known]
    return found


def _difference_span(section: Section, one: Gap, ends: tuple[float, float], wide: float) -> Span:
    """0 in the middle, `wide` at both ends."""
    low, high, at = (50 + 50 * value / wide for value in (*ends, one.mean))
    where = "holds 0, not told apart" if not one.apart else f"clearly {'above' if one.mean > 0 else 'below'} {one.other.label}"
    note = f"{between(ends)}, {where}"
    return Span(one.one.label, signed(one.mean), note, low, high, at, 50.0, role_of(section, one.one))


def corpus_rows(section: Section) -> list[tuple[str, str, str, tuple[str, ...]]]:
    """(task, measure, before, a number a method at the end) of scores over a whole task, each in its own unit."""
    named = dict.fromkeys((task, measure) for m in section.methods for run in m.runs for task, of in run.corpus.items() for measure in of)
    rows = []
    for task, measure in named:
        at = {place: [_corpus(method, task, measure, place) for method in section.methods] for place in (0, -1)}
        before = next((value for value in at[0] if value is not None), None)
        rows.append((task, measure, plain_number(before), tuple(plain_number(value) for value in at[-1])))
    return rows


def all_metrics(section: Section) -> list[tuple[str, tuple[Shown, ...]]]:
    """Every metric of every method, also those without a column; then those of the other kinds of score."""
    rows = []
    for name in dict.fromkeys(name for method in section.methods for run in method.runs for name in run.metrics):
        rows.append((name, tuple(Shown(shown(m.metric(name)), between(m.interval(name)), _range(m, name)) for m in section.methods)))
    for kind in section.kinds[1:]:
        for name in dict.fromkeys(name for method in section.methods for run in method.runs for name in run.metrics_by_kind.get(kind, {})):
            rows.append((f"{name} ({kind})", tuple(Shown(shown(m.metric(name, kind))) for m in section.methods)))
    return rows


def overview(sections: Sequence[Section]) -> list[tuple[str, str, tuple[Shown, ...], str]]:
    """(method, role, its score at the end in each section, mean rank); methods by rank, bounds last."""
    places = ranks(sections)
    labels = dict.fromkeys(method.label for section in sections for method in section.methods)
    bounds = {method.label for section in sections for method in section.methods if method.bound}
    rows = []
    for label in sorted(labels, key=lambda label: (label in bounds, places.get(label, float("inf")))):
        cells = tuple(_overview_cell(section, label) for section in sections)
        rows.append((label, "bound" if label in bounds else "", cells, f"{places[label]:.1f}" if label in places else NONE))
    return rows


def _top(section: Section, column: Column) -> float | None:
    """The best value of a score; None where all are level."""
    values = [value for method in section.ranked if (value := value_of(section, method, column)) is not None]
    return None if not column.better or len(set(values)) < 2 else max(values, key=lambda value: column.better * value)


def _cell(section: Section, method: Method, column: Column, top: float | None) -> Shown:
    value = value_of(section, method, column)
    found = Shown(shown(value, column.unit), between(method.interval(column.key)), _range(method, column.key) or _few(method, column.key))
    return replace(found, best=top is not None and value == top and not method.bound)


def _range(method: Method, name: str) -> str:
    ends = method.spread(name)
    return f"{counted(len(method.runs), 'run')} {between(ends)}" if ends is not None else ""


def _few(method: Method, name: str) -> str:
    """How many questions a share is of, where it differs from method to method."""
    return f"of {method.shares[name]:,}" if name == "kept_never_rehearsed" and name in method.shares else ""


def _overview_cell(section: Section, label: str) -> Shown:
    method = next((method for method in section.methods if method.label == label), None)
    if method is None:
        return Shown(NONE)
    return Shown(shown(method.metric(QUALITY)), between(method.interval(QUALITY)), best=role_of(section, method) in ("best", "tied"))


def _scale(section: Section, kind: str) -> tuple[float, float]:
    """0 to 1, but for loss, whose values lie close together: their own range over all methods."""
    if kind != "loss":
        return 0.0, 1.0
    runs = [run.matrix for method in section.methods for run in method.runs]
    cells = [(value, own) for matrix in runs for row in matrix.rows for value, own in zip(row, matrix.kinds, strict=True)]
    values = [value for value, own in cells if own == kind and value is not None]
    return (min(values), max(values)) if values else (0.0, 1.0)


def _within(value: Cell, low: float, high: float) -> float | None:
    return None if value is None else round(min(1.0, max(0.0, (value - low) / (high - low or 1.0))), 3)


def _when(learned: int, row: int) -> str:
    if learned == 0:
        return "never"
    return "after" if row < learned else "here" if row == learned else "before"


def _tenth(value: Cell) -> str:
    return NONE if value is None else f"{100 * value:.1f}"


def _number(value: Cell) -> str:
    return NONE if value is None else f"{100 * value:.0f}"


def _corpus(method: Method, task: str, measure: str, place: int) -> Cell:
    found = [run.corpus[task][measure][place] for run in method.runs if run.corpus.get(task, {}).get(measure)]
    known = [value for value in found if value is not None]
    return sum(known) / len(known) if known else None
