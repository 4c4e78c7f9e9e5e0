"""`everlearn forget`: a source or an example out of everything the home holds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def forget(
    home: Annotated[Path, typer.Argument(help="The home.")],
    source: Annotated[str | None, typer.Option(help="Forget every row of this source.")] = None,
    id: Annotated[str | None, typer.Option("--id", help="Forget the example with this id, and all with equal content.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was forgotten as JSON.")] = False,
) -> None:
    """Delete a source's rows, or one example, with all that was learned from them, and prove that they are gone.

    Versions that learned from them are withdrawn; where the home keeps data, the later updates are taught again without them. Stopped, the same command
    goes on, also without --source and --id. Exit code 2, and nothing changed, where the home holds nothing of it.
    """
    import json

    from everlearn.cli.progress import bar
    from everlearn.errors import SettingError, did_you_mean
    from everlearn.upkeep.forget import forget as run
    from everlearn.upkeep.forget import sources_of
    from everlearn.versions.home import Home

    place = Home(home)
    with bar() as progress:
        found = run(place, source=source, id=id, progress=progress)
    if not found.found:
        told = did_you_mean(source, sources_of(place)[:20]) if source else "`everlearn show` names the rows of a version."
        raise SettingError(f"nothing in this home is of it (source={source!r}, id={id!r}). {told}")
    if as_json:
        typer.echo(json.dumps(found.to_json(), ensure_ascii=False, indent=1))
        return
    for line in found.told:
        typer.echo(line)
