"""`everlearn gc`: what a home no longer needs, deleted."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def gc(
    home: Annotated[Path, typer.Argument(help="The home.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print what was freed as JSON.")] = False,
) -> None:
    """Free room: what crashes left, what no version needs, and old weights beyond what everlearn.toml keeps."""
    import json
    from dataclasses import asdict

    from everlearn.upkeep.collecting import gc as run

    found = run(home)
    typer.echo(json.dumps(asdict(found), indent=1) if as_json else found.told())
