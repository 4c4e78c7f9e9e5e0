"""`everlearn rebase`: what a home has learned, taught to a newer base."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from everlearn.cli.update import REFUSED


def rebase(
    home: Annotated[Path, typer.Argument(help="The home.")],
    model: Annotated[str, typer.Option(help="The newer base: 'tiny' (embedded), a model's folder, or a hub id.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the version as JSON.")] = False,
) -> None:
    """Teach the kept rows of every update to another base, and put it into service only if no task lost more than allowed.

    Exit code 0: in service. 3: refused, and the version before stays. 2: an error, and nothing changed. Stopped, the same command goes on.
    """
    import json

    from everlearn.cli.progress import bar
    from everlearn.upkeep.rebase import rebase as run

    with bar() as progress:
        version = run(home, model, progress=progress)
    if as_json:
        typer.echo(json.dumps(version.to_json(), ensure_ascii=False, indent=1))
    else:
        for line in version.report:
            typer.echo(line)
        typer.echo(f"Version {version.number} is in service." if version.accepted else "The version before stays in service; nothing of it changed.")
    if not version.accepted:
        raise typer.Exit(REFUSED)
