"""`everlearn import`: what other frameworks measured, computed anew."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, cast

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from everlearn.importing.found import Imported


def import_(
    files: Annotated[list[str], typer.Argument(metavar="FILE...", help="Files or folders of results; NAME=FILE names the method, again for more seeds.")],
    layout: Annotated[str, typer.Option(help="avalanche, csv, json, libcontinual, mammoth, npy, o-lora, renate, sapt, trace, or auto.")] = "auto",
    scale: Annotated[str, typer.Option(help="Of the numbers: percent or share, where the file does not tell.")] = "auto",
    before: Annotated[str, typer.Option(help="Is the first row the model before training: yes or no.")] = "auto",
    learned: Annotated[str, typer.Option(help="Each task's experience, 0 for none, such as 1,1,2.")] = "",
    stream: Annotated[str, typer.Option(help="The stream's name, for tables.")] = "",
    out: Annotated[Path, typer.Option(metavar="RUN", help="Folder for results.json, of which `everlearn report` makes a page.")] = Path("runs/import"),
    as_json: Annotated[bool, typer.Option("--json", help="Print the JSON, for programs.")] = False,
) -> None:
    """Read the accuracy matrix that another framework wrote, and compute the metrics anew."""
    import json
    import shlex
    import sys

    from everlearn.cli.console import console
    from everlearn.errors import SettingError
    from everlearn.importing.matrices import import_results, import_runs, writable
    from everlearn.importing.shape import Given

    if not all(part.strip().isdigit() for part in learned.split(",")) and learned:
        raise SettingError(f"learned must be whole numbers with commas between, got {learned!r}. Give each task's experience, such as 1,1,2; 0 for none.")
    chosen = Given(cast(Literal["auto"], scale), cast(Literal["auto"], before), tuple(int(part) for part in learned.split(",") if part))
    runs = import_runs(files, layout, chosen)
    results, path = import_results(runs, stream), writable(out)
    results.command = shlex.join(["everlearn", *sys.argv[1:]])
    results.save(path)
    if as_json:
        typer.echo(json.dumps(results.to_json(), ensure_ascii=False, indent=1))
        return
    shown = console()
    for run in runs:
        size = f"{len(run.matrix.experiences)} experiences, {len(run.matrix.tasks)} tasks"
        shown.print(f"{run.name}, seed {run.seed}: {run.layout}, {size} ({run.file}).", markup=False, soft_wrap=True)
        for line in run.notes:
            shown.print(f"  {line}", markup=False, soft_wrap=True)
        if run.stated:
            shown.print(beside(run))
        for row in run.beside():
            if row.why:
                shown.print(f"  {row.name}: {row.why}.", markup=False, soft_wrap=True)
    shown.print(results.table())
    shown.print(f"Written to {path}. For a page: everlearn report {out}", markup=False, soft_wrap=True)


def beside(run: Imported) -> Table:
    """What the framework states, ours beside it, in per cent."""
    from rich.table import Table

    found = Table(title=f"{run.name}, seed {run.seed}, per cent")
    for head in ("theirs is called", "theirs", "ours", "ours is called"):
        found.add_column(head, justify="right" if head in ("theirs", "ours") else "left", overflow="fold")
    for row in run.beside():
        found.add_row(row.name, f"{100 * row.theirs:.2f}", "–" if row.ours is None else f"{100 * row.ours:.2f}", row.metric.replace("_", " "))
    return found
