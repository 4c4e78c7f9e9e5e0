"""`everlearn check`: what is in the data, before it is learned."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from everlearn.data_check.cost import Cost
    from everlearn.data_check.report import DataReport, FileReport

SHOWN = 10  # pairs of each kind in the report for people; --json has all
NOTED = {
    "conflicts": "Conflicts, one question with different answers within a file",
    "taught": "Tests that are taught",
    "changes": "Changes, where a later file answers a question anew and the newer answer holds",
    "repeated": "Equal rows in several learned files",
    "near": "Nearly equal rows among those that are learned",
}


def check(
    data: Annotated[str, typer.Argument(help="A file, a stream's or benchmark's folder, hub:org/name[:split], or 'almanac'.")],
    model: Annotated[str | None, typer.Option(help="Measure in this model's tokens too, and estimate what learning costs: 'tiny', a folder, a hub id.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for programs, with every finding.")] = False,
    most_bad: Annotated[float, typer.Option(help="Share of a file's lines, 0 to 1, that may be bad.")] = 0.0,
    allow: Annotated[str, typer.Option(help="Findings that are meant, with commas: conflicts, taught_tests, truncated_answers.")] = "",
    subset: Annotated[str | None, typer.Option(help="A hub dataset's configuration.")] = None,
    columns: Annotated[str, typer.Option(help="A hub dataset's columns: prompt=question,completion=answer.")] = "",
    methods: Annotated[str, typer.Option(help="With --model: the runs whose cost is estimated.")] = "plain,keep_current",
    passes: Annotated[int, typer.Option(help="With --model: passes over each experience's rows.")] = 3,
    batch: Annotated[int, typer.Option(help="With --model: new rows a step.")] = 16,
    micro_tokens: Annotated[int, typer.Option(help="With --model: padded tokens in one forward pass.")] = 16_384,
    steps: Annotated[int, typer.Option(help="With --model: real steps the estimate rests on; 0 for no estimate.")] = 4,
    lora: Annotated[str, typer.Option(help="With --model: 'auto', 'off', or a rank.")] = "auto",
    dtype: Annotated[str, typer.Option(help="With --model: float32, bfloat16, or auto.")] = "float32",
    device: Annotated[str | None, typer.Option(help="With --model: such as cpu or cuda:0.")] = None,
) -> None:
    """Check data: bad lines, duplicates, conflicts, taught tests, languages, lengths; with a model truncation and cost.

    Exit code 0: clean; 1: something that would make results untrustworthy; 2: data or settings that cannot be used.
    """
    from everlearn.data_check.check import ForModel, check_data

    wanted = None
    if model is not None:
        from everlearn.learn.settings import Settings
        from everlearn.models.load import parse_dtype, parse_lora

        settings = Settings(passes=passes, batch=batch, micro_tokens=micro_tokens)
        wanted = ForModel(model, methods, settings, parse_lora(lora), parse_dtype(dtype), device, steps)
    report = check_data(data, wanted, most_bad, [name.strip() for name in allow.split(",") if name.strip()], subset, _columns(columns))
    if as_json:
        typer.echo(json.dumps(report.to_json(), ensure_ascii=False, indent=1))
    else:
        _print(report)
    raise typer.Exit(0 if report.clean else 1)


def _columns(text: str) -> dict[str, str] | None:
    from everlearn.errors import SettingError

    pairs = [piece.partition("=") for piece in text.split(",") if piece.strip()]
    if not all(key.strip() and column.strip() for key, _, column in pairs):
        raise SettingError(f"columns cannot be read (columns={text!r}). They are written prompt=question,completion=answer. Write them so.")
    return {key.strip(): column.strip() for key, _, column in pairs} or None


def _print(report: DataReport) -> None:
    from everlearn.cli.console import console

    shown = console()
    shown.print(f"[bold]{report.data}[/bold]: {report.kind}, {_count(sum(file.rows for file in report.files), 'row')}", soft_wrap=True)
    shown.print(_table(report))
    for line in _findings(report):
        shown.print(line, soft_wrap=True, markup=False)
    if report.cost is not None:
        shown.print(_costs(report.cost))
        for line in _memory(report.cost):
            shown.print(line, soft_wrap=True, markup=False)
    shown.print(_verdict(report), soft_wrap=True, markup=False)


def _table(report: DataReport) -> Table:
    """A line a file; columns in which nothing was found are left out."""
    from rich.table import Table

    columns: dict[str, list[object]] = {
        "rows": [f"{file.rows:,}" for file in report.files],
        "bad": [len(file.bad) for file in report.files],
        "empty": [file.empty for file in report.files],
        "double": [file.duplicates for file in report.files],
        "near": [file.near for file in report.files],
        "conflicts": [file.conflicts for file in report.files],
        "taught": [file.taught for file in report.files],
        "characters": [f"{file.characters.median:,} {file.characters.most_95:,} {file.characters.longest:,}" for file in report.files],
        "tokens": [f"{s.median:,} {s.most_95:,} {s.longest:,}" if (s := file.tokens) else "" for file in report.files],
        "cut": [file.truncated or 0 for file in report.files],
        "answers cut": [file.truncated_answers or 0 for file in report.files],
        "languages": [_languages(file.languages) for file in report.files],
    }
    kept = {name: cells for name, cells in columns.items() if any(cells)}
    caption = f"{'characters and tokens' if 'tokens' in kept else 'characters'}: median, 95 %, longest"
    table = Table("file", *kept, box=None, pad_edge=False, header_style="bold", caption=caption, caption_justify="left")
    for number, file in enumerate(report.files):
        table.add_row(_short(file, report), *(str(cells[number] or "") for cells in kept.values()))
    return table


def _short(file: FileReport, report: DataReport) -> str:
    """The file's name below the data's."""
    name = file.file.removeprefix(report.data)
    return name.lstrip("/") or file.file


def _languages(shares: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {share:.0%}" for name, share in list(shares.items())[:3] if share >= 0.005)


def _findings(report: DataReport) -> Iterator[str]:
    bad = [f"{file.file}:{line}: {why}" for file in report.files for line, why in file.bad.items()]
    yield from _listed("Lines that cannot be used", bad, len(bad))
    yield from _listed("Problems", report.problems, len(report.problems))
    for kind, title in NOTED.items():
        yield from _listed(title, [str(pair) for pair in report.pairs[kind]], SHOWN)
    yield from _listed("Rows longer than the model's reach", report.truncated, SHOWN)
    for file in report.files:
        if file.labels and file.role == "train":
            counts = ", ".join(f"{said!r} {count:,}" for said, count in file.labels.items())
            yield f"{_short(file, report)}: {_count(len(file.labels), 'completion')}: {counts}"
    yield from report.notes
    if len(report.files) > 1:
        yield f"All files: {_languages(report.languages)}"


def _listed(title: str, lines: Iterable[str], most: int) -> Iterator[str]:
    given = list(lines)
    if given:
        yield f"{title}: {len(given):,}"
        yield from (f"  {line}" for line in given[:most])
        if len(given) > most:
            yield f"  and {len(given) - most:,} more (--json lists all)"


def _costs(cost: Cost) -> Table:
    from rich.table import Table

    table = Table("method", "steps", "learning", "testing", "in all", box=None, pad_edge=False, header_style="bold")
    for method in cost.methods:
        seconds = (method.learn_seconds, method.test_seconds, method.learn_seconds + method.test_seconds)
        table.add_row(method.method, f"{method.steps:,}", *(in_time(value) for value in seconds))
    return table


def _memory(cost: Cost) -> Iterator[str]:
    yield f"One pass learns {cost.learned:,} of {cost.read:,} tokens; there are {_count(cost.passes, 'pass', 'es')}. Times are of one seed, from {cost.basis}."
    yield f"Memory of plain learning, at least {in_bytes(cost.memory.total)}:"
    for name, (size, how) in cost.memory.terms.items():
        yield f"  {in_bytes(size):>9}  {name}: {how}"


def _verdict(report: DataReport) -> str:
    from everlearn.data_check.report import WRONG

    if report.clean:
        return "Clean: nothing was found that would make results untrustworthy."
    return "Results would be untrustworthy: " + ", ".join(f"{WRONG[name]} ({count:,})" for name, count in report.wrong.items()) + "."


def _count(number: int, what: str, more: str = "s") -> str:
    return f"{number:,} {what}{'' if number == 1 else more}"


def in_time(seconds: float) -> str:
    """Two digits are as much as an estimate can say.

    >>> in_time(0.04), in_time(97), in_time(5000)
    ('0.04 s', '97 s', '1.4 h')
    """
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= 2 * size or (unit == "h" and seconds >= size):
            return f"{seconds / size:.2g} {unit}" if seconds < 100 * size else f"{seconds / size:,.0f} {unit}"
    return f"{seconds:.2g} s" if seconds < 100 else f"{seconds:.0f} s"


def in_bytes(size: int) -> str:
    """
    >>> in_bytes(3_726_336), in_bytes(12_000_000_000)
    ('3.7 MB', '12.0 GB')
    """
    return f"{size / 1e9:,.1f} GB" if size >= 1e9 else f"{size / 1e6:,.1f} MB"
