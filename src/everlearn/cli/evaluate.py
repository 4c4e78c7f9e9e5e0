"""`everlearn evaluate`: one model's scores, alone or against another's."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def evaluate(
    model: Annotated[str, typer.Argument(help="'tiny' (embedded), a model's folder, or a hub id.")],
    stream: Annotated[str, typer.Argument(help="A stream's folder, or 'almanac', the embedded one.")],
    task: Annotated[list[str] | None, typer.Option(help="A task of the stream to ask; again for more. By default all.")] = None,
    probes: Annotated[bool, typer.Option(help="Also ask for arithmetic, instructions and refusals.")] = True,
    against: Annotated[str | None, typer.Option(help="A second model: paired differences, and KL from it to MODEL.")] = None,
    lm_eval: Annotated[str, typer.Option("--lm-eval", help="Tasks of lm-eval, separated by commas.")] = "",
    include_path: Annotated[Path | None, typer.Option(help="Folder of YAML tasks for --lm-eval.")] = None,
    valid: Annotated[bool, typer.Option("--valid", help="Ask the validation rows.")] = False,
    after: Annotated[int | None, typer.Option(help="The experience after which answers are held true, 0 for before the stream; by default the last.")] = None,
    anchor: Annotated[Path | None, typer.Option(help="A file of anchor text of your own, for perplexity and KL.")] = None,
    out: Annotated[Path | None, typer.Option(help="File for the scorecard as JSON, one number an example.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the JSON, for programs.")] = False,
    dtype: Annotated[str, typer.Option(help="Of the weights in memory: float32, bfloat16, or auto (the file's own).")] = "float32",
    device: Annotated[str | None, typer.Option(help="Such as cpu or cuda:0; by default the accelerator, if there is one.")] = None,
) -> None:
    """Score a model on a stream's tasks, on probes and on anchor text; with --against, compare two."""
    import json

    from everlearn.cli.console import console
    from everlearn.cli.progress import bar
    from everlearn.errors import SettingError
    from everlearn.evaluation import evaluate_model
    from everlearn.models.load import parse_dtype

    if include_path is not None and not lm_eval:
        raise SettingError(f"include_path is for lm-eval tasks, and none is named (include_path={str(include_path)!r}). Name some with --lm-eval.")
    if out is not None and (out.is_dir() or out.suffix != ".json"):
        raise SettingError(f"out must be a .json file, got {str(out)!r}. Name one, such as {str(out / 'scores.json') if out.is_dir() else 'scores.json'!r}.")
    harness = [name.strip() for name in lm_eval.split(",") if name.strip()]
    chosen = (task or (), probes, against, harness, include_path, valid, after, anchor, parse_dtype(dtype), device)
    with bar() as progress:
        card = evaluate_model(model, stream, *chosen, progress)
    if out is not None:
        card.save(out)
    if as_json:
        typer.echo(json.dumps(card.to_json(), ensure_ascii=False, indent=1))
        return
    shown = console()
    shown.print(card.table())
    for line in card.notes():
        shown.print(line, soft_wrap=True, markup=False)
    if out is not None:
        shown.print(f"Written to {out}.", soft_wrap=True)
