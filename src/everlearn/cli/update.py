"""`everlearn update`: new data in, a better version out, or a refusal."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

REFUSED = 3  # the exit code
LITTLE = ("Nothing was learned", "Too little was learned", "What was learned may be chance")  # the gate's words for what more teaching may mend


def update(
    home: Annotated[Path, typer.Argument(help="The home that `everlearn init` made.")],
    data: Annotated[Path, typer.Argument(help="A file of rows to learn: .jsonl, .jsonl.gz, .csv or .parquet.")],
    test: Annotated[Path | None, typer.Option(help="A file or a stream's folder that says what is right; without it a share of the rows is held out.")] = None,
    most_bad: Annotated[float, typer.Option(help="Share of the lines that may be bad, 0 to 1; they are left out.")] = 0.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the version as JSON.")] = False,
) -> None:
    """Learn, measure, and put the new version into service only if it lost less than allowed.

    Exit code 0: in service. 3: refused, and the version before stays. 2: an error, and nothing changed. Stopped, the same command goes on.
    """
    import json

    from everlearn.cli.progress import bar
    from everlearn.upkeep.update import update as run

    with bar() as progress:
        version = run(home, data, test, most_bad=most_bad, progress=progress)
    if as_json:
        typer.echo(json.dumps(version.to_json(), ensure_ascii=False, indent=1))
    else:
        for line in version.report:
            typer.echo(line)
        if not version.accepted and any(reason.startswith(LITTLE) for reason in version.reasons):
            typer.echo(f"To teach it more, raise passes or rate under [learn] in {home / 'everlearn.toml'}; more test rows make a gain surer.")
        typer.echo(f"Version {version.number} is in service." if version.accepted else "The version before stays in service; nothing of it changed.")
    if not version.accepted:
        raise typer.Exit(REFUSED)
