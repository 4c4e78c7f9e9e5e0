"""Whose file is this: the layouts by name, and how each is recognised."""

from __future__ import annotations

import re
from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path

from everlearn.errors import DataError, SettingError
from everlearn.importing.avalanche import HEAD, read_avalanche
from everlearn.importing.found import Found, Imported
from everlearn.importing.libcontinual import read_libcontinual
from everlearn.importing.mammoth import read_mammoth
from everlearn.importing.plain import read_csv, read_json_matrix, read_npy
from everlearn.importing.renate import read_renate
from everlearn.importing.shape import Given, finished
from everlearn.importing.steps import read_predicted, read_trace

BY_LAYOUT: dict[str, Callable[[Path], list[Found]]] = {
    "avalanche": read_avalanche,
    "csv": read_csv,
    "json": read_json_matrix,
    "libcontinual": read_libcontinual,
    "mammoth": read_mammoth,
    "npy": read_npy,
    "o-lora": read_predicted,
    "renate": read_renate,
    "sapt": read_predicted,
    "trace": read_trace,
}
LOOKED_FOR = (
    "eval_results.csv or a JSON of Top1_Acc_Exp/... (avalanche); logs.pyd (mammoth); 'Average Acc Table' in a log (libcontinual); metrics_summary*.csv"
    " (renate); results-0-0-TASK.json (trace); 1-TASK/all_results.json (o-lora), with task_order.txt (sapt), or the text of SAPT's score.py;"
    " a matrix in a .csv, .tsv, .json or .npy"
)
IN_FOLDERS = (
    ("avalanche", re.compile(r"eval_results\.csv")),
    ("mammoth", re.compile(r"logs\.pyd")),
    ("renate", re.compile(r"metrics_summary.*\.csv")),
    ("trace", re.compile(r"results-\d+-\d+-.+\.json")),
    ("sapt", re.compile(r"task_order\.txt")),
    ("o-lora", re.compile(r"\d+-.+")),
)
START = 4_000_000  # characters of a text that are looked through for a layout's mark


def read_runs(path: Path, layout: str = "auto", given: Given | None = None) -> list[Imported]:
    """The runs of a file or folder. Raises SettingError for an unknown layout or no file, DataError for what cannot be read as it."""
    if layout != "auto" and layout not in BY_LAYOUT:
        near = get_close_matches(layout, BY_LAYOUT, 1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise SettingError(f"there is no such layout (layout={layout!r}).{hint} Allowed are auto, {', '.join(BY_LAYOUT)}.")
    if not path.exists():
        raise SettingError(f"there is nothing here (file={str(path)!r}). Name a file or folder that another framework wrote.")
    chosen = detected(path) if layout == "auto" else layout
    try:
        found = BY_LAYOUT[chosen](path)
    except (UnicodeDecodeError, OSError, OverflowError) as problem:
        raise DataError(f"this file cannot be read as {chosen} (file={str(path)!r}): {problem}. Give another file, or its layout.") from problem
    return [finished(run, chosen, path.name, given or Given()) for run in found]


def detected(path: Path) -> str:
    """The layout of a file or folder."""
    if path.is_dir():
        folder = path / "outputs" if (path / "outputs").is_dir() else path
        names = [part.name for part in folder.iterdir()]
        for layout, mark in IN_FOLDERS:
            if any(mark.fullmatch(name) for name in names):
                return layout
    else:
        layout = {".pyd": "mammoth", ".npy": "npy"}.get(path.suffix.lower()) or _by_text(path)
        if layout:
            return layout
    raise DataError(f"the layout is not known (file={str(path)!r}). Looked for: {LOOKED_FOR}. Name it with --layout if it is one of these.")


def _by_text(path: Path) -> str:
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(START)
    except UnicodeDecodeError:
        return ""
    first, suffix = (text.splitlines() or [""])[0], path.suffix.lower()
    marks = {
        "avalanche": first == ",".join(HEAD) or (suffix == ".json" and '"Top1_Acc_Exp/' in text),
        "renate": first.startswith(("Task ID,accuracy", "Task ID,Average Accuracy")),
        "mammoth": first.startswith("{") and "'accmean_task1'" in first,
        "trace": bool(re.fullmatch(r"results-\d+-\d+-.+\.json", path.name)),
        "libcontinual": "Average Acc Table" in text,
        "sapt": "╒" in text and "'Fwt'" in first,
        "json": suffix == ".json",
        "csv": suffix in (".csv", ".tsv"),
    }
    return next((layout for layout, fits in marks.items() if fits), "")
