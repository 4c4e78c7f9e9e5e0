"""`everlearn watch` and `everlearn approve`: files dropped into a folder are learned."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from everlearn.upkeep.watch import Taken
    from everlearn.versions.inbox import Claim

REFUSED = 3  # the exit code


def watch(
    home: Annotated[Path, typer.Argument(help="The home that `everlearn init` made.")],
    folder: Annotated[
        Path | None, typer.Argument(help="Where files are dropped; NAME.test.jsonl beside NAME.jsonl holds its test rows. Without it the home's inbox alone.")
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="Learn what is there and stop, instead of looking again and again.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a file, as soon as it is decided.")] = False,
) -> None:
    """Learn the files of a folder in the order of their names, and what a server put into the inbox, each exactly once, also across crashes.

    Ctrl-C stops; an update in progress goes on the next time. With --once, exit code 0: every file was learned or waits for approval. 3: one was refused
    or rejected. 2: an error, and nothing was lost.
    """
    import json

    from everlearn.cli.progress import bar
    from everlearn.upkeep.watch import waiting
    from everlearn.upkeep.watch import watch as run

    failed = False
    try:
        with bar() as progress:
            for taken in run(home, folder, once=once, say=lambda text: typer.echo(text, err=True), progress=progress):
                typer.echo(json.dumps(taken.to_json(), ensure_ascii=False) if as_json else _line(taken))
                failed = failed or taken.became in ("refused", "rejected")
    except KeyboardInterrupt:
        typer.echo("Stopped. An update in progress goes on when the folder is watched again.", err=True)
        return
    for claim in waiting(home):
        typer.echo(_waits(claim, home), err=True)
    if failed:
        raise typer.Exit(REFUSED)


def approve(
    home: Annotated[Path, typer.Argument(help="The home.")],
    name: Annotated[str | None, typer.Argument(help="Which file: its name or number. Without it, what waits is listed.")] = None,
    reject: Annotated[bool, typer.Option("--reject", help="Reject it instead.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Let a file from a source that is not trusted be learned; `everlearn watch` then does."""
    import json

    from everlearn.upkeep.watch import approve as run
    from everlearn.upkeep.watch import waiting

    if name is None:
        claims = waiting(home)
        lines = [_waits(claim, home) for claim in claims] or ["Nothing waits in quarantine."]
    else:
        claims = [run(home, name, reject=reject)]
        lines = [f"{claim.name} (number {claim.number}) {'was rejected' if reject else 'is in the inbox'}." for claim in claims]
    if as_json:
        typer.echo(json.dumps([{"inbox": claim.number, "name": claim.name, "place": str(claim.place)} for claim in claims], ensure_ascii=False, indent=1))
    else:
        for line in lines:
            typer.echo(line)


def _line(taken: Taken) -> str:
    became = f"{taken.became}, version {taken.version.number}" if taken.version is not None else taken.became
    return f"{taken.name}: {became}. {taken.why}"


def _waits(claim: Claim, home: Path) -> str:
    return f"Waiting in quarantine: {claim.name} (number {claim.number}). Look at {claim.place}, then: everlearn approve {home} {claim.number}"
