"""`everlearn methods`: what there is to compare."""

from __future__ import annotations

import json
from typing import Annotated

import typer


def methods(as_json: Annotated[bool, typer.Option("--json", help="As JSON, for programs.")] = False) -> None:
    """List every method: its family, paper, settings and what it stores."""
    from everlearn.catalogue import catalogue

    entries = catalogue()
    if as_json:
        typer.echo(json.dumps(entries, ensure_ascii=False, indent=1))
        return
    from rich.console import Console
    from rich.table import Table

    shown = Table(title="Methods: join with +, compare with a comma")
    for head in ("name", "family", "settings and defaults", "stores", "paper"):
        shown.add_column(head, overflow="fold")
    for entry in entries:
        shown.add_row(*(str(entry[key]) for key in ("name", "family", "settings", "stores", "paper")))
    Console().print(shown)
