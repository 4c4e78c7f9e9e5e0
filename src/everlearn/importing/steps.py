"""Folders with a file for every step: TRACE's results-STEP-TASK-NAME.json, and N-TASK/all_results.json of O-LoRA and SAPT."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from everlearn.errors import DataError
from everlearn.evaluate.matrix import Cell
from everlearn.importing import formulas
from everlearn.importing.found import Found, Scale, Stated
from everlearn.importing.text import as_cell, read_json, rectangular

RESULT = re.compile(r"results-(\d+)-(\d+)-(.+)\.json")
STEP = re.compile(r"(\d+)-(.+)")
# TRACE's scores in the order in which its paper prefers them, each with its scale.
TRACE: dict[str, Scale] = {"accuracy": "share", "sari": "percent", "rouge-L": "share", "similarity": "percent"}
# O-LoRA and SAPT write several scores a task; exact match is meant for classification, ROUGE-L for all else.
PREDICTED: dict[str, Scale] = {"exact_match": "percent", "rougeL": "percent"}
KEY = re.compile(r"predict_(exact_match|eval_rougeL|rougeL)_for_(.+)")
SCORES = {
    "Cl": ("average_accuracy", "", None),
    "Fgt": ("forgetting", formulas.BEST_OF_ALL, formulas.forgetting_of_all),
    "Fwt": ("learning_accuracy", formulas.LESS_CONSTANT, formulas.learned_less_constant),
    "Bwt": ("backward_transfer", "", None),
}


def read_trace(path: Path) -> list[Found]:
    """The run of a folder of results-STEP-TASK-NAME.json, or of one of them."""
    folder = path if path.is_dir() else path.parent
    files = {(int(m[1]), int(m[2])): (m[3], file) for file in folder.iterdir() if (m := RESULT.fullmatch(file.name))}
    if not files:
        raise DataError(f"there are no results of TRACE here (folder={str(folder)!r}, looked for='results-0-0-TASK.json'). Give its inference output folder.")
    steps, tasks = sorted({i for i, _ in files}), sorted({j for _, j in files})
    names, kinds, rows = dict[int, str](), dict[int, str](), []
    for i in steps:
        row: list[Cell] = []
        for j in tasks:
            name, file = files.get((i, j), ("", None))
            kind, value = _scored(file, kinds.get(j)) if file else ("", None)
            row.append(value)
            if file:
                names[j], kinds[j] = name, kind
        rows.append(row)
    notes = ("Tasks are of several kinds of score, which are never averaged together; TRACE's paper averages them.",) if len(set(kinds.values())) > 1 else ()
    learned = tuple(steps.index(j) + 1 if j in steps else 0 for j in tasks)
    experiences = tuple(names.get(i, str(i)) for i in steps)
    return [Found("", rows, tuple(names[j] for j in tasks), experiences, False, learned, tuple(kinds[j] for j in tasks), TRACE, notes=notes)]


def _scored(file: Path, wanted: str | None) -> tuple[str, Cell]:
    """(kind of score, value) of a result; the same kind at every step."""
    saved = read_json(file)
    scores = saved.get("eval") if isinstance(saved, Mapping) else None
    kind = wanted or next((kind for kind in TRACE if isinstance(scores, Mapping) and kind in scores), None)
    if not isinstance(scores, Mapping) or kind is None or kind not in scores:
        found = sorted(scores) if isinstance(scores, Mapping) else scores
        raise DataError(f"this result has no score that TRACE reports (file={str(file)!r}, eval={found!r}). Allowed are {', '.join(TRACE)}. Evaluate it anew.")
    value = scores[kind]
    while isinstance(value, (Sequence, Mapping)) and not isinstance(value, str) and len(value) == 1:
        value = next(iter(value.values())) if isinstance(value, Mapping) else value[0]  # sari is written as [{"sari": 40.1}]
    return kind, as_cell(value, f"file={str(file)!r}")


def read_predicted(path: Path) -> list[Found]:
    """The run of a folder of N-TASK folders (or of the folder of `outputs`), or of a text that SAPT's score.py writes."""
    if path.is_file() and path.suffix == ".txt" and path.name != "task_order.txt":
        return [_scored_text(path)]
    folder = path if path.is_dir() else path.parent
    folder = folder / "outputs" if (folder / "outputs").is_dir() else folder
    steps = sorted((int(m[1]), m[2], part) for part in folder.iterdir() if part.is_dir() and (m := STEP.fullmatch(part.name)))
    files = [(name, next((part / own for own in ("all_results.json", "predict_results.json") if (part / own).is_file()), part)) for _, name, part in steps]
    if not files or any(file.is_dir() for _, file in files):
        wrong = next((file.name for _, file in files if file.is_dir()), "")
        raise DataError(
            f"a step has no results (folder={str(folder)!r}, step={wrong!r}, looked for='1-TASK/all_results.json'). Each step's folder needs its own. Predict"
            " at every step."
        )
    order = folder / "task_order.txt"
    listed = [name.strip() for name in order.read_text(encoding="utf-8").splitlines()[0].split(",")] if order.is_file() else [name for name, _ in files]
    scores = [_predicted(file) for _, file in files]
    kind = _kind(listed, scores, folder)
    rows = [[found.get((kind, name)) for name in listed] for found in scores]
    experiences = tuple(name for name, _ in files)
    learned = tuple(experiences.index(name) + 1 if name in experiences else 0 for name in listed)
    return [Found("", rows, tuple(listed), experiences, False, learned, (kind,) * len(listed), PREDICTED)]


def _predicted(file: Path) -> dict[tuple[str, str], Cell]:
    """By kind of score and task."""
    saved = read_json(file)
    items = saved.items() if isinstance(saved, Mapping) else ()
    found = ((m, value) for key, value in items if (m := KEY.fullmatch(key)))
    return {(m[1].removeprefix("eval_"), m[2]): as_cell(value, f"file={str(file)!r}") for m, value in found}


def _kind(tasks: Sequence[str], scores: Sequence[Mapping[tuple[str, str], Cell]], folder: Path) -> str:
    """Exact match where the names of the benchmark's tasks are those of classification, as in its own score; ROUGE-L for SuperNI's."""
    generated = all(name.startswith("task") for name in tasks)
    for kind in ("rougeL", "exact_match") if generated else ("exact_match", "rougeL"):
        if any((kind, name) in found for found in scores for name in tasks):
            return kind
    raise DataError(
        f"no result has a score of these tasks (folder={str(folder)!r}, tasks={list(tasks)!r}, looked for='predict_exact_match_for_TASK' and"
        " 'predict_eval_rougeL_for_TASK'). The folders' names after the number are the tasks' names. Rename them, or give task_order.txt."
    )


def _scored_text(path: Path) -> Found:
    """SAPT's results/RUN.txt: its metrics as a dict, each task learned alone, then the matrix as a drawn table."""
    place, lines = f"file={str(path)!r}", path.read_text(encoding="utf-8").splitlines()
    tables = [[]] if not lines else [list[list[str]]()]
    for line in lines[1:]:
        if line.startswith("╒"):
            tables.append([])
        elif line.startswith("│"):
            tables[-1].append([cell.strip() for cell in line.strip("│").split("│")])
    matrix = next((table for table in reversed(tables) if len(table) > 2 and table[0][0] == ""), None)
    try:
        stated = ast.literal_eval(lines[0]) if lines else None
    except (SyntaxError, ValueError):
        stated = None
    if matrix is None or not isinstance(stated, dict):
        raise DataError(f"this is no text of SAPT's score.py ({place}). It holds a line of Cl, Fgt, Fwt, Bwt and a table of scores. Give the outputs folder.")
    rows = rectangular([[as_cell(cell, place) for cell in line[1:]] for line in matrix[1:]], place)
    found = [[cell if j <= i else None for j, cell in enumerate(row)] for i, row in enumerate(rows)]
    told = tuple(Stated(name, stated[name] / 100, *of) for name, of in SCORES.items() if isinstance(stated.get(name), (int, float)))
    return Found("", found, before=False, kinds=("rougeL",) * len(found[0]), scales=PREDICTED, stated=told)
