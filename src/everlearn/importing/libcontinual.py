"""LibContinual's log: the accuracy table that it prints at its end."""

from __future__ import annotations

import re
from pathlib import Path

from everlearn.errors import DataError
from everlearn.evaluate.matrix import Cell
from everlearn.importing import formulas
from everlearn.importing.found import Found, Stated
from everlearn.importing.text import as_cell, rectangular

TABLE = re.compile(r"Average Acc Table\s*:\s*(\[\[.*?\]\])", re.DOTALL)
ROW = re.compile(r"\[([^\[\]]*)\]")
NUMBER = r"(-?\d+(?:\.\d+)?)"
STATED = (
    (rf"\* \[Task\] Last Average Acc\s*: {NUMBER}", "[Task] Last Average Acc", "average_accuracy", "", None),
    (rf"\* \[Batch\] Last Average Acc\s*: {NUMBER}", "[Batch] Last Average Acc", "average_accuracy", formulas.BY_EXAMPLES, None),
    (rf"\* Forgetting\s*: {NUMBER}", "Forgetting", "forgetting", formulas.WITHOUT_TWO, formulas.forgetting_without_two),
    (rf"\* Backward Transfer\s*: {NUMBER}", "Backward Transfer", "backward_transfer", formulas.PAIRS, formulas.transfer_of_pairs),
)


def read_libcontinual(path: Path) -> list[Found]:
    """The runs of a log, one for each table in it."""
    text = path.read_text(encoding="utf-8", errors="replace")
    tables = list(TABLE.finditer(text))
    if not tables:
        raise DataError(f"this log has no table of accuracies (file={str(path)!r}, looked for='Average Acc Table'). It ends a run: give a finished one.")
    starts = [0, *(table.end() for table in tables[:-1])]
    return [_found(table, text[start : table.start()], path) for table, start in zip(tables, starts, strict=True)]


def _found(table: re.Match[str], told: str, path: Path) -> Found:
    place = f"file={str(path)!r}"
    if "..." in table[1]:
        raise DataError(f"the table was shortened when it was printed ({place}, found='...'). Print it whole: numpy.set_printoptions(threshold=10**6).")
    full = rectangular([[as_cell(cell, place) for cell in row.split()] for row in ROW.findall(table[1])], place)
    rows: list[list[Cell]] = [[cell if j <= i else None for j, cell in enumerate(row)] for i, row in enumerate(full)]  # above the diagonal it is all zeros
    stated = []
    for pattern, name, metric, how, formula in STATED:
        if numbers := re.findall(pattern, told):
            stated.append(Stated(name, float(numbers[-1]) / 100, metric, how, formula))
    seed = re.search(r"'seed'\s*:\s*(\d+)", told)
    return Found(_classifier(told), rows, before=False, scales={"accuracy": "percent"}, stated=tuple(stated), seed=int(seed[1]) if seed else None)


def _classifier(told: str) -> str:
    """The method's name from the configuration at the log's head, "" where there is none: the `name` of `classifier`, not one further inside."""
    inside, depth = told.partition("'classifier': {")[2], 1
    outer = ""
    for letter in inside:
        depth += (letter == "{") - (letter == "}")
        if not depth:
            break
        outer += letter if depth == 1 else ""
    name = re.search(r"'name':\s*'([^']+)'", outer)
    return name[1] if name else ""
