"""Mammoth's logs.pyd: a line a run, a Python dict as text; read as literals, never run."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from pathlib import Path

from everlearn.errors import DataError
from everlearn.evaluate.matrix import Cell
from everlearn.importing import formulas
from everlearn.importing.found import Found, Stated

CELL = re.compile(r"accuracy_(\d+)_task(\d+)")
MEAN = re.compile(r"accmean_task(\d+)")
RESULTS = ("forward_transfer", "backward_transfer", "forgetting")
# Arguments that tell runs apart but not methods.
BOOKKEEPING = re.compile(r"seed|model|dataset|notes|device|.*wandb.*|conf_.*|ckpt.*|.*path.*|.*log.*|nowand|num_workers|savecheck|loadcheck|non_verbose")
SELF_COMPARED = "theirs is measured just before each task against a start that recent versions take from the same model, so that it is near 0"


def read_mammoth(path: Path) -> list[Found]:
    """The runs of a logs.pyd, or of the folder that holds it."""
    path = path / "logs.pyd" if path.is_dir() else path
    lines = [(number, line) for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1) if line.strip()]
    runs = [(number, literal_dict(line, f"{path}, line {number}")) for number, line in lines]
    named = _names([run for _, run in runs], path.parent.name)
    return [_found(run, name, f"{path}, line {number}") for (number, run), name in zip(runs, named, strict=True)]


def literal_dict(text: str, place: str) -> dict[str, object]:
    """A dict written as Python text: its literals, numpy numbers and nan; what is none of these (a device, a path) is left out."""
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as problem:
        raise DataError(f"this line is no Python dict ({place}): {problem}. Mammoth writes one dict a run and line. Remove it.") from problem
    if not isinstance(tree, ast.Dict):
        raise DataError(f"this line is no Python dict ({place}, found={type(tree).__name__}). Mammoth writes one dict a run and line. Remove the line.")
    found = {}
    for key, node in zip(tree.keys, tree.values, strict=True):
        if isinstance(key, ast.Constant) and isinstance(key.value, str):
            inner = node.args[0] if isinstance(node, ast.Call) and len(node.args) == 1 and _is_number_type(node.func) else node
            try:
                found[key.value] = None if isinstance(inner, ast.Name) and inner.id == "nan" else ast.literal_eval(inner)
            except ValueError:
                continue
    return found


def _is_number_type(node: ast.expr) -> bool:
    """np.float64 and its like, as numpy 2 writes its numbers."""
    return isinstance(node, ast.Attribute) and node.attr in ("float64", "float32", "int64") and isinstance(node.value, ast.Name)


def _found(run: Mapping[str, object], name: str, place: str) -> Found:
    cells = {(int(m[2]), int(m[1])): value for key, value in run.items() if (m := CELL.fullmatch(key))}
    if not cells:
        means = "It has the means over tasks alone, which are no matrix. " if any(MEAN.fullmatch(key) for key in run) else ""
        raise DataError(f"this run has no accuracy of single tasks ({place}, looked for='accuracy_1_task1'). {means}Log with a version that writes them.")
    many = max(max(pair) for pair in cells)
    if many > len(cells):
        raise DataError(f"most accuracies of this run are missing ({place}, tasks={many}, accuracies={len(cells)}). Each step needs those of the tasks so far.")
    rows = [[_number(cells.get((i, j))) for j in range(1, many + 1)] for i in range(1, many + 1)]
    seed = run.get("seed")
    return Found(name, rows, before=False, scales={"accuracy": "percent"}, stated=_stated(run, many), seed=seed if isinstance(seed, int) else None,
                 stream=str(run.get("dataset", "")))  # fmt: skip


def _stated(run: Mapping[str, object], many: int) -> tuple[Stated, ...]:
    found = [
        Stated(f"accmean_task{many}", _share(run.get(f"accmean_task{many}")), "average_accuracy"),
        Stated("forgetting", _share(run.get("forgetting")), "forgetting", formulas.BEST_WITH_END, formulas.forgetting_with_end),
        Stated("backward_transfer", _share(run.get("backward_transfer")), "backward_transfer", formulas.WITHOUT_LAST, formulas.transfer_without_last),
        Stated("forward_transfer", _share(run.get("forward_transfer")), "forward_transfer", SELF_COMPARED),
    ]
    return tuple(one for one in found if one.value == one.value)


def _number(value: object) -> Cell:
    return float(value) if isinstance(value, (int, float)) and value == value else None


def _share(value: object) -> float:
    number = _number(value)
    return float("nan") if number is None else number / 100


def _names(runs: list[dict[str, object]], fallback: str) -> list[str]:
    """The model's name, with those arguments that differ between the runs of one model."""
    models = [str(run.get("model", fallback)) for run in runs]
    named = []
    for run, model in zip(runs, models, strict=True):
        same = [other for other, own in zip(runs, models, strict=True) if own == model]
        keys = [key for key in run if not (CELL.fullmatch(key) or MEAN.fullmatch(key) or key in RESULTS or BOOKKEEPING.fullmatch(key))]
        apart = [f"{key}={run[key]}" for key in keys if any(other.get(key) != run[key] for other in same)]
        named.append(f"{model}({', '.join(apart)})" if apart else model)
    return named
