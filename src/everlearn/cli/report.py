"""`everlearn report`: one page about one or several comparisons."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def report(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Folders that `everlearn compare` wrote, or their results.json.")],
    out: Annotated[
        Path | None, typer.Option(metavar="FILE.html", help="The page; by default report.html in the one folder, or here if several are joined.")
    ] = None,
    png: Annotated[Path | None, typer.Option(metavar="FILE.png", help="Also one picture for a README, 1600 pixels wide.")] = None,
) -> None:
    """Write one page that opens offline: which method to use, and what it loses."""
    from everlearn.report import write_picture, write_report
    from everlearn.report.picture import picture_place

    if png is not None:
        picture_place(png)  # before the page is written
    typer.echo(f"Written to {write_report(runs, out)}.")
    if png is not None:
        typer.echo(f"Written to {write_picture(runs, png)}.")
