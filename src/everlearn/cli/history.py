"""`everlearn history` and `everlearn show`: what became of a home's versions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from everlearn.versions.home import Home
    from everlearn.versions.record import Version

NAMED = "A version: its number (3 or v3), the beginning of its id, or 'head'."


def history(
    home: Annotated[Path, typer.Argument(help="The home.")],
    page: Annotated[Path | None, typer.Option(help="Write a page that opens offline, such as home.html.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """List a home's versions: what each learned, whether it was accepted, and which is in service."""
    import json

    from rich.markup import escape
    from rich.table import Table

    from everlearn.cli.console import console
    from everlearn.versions.home import Home

    place = Home(home)
    versions, head, withdrawn = place.versions(), place.head.id, place.objects.withdrawn()
    rows = [{**v.to_json(), "state": _state(place, v, head, withdrawn)} for v in versions]
    told = {"head": head, "moves": place.moves, "versions": rows}
    if page is not None:
        from everlearn.report.home import write_home_page

        write_home_page(page, told, name=home.resolve().name)
    if as_json:
        typer.echo(json.dumps(told, ensure_ascii=False, indent=1))
        return
    shown = Table(caption=f"{place.folder} · {sum(of.after is not None for v in versions[-1:] for of in v.tasks.values())} tasks tested last")
    for name, side in (("version", "right"), ("id", "left"), ("from", "right"), ("data", "left"), ("rows", "right"), ("new %", "right"), ("old %", "right")):
        shown.add_column(name, justify="right" if side == "right" else "left", overflow="fold")
    shown.add_column("state")
    numbers = {v.id: v.number for v in versions}
    for v in versions:
        parent = "" if v.parent is None else f"v{numbers.get(v.parent, '?')}"
        came = ("", "") if v.arrived is None else (v.arrived.name, str(v.arrived.count))
        shown.add_row(f"v{v.number}", v.id[:8], parent, escape(came[0]), came[1], _mean(v, True), _mean(v, False), _state(place, v, head, withdrawn))
    console().print(shown)
    if page is not None:
        typer.echo(f"Written to {page}.")


def show(
    home: Annotated[Path, typer.Argument(help="The home.")],
    version: Annotated[str, typer.Argument(help=NAMED)] = "head",
    as_json: Annotated[bool, typer.Option("--json", help="Print the record as JSON.")] = False,
) -> None:
    """Show one version: what it learned, what it lost, and why it was accepted or refused."""
    import json

    from everlearn.versions.home import Home

    place = Home(home)
    found = place.version(version)
    if as_json:
        typer.echo(json.dumps(found.to_json(), ensure_ascii=False, indent=1))
        return
    state = _state(place, found, place.head.id, place.objects.withdrawn())
    typer.echo(f"v{found.number} {found.id} · {state} · {found.created} · everlearn {found.code}")
    for line in found.report:
        typer.echo(line)
    for name, of in found.tasks.items():
        before = "" if of.before is None else f"{100 * of.before:.1f} % -> "
        typer.echo(f"  {'new ' if of.new else ''}{name}: {before}{'–' if of.after is None else f'{100 * of.after:.1f} %'} of {of.rows}")
    if found.cost:
        typer.echo("Seconds: " + ", ".join(f"{stage} {seconds:.1f}" for stage, seconds in found.cost.items()))


def _state(home: Home, version: Version, head: str, withdrawn: dict[str, str]) -> str:
    if version.id == head:
        return "in service"
    if version.id in withdrawn:
        return "withdrawn"
    served = version.id in {move["version"] for move in home.moves}
    return "refused" if not version.accepted and not served else "earlier" if served else "accepted, never in service"


def _mean(version: Version, new: bool) -> str:
    """Before and after, over the rows of the new or the earlier tasks."""
    tasks = [of for of in version.tasks.values() if of.new == new and of.before is not None and of.after is not None]
    rows = sum(of.rows for of in tasks)
    if not rows:
        return ""
    before, after = (sum((value or 0) * of.rows for of, value in pairs) / rows for pairs in ([(t, t.before) for t in tasks], [(t, t.after) for t in tasks]))
    return f"{100 * before:.1f} -> {100 * after:.1f}"
