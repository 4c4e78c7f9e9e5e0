"""`everlearn compare`: many methods and seeds over one stream."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from everlearn.results import Results


def compare(
    stream: Annotated[str, typer.Argument(help="A stream's folder, or 'almanac', the embedded one.")],
    model: Annotated[str, typer.Option(help="'tiny' (embedded), a model's folder, or a hub id.")] = "tiny",
    methods: Annotated[
        str, typer.Option(help="Runs, separated by commas; + joins methods: 'plain,replay(share=0.5)+ewc(strength=10)'.")
    ] = "plain,keep_current",
    seeds: Annotated[int, typer.Option(help="Runs of each method: seeds 0 to N - 1.")] = 1,
    out: Annotated[Path, typer.Option(help="Folder for results.json and one JSON a run; what it holds is not run again.")] = Path("runs/compare"),
    rate: Annotated[float, typer.Option(help="AdamW's learning rate.")] = 2e-4,
    passes: Annotated[int, typer.Option(help="Passes over each experience's new rows.")] = 3,
    batch: Annotated[int, typer.Option(help="New rows a step; remembered ones come on top.")] = 16,
    schedule: Annotated[str, typer.Option(help="The rate within an experience: constant or linear (to zero).")] = "constant",
    warmup: Annotated[float, typer.Option(help="Share of an experience's steps in which the rate rises.")] = 0.0,
    weight_decay: Annotated[float, typer.Option(help="AdamW's weight decay.")] = 0.0,
    clip: Annotated[float, typer.Option(help="Largest gradient norm; 0 for none.")] = 1.0,
    micro_tokens: Annotated[int, typer.Option(help="Padded tokens in one forward pass: less memory, same results.")] = 16_384,
    precision: Annotated[str, typer.Option(help="'no', or 'bf16' to compute in bfloat16.")] = "no",
    activation_checkpointing: Annotated[
        bool, typer.Option("--activation-checkpointing", help="Compute each block again in the backward pass: less memory, slower, same results.")
    ] = False,
    lora: Annotated[str, typer.Option(help="'auto' (adapters of rank 16 from half a billion parameters on), 'off', or a rank.")] = "auto",
    dtype: Annotated[str, typer.Option(help="Of the weights: float32, bfloat16, auto (the file's own), 4bit or 8bit beneath adapters.")] = "float32",
    device: Annotated[str | None, typer.Option(help="Such as cpu or cuda:0; by default the accelerator, if there is one.")] = None,
    valid: Annotated[bool, typer.Option("--valid", help="Test on the validation rows, to choose settings.")] = False,
    orders: Annotated[int, typer.Option(help="Orders of the experiences: as given, then seeded permutations.")] = 1,
    anchor: Annotated[
        str, typer.Option(help="Text to measure the distance from the starting model on: a file, 'everlearn' (ours), 'auto' (the stream's base), 'off'.")
    ] = "auto",
    probes: Annotated[bool, typer.Option("--probes/--no-probes", help="Ask the skill and safety probes before and after.")] = True,
    save_every: Annotated[float, typer.Option(help="Seconds between savings from which a stopped run goes on.")] = 60.0,
    order: Annotated[
        str, typer.Option(help="Of the rows: sequential, blurred(overlap=0.5), recurring(times=2), shuffled, imbalanced(ratio=10) or bursts(length=20).")
    ] = "sequential",
    boundaries: Annotated[
        str, typer.Option(help="'told', or where rows are cut: a detector (embedding, adwin, page_hinkley, kswin), every(tokens=4000), or both with +.")
    ] = "told",
    prequential: Annotated[str | None, typer.Option(help="Test new rows before they are learned, by exact or loss.")] = None,
    engine: Annotated[str, typer.Option(help="'local', or 'ray': each run a task on a Ray cluster.")] = "local",
    address: Annotated[str | None, typer.Option(help="The Ray cluster's address, 'auto' for this machine's; by default one is started here.")] = None,
) -> None:
    """Compare methods on a stream: what each learns, what it forgets, what it costs."""
    from everlearn.cli.console import console
    from everlearn.cli.progress import bar
    from everlearn.comparison import compare as run
    from everlearn.learn.settings import Settings
    from everlearn.models.load import parse_dtype, parse_lora
    from everlearn.models.processes import processes

    settings = Settings(rate, passes, batch, schedule, warmup, weight_decay, clip, micro_tokens, precision, activation_checkpointing)  # type: ignore[arg-type]
    with bar() if processes().first else nullcontext() as progress:
        how = (settings, parse_lora(lora), valid, parse_dtype(dtype), device, progress)
        off = None if anchor == "off" else anchor
        shape = {"order": order, "boundaries": boundaries, "prequential": prequential, "engine": engine, "address": address}
        results = run(stream, model, methods, seeds, out, *how, orders=orders, anchor=off, probes=probes, save_every=save_every, **shape)  # type: ignore[arg-type]
    if not processes().first:
        return
    shown = console()
    shown.print(results.table())
    for line in _notes(results, out):
        shown.print(line, soft_wrap=True)


def _notes(results: Results, out: Path) -> Iterator[str]:
    """What is to be known beside the table: rows that were cut, where it lies, what else lies there, and its page."""
    from everlearn.cli.page import paged

    if cut := max(int(found.cost.get("cut_rows") or 0) for found in results.runs):
        yield f"{cut} rows were too long for the model and lost a part."
    yield f"Written to {out / 'results.json'}; the same command again goes on from there."
    mine = {run.name for run in results.runs}
    others = sorted({path.stem.rpartition("-seed")[0] for path in (out / "runs").glob("*.json") if path.stem not in mine})
    if others:
        yield f"{out / 'runs'} also holds runs of {', '.join(others)}; name them too to have them in one table."
    yield paged(results, out)
