"""One self-contained page of what was learned and what was lost; it opens offline and asks nothing of any server."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import JsonValue

from everlearn.disk import write_whole
from everlearn.errors import MissingExtra, SettingError
from everlearn.report import tables
from everlearn.report.changes import SHOWN, ChangeList, change_lists
from everlearn.report.drawing import Figure, Look, look
from everlearn.report.explained import computed_on, explained, settings_of
from everlearn.report.figures import cost_figure, extra_figures, probe_columns, stream_figures
from everlearn.report.sections import BOUNDS, Method, Section, read_sections
from everlearn.report.standing import ranks
from everlearn.report.timeline import events_of, timeline_figures
from everlearn.report.verdict import verdict
from everlearn.report.words import ALMANAC, ELSE, GENERAL, TRANSFER, Column, counted, shown, task_ids_told
from everlearn.version import VERSION

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup


def write_report(folders: str | Path | Sequence[str | Path], out: str | Path | None = None) -> Path:
    """The page about these run folders (or results.json files), written to `out`; returns where it is.

    out: by default report.html in the one folder given, or in the current folder where several are joined. Folders of one stream become one
    section, each further stream one more. Raises SettingError for a place without results, StateError for broken records and for folders
    of one stream that were tested on different questions, MissingExtra without the extra `report`.
    """
    places = [folders] if isinstance(folders, str | Path) else list(folders)
    if not places:
        raise SettingError("a report needs at least one run folder, got none (folders=[]). Name the folders that `everlearn compare` wrote.")
    path = _place(places, out)
    text = render(read_sections(places))
    write_whole(path, text.encode("utf-8", "replace"))  # a model may say half a surrogate pair
    return path


def render(sections: Sequence[Section]) -> str:
    """The page as text."""
    templates, plotly = environment(), _plotly()
    views = [SectionView(section, f"s{number}") for number, section in enumerate(sections, 1)]
    figures: dict[str, JsonValue] = {name: {"data": figure.data, "layout": figure.layout} for view in views for name, figure in view.figures()}
    return templates.get_template("page.html").render(
        views=views,
        overview=tables.overview(sections) if len(sections) > 1 else [],
        ranked=bool(ranks(sections)),
        bounds={name: about for name, about in BOUNDS.items() if any(m.bound == name for section in sections for m in section.methods)},
        version=VERSION,
        style=_part("page.css"),
        script=_part("page.js"),
        plotly=plotly.replace("</script", "<\\/script"),
        figures=embedded(figures),
        shown_examples=SHOWN,
    )


def embedded(value: JsonValue) -> str:
    """JSON that can stand inside a script element, whatever its texts hold.

    >>> embedded("</script><!--")
    '"\\\\u003c/script\\\\u003e\\\\u003c!--"'
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


@dataclass(frozen=True, slots=True)
class FigureGroup:
    """Figures that stand side by side under one head and one legend.   costs: whether the table of costs stands above them."""

    title: str
    figures: tuple[tuple[str, Figure], ...]
    legend: tuple[Method, ...]
    costs: bool = False


class SectionView:
    """A section as the template shows it.   name: unique on the page; every id begins with it."""

    def __init__(self, section: Section, name: str) -> None:
        self.section, self.name = section, name
        self.verdict = verdict(section)
        self.summary = tables.summary(section)
        self.groups = list(self._groups())
        self.changes: list[tuple[Method, list[ChangeList]]] = [
            (method, lists) for method in section.ranked if (lists := change_lists(section, method, section.baseline))
        ]

    @property
    def columns(self) -> tuple[Column, ...]:
        return tables.columns(self.section)

    @property
    def cost_columns(self) -> tuple[Column, ...]:
        return tables.cost_columns(self.section)

    @property
    def costs(self) -> list[tables.Line]:
        return tables.costs(self.section)

    @property
    def caption(self) -> str:
        """What every table must say of itself."""
        ids = task_ids_told(self.section.task_ids)
        questions = sum(task.examples or 0 for task in self.section.tasks)
        asked = f" {counted(questions, 'test question')}." if questions else ""
        chance = "" if self.section.chance is None else f" Chance, the mean of all tasks: {shown(self.section.chance)}."
        return f"Scores: {self.section.main_kind}.{asked}{chance} {ids}"

    @property
    def intervals(self) -> list[tables.Span]:
        return tables.interval_spans(self.section)

    @property
    def differences(self) -> dict[str, list[tables.Span]]:
        return tables.difference_spans(self.section)

    @property
    def heats(self) -> list[tuple[Method, list[tables.Heat]]]:
        """In the summary's order, so that the first is the one to look at."""
        return [(line.method, tables.heats(self.section, line.method)) for line in self.summary]

    @property
    def corpus(self) -> list[tuple[str, str, str, tuple[str, ...]]]:
        return tables.corpus_rows(self.section)

    @property
    def probes(self) -> list[tuple[str, list[str]]]:
        return probe_columns(self.section)

    @property
    def metrics(self) -> list[tuple[str, tuple[tables.Shown, ...]]]:
        return tables.all_metrics(self.section)

    @property
    def meanings(self) -> dict[str, str]:
        """What each metric's name means, where there is a word for it."""
        return {column.key: column.meaning for column in (*GENERAL, *TRANSFER, *ALMANAC, *ELSE)}

    @property
    def explained(self) -> list[tuple[str, str]]:
        """Each method with a sentence on what it does, in the summary's order."""
        return [(line.method.label, said) for line in self.summary if (said := explained(line.method))]

    @property
    def settings(self) -> list[tuple[Method, list[tuple[str, str]]]]:
        return [(method, settings_of(method)) for method in self.section.methods]

    @property
    def commands(self) -> list[str]:
        return list(dict.fromkeys(batch.results.command for batch in self.section.batches if batch.results.command))

    @property
    def dates(self) -> list[str]:
        return sorted({batch.results.created[:10] for batch in self.section.batches if batch.results.created})

    @property
    def computed(self) -> list[str]:
        """What computed the runs, each machine once."""
        return computed_on([run for method in self.section.methods for run in method.runs])

    @property
    def events(self) -> list[str]:
        """Each change that was found in the stream, in words."""
        return [event.sentence for event in events_of(self.section) if event.sentence]

    @property
    def tasks(self) -> list[tuple[str, str, str, str, str, str, str]]:
        """(name, kind of score, questions, of which at the end, taught by, chance, before the stream)."""
        names, rows = self.section.first.matrix.experiences, self.section.first.matrix
        before = dict(zip(rows.tasks, rows.rows[0], strict=True))
        asked = {name: f"{count:,}" for name, count in self.section.asked_at_end.items()}
        found = []
        for t in self.section.tasks:
            questions = "" if t.examples is None else f"{t.examples:,}"
            found.append((t.name, t.score, questions, asked.get(t.name, ""), _taught(t.learned, names), shown(t.chance), shown(before.get(t.name))))
        return found

    @property
    def without_changes(self) -> str:
        """Why no examples are shown, "" where there are some."""
        if self.changes:
            return ""
        if self.section.questions is None:
            return "Only the numbers of these runs were kept, not the questions (questions.jsonl.gz is not there), as with data that may not be passed on."
        if not any(batch.answers_file(run) for m in self.section.methods for run, batch in zip(m.runs, m.sources, strict=True)):
            return "Only the numbers of these runs were kept, not the answers (runs/*.answers.jsonl.gz are not there)."
        return "No answer changed: nothing was lost or gained between learning and the end."

    def look(self, method: Method) -> Look:
        return look(method, self.section.methods)

    def figures(self) -> Iterator[tuple[str, Figure]]:
        """Every figure with the id of its place."""
        for group in self.groups:
            yield from group.figures

    def _groups(self) -> Iterator[FigureGroup]:
        section = self.section
        for kind in section.kinds:
            title = "Over the stream" + (f": {kind}" if len(section.kinds) > 1 else "")
            yield from self._group(title, f"stream-{section.kinds.index(kind)}", stream_figures(section, kind))
        yield from self._group("As time went on", "time", timeline_figures(section))
        cost = cost_figure(section)
        yield from self._group("What it costs", "cost", [cost] if cost else [])
        yield from self._group("What else moved", "else", extra_figures(section))

    def _group(self, title: str, name: str, figures: list[Figure]) -> Iterator[FigureGroup]:
        if figures:
            drawn = {number for figure in figures for number in figure.methods}
            placed = tuple((f"{self.name}-{name}-{number}", figure) for number, figure in enumerate(figures))
            yield FigureGroup(title, placed, tuple(method for method in self.section.methods if method.number in drawn), name == "cost")


def _place(places: Sequence[str | Path], out: str | Path | None) -> Path:
    if out is None:
        first = Path(places[0])
        return Path("report.html") if len(places) > 1 else (first if first.is_dir() else first.parent) / "report.html"
    path = Path(out)
    if path.is_dir() or path.suffix.lower() not in (".html", ".htm"):
        raise SettingError(f"out must be the page's own file, ending in .html, got {str(out)!r}. Name one, such as report.html.")
    return path


def _taught(learned: int, names: Sequence[str]) -> str:
    return f"{learned}: {names[learned - 1]}" if learned else "never"


def _part(name: str) -> str:
    return resources.files("everlearn.report").joinpath(name).read_text(encoding="utf-8")


def environment() -> Environment:
    """The templates of this folder; everything they show is escaped. Raises MissingExtra without jinja2."""
    try:
        from jinja2 import Environment, PackageLoader, StrictUndefined
    except ImportError as problem:
        raise missing("jinja2") from problem
    found = Environment(loader=PackageLoader("everlearn.report", ""), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    found.filters["breakable"] = breakable
    return found


def breakable(text: str) -> Markup:
    """Escaped, and long names may break after a joining sign first.

    >>> print(breakable("replay(share=1)+<b>"))
    replay<wbr>(share=1)+<wbr>&lt;b&gt;
    """
    from markupsafe import Markup, escape

    return Markup("<wbr>").join(escape(part) for part in text.replace(" %", "\u00a0%").replace("+", "+\0").replace("_", "_\0").replace("(", "\0(").split("\0"))


def _plotly() -> str:
    """plotly's own script, as its Python package ships it."""
    try:
        from plotly.offline import get_plotlyjs
    except ImportError as problem:
        raise missing("plotly") from problem
    return str(get_plotlyjs())


def missing(library: str, extra: str = "report") -> MissingExtra:
    """The error that names the extra."""
    return MissingExtra(f'a library is not installed (library={library!r}). It comes with the extra `{extra}`: pip install "everlearn[{extra}]"')
