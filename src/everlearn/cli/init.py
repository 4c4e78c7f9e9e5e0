"""`everlearn init`: a new home for a model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def init(
    home: Annotated[Path, typer.Argument(help="A new folder, or one with an everlearn.toml to use.")],
    model: Annotated[str, typer.Option(help="'tiny' (embedded), a model's folder, or a hub id; its files are copied.")] = "tiny",
    test: Annotated[Path | None, typer.Option(help="A file or a stream's folder with what no update may lose.")] = None,
    remember: Annotated[Path | None, typer.Option(help="A file of rows the model knows already, for methods that rehearse.")] = None,
    recipe: Annotated[str | None, typer.Option(help="How updates learn: one run's methods, joined by +.")] = None,
    rate: Annotated[float | None, typer.Option(help="AdamW's learning rate of updates.")] = None,
    passes: Annotated[int | None, typer.Option(help="Passes over each update's rows.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the first version as JSON.")] = False,
) -> None:
    """Make a home: a folder that holds the model, its versions, and everlearn.toml with every setting explained."""
    import json

    from everlearn.upkeep.beginning import create_home
    from everlearn.versions.settings import FILE, HomeSettings

    own = home / FILE
    settings = HomeSettings.load(own) if own.is_file() else HomeSettings()
    given = {name: value for name, value in (("recipe", recipe), ("rate", rate), ("passes", passes)) if value is not None}
    if given:
        settings = HomeSettings.of({**settings.model_dump(by_alias=True), "learn": {**settings.learn.model_dump(), **given}}, "the options")
    made = create_home(home, model, test=test, remember=remember or (), settings=settings)
    if as_json:
        typer.echo(json.dumps(made.head.to_json(), ensure_ascii=False, indent=1))
        return
    for line in made.head.report:
        typer.echo(line)
    typer.echo(f"Settings: {own}. Teach it with `everlearn update {home} DATA --test FILE`.")
