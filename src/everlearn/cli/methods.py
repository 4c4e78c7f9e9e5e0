"""`everlearn methods`: what there is to compare."""

from __future__ import annotations

import json
from typing import Annotated

import typer


def methods(as_json: Annotated[bool, typer.Option("--json", help="As JSON, for programs.")] = False) -> None:
    """List every method: its family, paper, settings, what it stores and costs."""
    from everlearn.catalogue import catalogue

    entries = catalogue()
    if as_json:
        typer.echo(json.dumps(entries, ensure_ascii=False, indent=1))
        return
    from everlearn.cli.console import console

    shown = console()
    for entry in entries:
        shown.print(f"[bold]{entry['name']}[/bold]  {entry['family']}" + (f", {entry['paper']}" if entry["paper"] else ""), soft_wrap=True)
        shown.print(f"    {entry['about']}", markup=False, soft_wrap=True)
        if entry["settings"] and entry["family"] != "recipe":
            shown.print(f"    {entry['name']}({entry['settings']})", markup=False, soft_wrap=True)
        shown.print(f"    stores: {entry['stores']}" + (f"; costs: {entry['cost']}" if entry["cost"] else ""), markup=False, soft_wrap=True)
    shown.print('\nJoin methods with +, separate runs with a comma: --methods "plain,replay(share=0.5)+distill(on=memory)"', markup=False, soft_wrap=True)
