"""`everlearn rollback` and `everlearn promote`: another version into service."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from everlearn.cli.history import NAMED

if TYPE_CHECKING:
    from everlearn.versions.record import Version


def rollback(
    home: Annotated[Path, typer.Argument(help="The home.")],
    version: Annotated[str | None, typer.Argument(help=f"{NAMED} By default the one that was in service before.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the version now in service as JSON.")] = False,
) -> None:
    """Put an earlier version back into service, bit for bit what was served; no version is lost."""
    from everlearn.versions.home import Home

    _told(Home(home).rollback(version), as_json)


def promote(
    home: Annotated[Path, typer.Argument(help="The home.")],
    version: Annotated[str, typer.Argument(help=NAMED)],
    as_json: Annotated[bool, typer.Option("--json", help="Print the version now in service as JSON.")] = False,
) -> None:
    """Put a version into service whatever the gate said of it; the record shows that it was by hand."""
    from everlearn.versions.home import Home

    _told(Home(home).promote(version), as_json)


def _told(version: Version, as_json: bool) -> None:
    import json

    if as_json:
        typer.echo(json.dumps(version.to_json(), ensure_ascii=False, indent=1))
        return
    typer.echo(f"Version {version.number} ({version.id}) is in service.")
    if not version.accepted:
        typer.echo("The gate had refused it: " + " ".join(version.reasons))
