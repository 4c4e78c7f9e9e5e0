"""Other frameworks' runs as a Matrix, or as Results that tables and pages are made of."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from everlearn.errors import DataError, SettingError
from everlearn.evaluate.matrix import Matrix
from everlearn.importing.found import Imported
from everlearn.importing.layouts import read_runs
from everlearn.importing.shape import Given
from everlearn.results import Results, Run
from everlearn.version import VERSION

MODEL = "model not stated"


def import_matrix(path: str | Path, layout: str = "auto", given: Given | None = None) -> Matrix:
    """The Matrix that another framework wrote, in shares; its metrics are then those of everlearn.

    layout: avalanche, csv, json, libcontinual, mammoth, npy, o-lora, renate, sapt, trace, or auto.   given: what the file does not say.
    Row 0 is empty where the file has no row before training. Raises DataError for a file of several runs, or of no scores.

    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "matrix.csv"
    >>> _ = file.write_text("after,a,b\\na,90,\\nb,30,80\\n")
    >>> metrics = import_matrix(file).metrics()
    >>> round(metrics["forgetting"], 2), metrics["forward_transfer"]
    (0.6, None)
    """
    runs = read_runs(Path(path), layout, given)
    if len(runs) != 1:
        raise DataError(f"this file holds several runs (file={str(path)!r}, runs={len(runs)}). import_matrix gives one. Use import_runs for all of them.")
    return runs[0].matrix


def import_runs(files: Sequence[str | Path], layout: str = "auto", given: Given | None = None) -> list[Imported]:
    """Every run of the files, each with what its framework states of it. A file may be named, "ewc=logs/1.csv"; runs of one name get different seeds."""
    found, taken = list[Imported](), set[tuple[str, int]]()
    for file in files:
        name, path = _named(file)
        for run in read_runs(path, layout, given):
            label = name or run.name or (path.parent.name if path.name in ("eval_results.csv", "logs.pyd") else path.name.removesuffix(path.suffix))
            seed = next(number for number in (run.seed, *range(len(taken) + 1)) if (label, number) not in taken)
            taken.add((label, seed))
            found.append(replace(run, name=label, seed=seed))
    return found


def _named(file: str | Path) -> tuple[str, Path]:
    """A name, "" for none, and the path; a path that exists is a path even with = in it."""
    name, equals, rest = str(file).partition("=")
    return ("", Path(file)) if not equals or Path(file).exists() else (name, Path(rest))


def import_results(runs: Sequence[Imported], stream: str = "") -> Results:
    """The runs as Results; `everlearn report` makes a page of what `save` writes. Raises DataError for runs over different tasks.

    stream: its name; by default the one that the files give, if they give one.
    """
    if not runs:
        raise SettingError("there is no run to import (files=[]). Name at least one file.")
    first = runs[0].matrix
    for run in runs[1:]:
        shape = (run.matrix.tasks, run.matrix.kinds, len(run.matrix.experiences), run.matrix.learned)
        if shape != (first.tasks, first.kinds, len(first.experiences), first.learned):
            raise DataError(
                f"two runs are over different streams (first={runs[0].name!r} with tasks {first.tasks!r}, other={run.name!r} with tasks {run.matrix.tasks!r})."
                " One table needs the same tasks, taught in the same order. Import them one by one."
            )
    named = dict.fromkeys(run.stream for run in runs if run.stream)
    layouts = ", ".join(dict.fromkeys(run.layout for run in runs))
    tasks: list[dict[str, object]] = [
        {"name": name, "score": kind, "examples": None, "learned": at, "chance": None}
        for name, kind, at in zip(first.tasks, first.kinds, first.learned, strict=True)
    ]
    experiences: list[dict[str, object]] = [
        {"name": name, "time": None, "train": None, "tests": [task for task, at in zip(first.tasks, first.learned, strict=True) if at == i]}
        for i, name in enumerate(first.experiences, 1)
    ]
    return Results(
        stream or "+".join(named) or "imported", MODEL, [_run(run) for run in runs], experiences=experiences, tasks=tasks,
        about=f"Results of other frameworks ({layouts}), computed anew. Costs and the model are not in their files.",
        created=datetime.now(UTC).isoformat(timespec="seconds"), task_ids=None,
    )  # fmt: skip


def _run(run: Imported) -> Run:
    """As a comparison records it; what the framework stated stands in the settings."""
    stated = {row.name: {"theirs": row.theirs, "ours": {row.metric: row.ours}, "why": row.why} for row in run.beside()}
    by_kind = {kind: run.matrix.metrics(kind) for kind in dict.fromkeys(run.matrix.kinds)}
    matrix = run.matrix.to_json()
    mark = hashlib.sha256(json.dumps(matrix, sort_keys=True).encode()).hexdigest()[:16]
    imported = {"layout": run.layout, "file": run.file, "notes": list(run.notes), "stated": stated}
    main = run.matrix.main_kind
    return Run(run.name, run.seed, matrix, main, [], by_kind[main], by_kind, {}, {"imported": imported}, mark, VERSION)


def writable(folder: Path) -> Path:
    """The results file of a folder. Raises SettingError where it holds a comparison, which would be lost."""
    path = folder / "results.json"
    if path.is_file() and not all("imported" in run.settings for run in Results.load(path).runs):
        raise SettingError(f"this folder holds a comparison (out={str(folder)!r}). What is imported would take its place. Name another folder.")
    return path
