"""`everlearn diff`: which answers flipped between two versions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from everlearn.cli.history import NAMED


def diff(
    home: Annotated[Path, typer.Argument(help="The home.")],
    before: Annotated[str, typer.Argument(help=NAMED)],
    after: Annotated[str, typer.Argument(help=NAMED)] = "head",
    most: Annotated[int, typer.Option(help="Flips shown of a task in each direction.")] = 10,
    ask: Annotated[bool, typer.Option("--ask", help="Load both versions and ask what only one of them was asked.")] = False,
    page: Annotated[Path | None, typer.Option(help="Also write a page that opens offline, such as diff.html.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the difference as JSON.")] = False,
) -> None:
    """Show which test rows went from right to wrong and from wrong to right, with both answers, by task."""
    import json

    from everlearn.upkeep.differing import diff as run

    found = run(home, before, after, ask_again=ask)
    if page is not None:
        from everlearn.report.home import write_home_page

        write_home_page(page, difference=found.to_json(), name=home.resolve().name)
    if as_json:
        typer.echo(json.dumps(found.to_json(), ensure_ascii=False, indent=1))
        return
    for line in found.lines(most):
        typer.echo(line)
    if page is not None:
        typer.echo(f"Written to {page}.")
