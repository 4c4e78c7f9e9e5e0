"""`everlearn export`: a version as files that others open."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from everlearn.cli.history import NAMED


def export(
    home: Annotated[Path, typer.Argument(help="The home.")],
    out: Annotated[Path, typer.Argument(help="A new folder.")],
    version: Annotated[str, typer.Option(help=NAMED)] = "head",
    merged: Annotated[bool, typer.Option("--merged", help="One whole model for transformers; the default.")] = False,
    adapter: Annotated[bool, typer.Option("--adapter", help="The adapters alone, for PEFT on the starting model.")] = False,
) -> None:
    """Write a version for transformers, PEFT or any server that reads them."""
    from everlearn.errors import SettingError
    from everlearn.upkeep.exporting import export as run

    if merged and adapter:
        raise SettingError("an export is merged or an adapter, got both (--merged, --adapter). Leave one out.")
    typer.echo(f"Written to {run(home, out, version, 'adapter' if adapter else 'merged')}.")
