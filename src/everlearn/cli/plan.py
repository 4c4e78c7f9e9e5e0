"""`everlearn plan`: what each method would take here, before it runs."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer


def plan(
    stream: Annotated[str, typer.Argument(help="A stream's folder, a file, hub:org/name[:split], or 'almanac'.")],
    model: Annotated[str, typer.Option(help="'tiny' (embedded), a model's folder, or a hub id.")] = "tiny",
    methods: Annotated[str, typer.Option(help="Runs, separated by commas, as for compare.")] = "plain,l2_sp,ewc,distill,replay,keep_current",
    passes: Annotated[int, typer.Option(help="Passes over each experience's new rows.")] = 3,
    batch: Annotated[int, typer.Option(help="New rows a step.")] = 16,
    micro_tokens: Annotated[int, typer.Option(help="Padded tokens in one forward pass.")] = 16_384,
    lora: Annotated[str, typer.Option(help="'auto', 'off', or a rank.")] = "auto",
    dtype: Annotated[str, typer.Option(help="float32, bfloat16, auto, 4bit or 8bit.")] = "float32",
    device: Annotated[str | None, typer.Option(help="Such as cpu or cuda:0.")] = None,
    probe: Annotated[int, typer.Option(help="Real steps of the shortest of the three trial runs that each method gets.")] = 4,
    minutes: Annotated[float | None, typer.Option(help="Most that one run may take; by default any time.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for programs.")] = False,
) -> None:
    """Predict each method's time, memory and extra bytes on this data, model and machine, and say which to begin with."""
    from rich.table import Table

    from everlearn.cli.check import in_bytes, in_time
    from everlearn.cli.console import console
    from everlearn.learn.settings import Settings
    from everlearn.models.load import parse_dtype, parse_lora
    from everlearn.plan import plan_runs

    settings, limit = Settings(passes=passes, batch=batch, micro_tokens=micro_tokens), float("inf") if minutes is None else minutes
    found = plan_runs(stream, model, methods, settings, parse_lora(lora), parse_dtype(dtype), device, probe, limit)
    if as_json:
        typer.echo(json.dumps(asdict(found), ensure_ascii=False, indent=1))
        return
    table = Table("method", "steps", "learning", "testing", "memory", "kept beside the weights", box=None, pad_edge=False, header_style="bold")
    for one in found.methods:
        sizes = (in_bytes(one.memory), in_bytes(one.extra_bytes) if one.extra_bytes else "nothing")
        table.add_row(one.method, f"{one.steps:,}", in_time(one.learn_seconds), in_time(one.test_seconds), *sizes)
    shown = console()
    shown.print(table)
    shown.print(f"Of one seed, from {found.basis}. Free here: {in_bytes(found.free)}.", soft_wrap=True, markup=False)
    shown.print(found.why, soft_wrap=True, markup=False)
