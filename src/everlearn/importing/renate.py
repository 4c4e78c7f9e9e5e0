"""Renate's metrics_summary files: every score after every update, and its own metrics in a file of their own."""

from __future__ import annotations

import csv
import re
from pathlib import Path

from everlearn.errors import DataError
from everlearn.importing import formulas
from everlearn.importing.found import Found, Stated
from everlearn.importing.text import as_cell, rectangular

STATED = (
    ("Average Accuracy", "average_accuracy", "", None),
    ("Forgetting", "forgetting", formulas.BEST_OF_ALL, formulas.forgetting_of_all),
    ("Forward Transfer", "forward_transfer", "theirs has the row before training, which its files leave out", None),
    ("Backward Transfer", "backward_transfer", formulas.WITHOUT_LAST, formulas.transfer_without_last),
)
UPDATE = re.compile(r"metrics_summary_update_(\d+)_.*\.csv")


def read_renate(path: Path) -> list[Found]:
    """The run of a metrics_summary_update_N file, or of the folder that holds them: the last one, and metrics_summary.csv beside it."""
    folder = path if path.is_dir() else path.parent
    if path.is_dir() or path.name == "metrics_summary.csv":
        updates = sorted((int(m[1]), file) for file in folder.iterdir() if (m := UPDATE.fullmatch(file.name)))
        if not updates:
            raise DataError(f"the scores after each update are missing (folder={str(folder)!r}, looked for='metrics_summary_update_*.csv'). Give their folder.")
        path = updates[-1][1]
    place = f"file={str(path)!r}"
    with path.open(encoding="utf-8", newline="") as file:
        lines = [line for line in csv.reader(file) if line]
    columns = [j for j, name in enumerate(lines[0]) if name == "accuracy"] if len(lines) > 2 else []
    if not columns or len(lines[1]) != len(lines[0]):
        raise DataError(f"this is no file of scores after updates of Renate ({place}). Its first two lines are Task ID,accuracy,... and ,Task 1,... .")
    rows = rectangular([[as_cell(cell, f"{place}, line={number}") for cell in line] for number, line in enumerate(lines[2:], 3)], place, 3)
    return [Found("", [[row[j] for j in columns] for row in rows], before=False, scales={"accuracy": "share"}, stated=_stated(folder / "metrics_summary.csv"))]


def _stated(path: Path) -> tuple[Stated, ...]:
    """The metrics after the last update."""
    if not path.is_file():
        return ()
    with path.open(encoding="utf-8", newline="") as file:
        last = (list(csv.DictReader(file)) or [{}])[-1]
    found = [(name, as_cell(last.get(name), f"file={str(path)!r}"), *rest) for name, *rest in STATED]
    return tuple(Stated(name, value, metric, how, formula) for name, value, metric, how, formula in found if value is not None)
