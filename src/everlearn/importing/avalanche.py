"""Avalanche: what `EvaluationPlugin` returns, saved as JSON, and the CSVLogger's eval_results.csv."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean

from everlearn.errors import DataError
from everlearn.evaluate.matrix import Cell
from everlearn.importing import formulas
from everlearn.importing.found import Found, Stated
from everlearn.importing.text import as_cell, read_json

NAME = re.compile(r"Top1_Acc_Exp/eval_phase/([^/]+)_stream/(?:Task(\d+)/)?Exp(\d+)")
HEAD = ["eval_exp", "training_exp", "eval_accuracy", "eval_loss", "forgetting"]


def read_avalanche(path: Path) -> list[Found]:
    """The run of an eval_results.csv (or the folder that holds it), or of a JSON of metrics: all of them, or a list of those of each evaluation."""
    path = path / "eval_results.csv" if path.is_dir() else path
    return [_logged(path) if path.suffix == ".csv" else _returned(read_json(path), path)]


def _logged(path: Path) -> Found:
    place = f"file={str(path)!r}"
    with path.open(encoding="utf-8", newline="") as file:
        lines = [line for line in csv.reader(file) if line]
    if not lines or lines[0] != HEAD:
        first = lines[0] if lines else []
        raise DataError(f"this is no eval_results.csv of Avalanche ({place}, first line={first!r}). Its first line is {','.join(HEAD)}. Give that file.")
    accuracy, lost = dict[tuple[str, int], float](), dict[tuple[str, int], float]()
    for number, line in enumerate(lines[1:], 2):
        try:
            tested, trained, right, _, fell = line
            accuracy[trained, int(tested)], lost[trained, int(tested)] = float(right), float(fell)
        except ValueError as problem:
            raise DataError(f"this line cannot be read ({place}, line={number}): {problem}. It needs {','.join(HEAD)}. Remove or mend it.") from problem
    moments, tasks = list(dict.fromkeys(trained for trained, _ in accuracy)), sorted({tested for _, tested in accuracy})
    if moments in ([], ["None"]):
        raise DataError(f"nothing was evaluated after training ({place}, lines={len(lines)}). Call `eval` after each experience.")
    taught = [name for name in moments if name != "None"]
    rows = [[accuracy.get((name, task)) for task in tasks] for name in moments]
    learned = tuple(taught.index(str(task)) + 1 if str(task) in taught else 0 for task in tasks)
    falls = [lost[taught[-1], task] for task, at in zip(tasks, learned, strict=True) if 0 < at < len(taught) and (taught[-1], task) in lost]
    stated = (Stated("forgetting", fmean(falls), "forgetting_from_learned"),) if any(lost.values()) and falls else ()
    return Found("", rows, before=moments[0] == "None", learned=learned, scales={"accuracy": "share"}, stated=stated)


def _returned(saved: object, path: Path) -> Found:
    """One dict of (moments, values) by name, or a list of dicts of values."""
    place, grid, ends = f"file={str(path)!r}", dict[tuple[float, tuple[int, int]], Cell](), dict[str, object]()
    if isinstance(saved, Mapping):
        whole = {name: pair for name, pair in saved.items() if _is_curve(pair)}
        grid = {
            (float(x), key): as_cell(y, f"{place}, metric={name!r}")
            for name, (xs, ys) in whole.items()
            if (key := _key(name, whole))
            for x, y in zip(xs, ys, strict=True)
        }
        ends = {name: pair[1][-1] for name, pair in whole.items()}
    elif isinstance(saved, list):
        steps = [step for step in saved if isinstance(step, Mapping)]
        for at, step in enumerate(steps):
            grid |= {(float(at), key): as_cell(value, f"{place}, metric={name!r}") for name, value in step.items() if (key := _key(name, step))}
        ends = dict(steps[-1]) if steps else {}
    if not grid:
        raise DataError(
            f"this file has no accuracy of single experiences after each step ({place}, looked for='Top1_Acc_Exp/eval_phase/test_stream/Task000/Exp000')."
            " Evaluate with accuracy_metrics(experience=True), and save what `eval` returns each time, or get_all_metrics()."
        )
    moments, keys = sorted({x for x, _ in grid}), sorted({key for _, key in grid})
    rows: list[list[Cell]] = [[grid.get((x, key)) for key in keys] for x in moments]
    before = moments[0] == 0 if isinstance(saved, Mapping) else None  # the moment is the number of training iterations so far
    return Found("", rows, before=before, scales={"accuracy": "share"}, stated=_stated(ends))


def _is_curve(pair: object) -> bool:
    """Moments and as many values, as get_all_metrics() has them."""
    two = pair if isinstance(pair, list) and len(pair) == 2 and all(isinstance(part, list) for part in pair) else [[], [0]]
    return 0 < len(two[0]) == len(two[1]) and all(isinstance(x, (int, float)) for x in two[0])


def _key(name: str, among: Mapping[str, object]) -> tuple[int, int] | None:
    """(experience, task label) of an accuracy on the test stream; on another stream where there is no test stream."""
    found = NAME.fullmatch(name)
    if found is None:
        return None
    streams = {other[1] for own in among if (other := NAME.fullmatch(own))}
    chosen = "test" if "test" in streams else min(streams)
    return (int(found[3]), int(found[2] or 0)) if found[1] == chosen else None


def _stated(ends: Mapping[str, object]) -> tuple[Stated, ...]:
    wanted = {
        "Top1_Acc_Stream": ("average_accuracy", formulas.BY_EXAMPLES, None),
        "StreamForgetting": ("forgetting_from_learned", "", None),
        "StreamBWT": ("backward_transfer", formulas.WITHOUT_LAST, formulas.transfer_without_last),
        "StreamForwardTransfer": ("forward_transfer", "", None),
    }
    found = []
    for start, (metric, how, formula) in wanted.items():
        value = next((value for name, value in ends.items() if name.startswith(f"{start}/eval_phase/test_stream")), None)
        if isinstance(value, (int, float)):
            found.append(Stated(start, float(value), metric, how, formula))
    return tuple(found)
