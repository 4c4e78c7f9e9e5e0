"""Benchmark folders as streams, recognised as their repositories have them: O-LoRA, SAPT, TRACE."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import get_args

from everlearn.errors import DataError, did_you_mean
from everlearn.streams.benchmark_rows import ORDERS, ROWS, Form, Layout, as_test, published_order, published_score
from everlearn.streams.files import Reading, collected, listed
from everlearn.streams.rows import short
from everlearn.types import Example, Experience, Score, Stream

FEW_LABELS = 20  # at most so many different answers make an unknown task a classification
HEAD = 1_000_000  # characters of a file that are looked at to recognise it: more than one entry of any of the three
ROLES = {"train": ("train",), "valid": ("dev", "eval"), "test": ("test",)}
LOOKED_FOR = (
    "GROUP/TASK/train.json as a list of {sentence, label} with labels.json (O-LoRA), TASK/train.json as an object with Definition and Instances (SAPT), "
    "TASK/train.json as a list of {prompt, answer} (TRACE)"
)


@dataclass(frozen=True, slots=True)
class Part:
    """One file of a benchmark. role: train, valid or test.   In `reading`, a line is an entry's number, from 1."""

    task: str
    role: str
    reading: Reading


@dataclass(frozen=True, slots=True)
class Benchmark:
    """A benchmark's files, read, in the order of their tasks.   order: a published order's name, or "".   left: tasks that order has not."""

    root: Path
    layout: Layout
    order: str
    left: tuple[str, ...]
    parts: tuple[Part, ...]


def load_benchmark(path: str | Path, layout: str = "auto", order: str | Sequence[str] | None = None, named: bool = False) -> Stream:
    """The stream in a benchmark's folder: each task an experience with its test.

    layout: "o-lora" (CL_Benchmark/GROUP/TASK/train.json), "sapt" (CL_Benchmark/SuperNI or /Long_Sequence, with TASK/train.json), "trace"
    (TASK/train.json), or "auto", recognised from the files.   order: a published order ("order1"), task names in order, also with commas
    between; by default the longest published order whose tasks are all there.   named: O-LoRA's prompts name group and task, as in its runs.

    The validation rows are those of dev.json or eval.json. O-LoRA's instructions are read from configs/instruction_config*.json beside or in
    the folder. Scores: O-LoRA, SAPT's long sequence, TRACE's C-STANCE, FOMC, NumGLUE exact; SAPT's SuperNI, MeetingBank, 20Minuten (by its
    authors SARI) rouge; Py150 (by its authors edit similarity) chrf; ScienceQA choice of the letter. An unknown task with few answers is exact,
    others rouge. Raises DataError with file and entry.
    """
    found = read_benchmark(path, layout, order, named)
    problems = [f"{part.reading.path}, entry {line}: {why}" for part in found.parts for line, why in part.reading.bad.items()]
    if problems:
        raise DataError(f"{found.root} cannot be used as a benchmark of {found.layout}.{listed(problems)}\nCorrect or cut these entries.")
    return benchmark_stream(found)


def benchmark_stream(found: Benchmark) -> Stream:
    """The stream of what was read; bad entries are left out."""
    by_task: dict[str, dict[str, tuple[Example, ...]]] = {}
    for part in found.parts:
        by_task.setdefault(part.task, {})[part.role] = tuple(part.reading.examples)
    experiences = tuple(_experience(found.layout, task, rows) for task, rows in by_task.items())
    about = f"{found.layout}, {found.order or 'its own order'}" + (f"; left out: {', '.join(found.left)}" if found.left else "")
    return Stream(f"{found.layout}-{found.order}" if found.order else found.layout, experiences, about=about)


def recognised(path: Path) -> Layout | None:
    """Whose layout this folder has, None if nobody's."""
    files = _train_files(path) if path.is_dir() else []
    return _layout_of(files[0]) if files else None


def read_benchmark(path: str | Path, layout: str = "auto", order: str | Sequence[str] | None = None, named: bool = False) -> Benchmark:
    """What `load_benchmark` reads, bad entries listed instead of raised (for a report)."""
    root = Path(path)
    if layout not in ("auto", *get_args(Layout)):
        raise DataError(f"there is no such layout (layout={layout!r}). {did_you_mean(layout, ('auto', *get_args(Layout)))}")
    if not root.is_dir():
        raise DataError(f"{root} is no folder. A benchmark is one. Check the path, from {Path.cwd()}.")
    found = recognised(root)
    if found is None or layout not in ("auto", found):
        raise DataError(f"{root} is no benchmark that is known here (layout={layout!r}, found={found!r}). Looked for: {LOOKED_FOR}. Name such a folder.")
    folders = _tasks(root, found)
    name, tasks = _ordered(found, tuple(folders), order)
    parts = tuple(part for task in tasks for part in _read_task(folders[task], found, _form(root, folders[task], found, named)))
    return Benchmark(root, found, name, tuple(sorted(set(folders) - set(tasks))), parts)


def _train_files(root: Path) -> list[Path]:
    return sorted(root.glob("[!.]*/train.json")) or sorted(root.glob("[!.]*/[!.]*/train.json"))


def _layout_of(file: Path) -> Layout | None:
    with file.open(encoding="utf-8-sig", errors="replace") as opened:
        head = opened.read(HEAD).lstrip()
    if head.startswith("{"):
        return "sapt" if '"Definition"' in head and '"Instances"' in head else None
    try:
        first = json.JSONDecoder().raw_decode(head, head.index("{"))[0]
    except ValueError:
        return None
    keys = set(first)
    return "trace" if keys >= {"prompt", "answer"} else "o-lora" if keys >= {"sentence", "label"} else None


def _tasks(root: Path, layout: Layout) -> dict[str, Path]:
    files = _train_files(root)
    groups = {file.parent.parent for file in files}
    if layout == "sapt" and len(groups) > 1:
        names = ", ".join(sorted(group.name for group in groups))
        raise DataError(f"{root} holds several benchmarks ({names}). Each is a stream of its own. Name one of these folders.")
    folders: dict[str, Path] = {}
    for file in files:
        if folders.setdefault(file.parent.name, file.parent) != file.parent:
            raise DataError(f"{root} has two tasks of one name ({file.parent} and {folders[file.parent.name]}). A task has its own. Rename one.")
    return folders


def _ordered(layout: Layout, tasks: tuple[str, ...], order: str | Sequence[str] | None) -> tuple[str, tuple[str, ...]]:
    """The name of the order, "" for one's own, and its tasks."""
    if order is None:
        return published_order(layout, tasks)
    name = order if isinstance(order, str) and order in ORDERS[layout] else ""
    given = ORDERS[layout][name] if name else tuple(part.strip() for part in order.split(",")) if isinstance(order, str) else tuple(order)
    missing = [task for task in given if task not in tasks]
    if missing or not given or len(set(given)) < len(given):
        raise DataError(
            f"this order cannot be used (order={order!r}, not there: {missing!r}). An order is one of {', '.join(ORDERS[layout])}, or task names, each once. "
            f"{did_you_mean(missing[0] if missing else '', tasks)}"
        )
    return name, given


def _form(root: Path, folder: Path, layout: Layout, named: bool) -> Form:
    if layout != "o-lora":
        return Form(folder.name)
    labels = _json(folder / "labels.json") if (folder / "labels.json").is_file() else []
    if not isinstance(labels, list):
        raise DataError(f"{folder / 'labels.json'} is no list ({short(labels)}). It lists the task's labels. Correct it.")
    group = folder.parent.name
    return Form(folder.name, group, tuple(str(label) for label in labels), _instruction(root, group), named)


def _instruction(root: Path, group: str) -> str:
    """O-LoRA's first instruction for a group of tasks, "" where its file is not there."""
    for place in (root, root.resolve().parent, root.resolve().parent.parent):
        for file in (*sorted(place.glob("configs/instruction_config*.json")), *sorted(place.glob("instruction_config*.json"))):
            given = _json(file)
            entries = given.get(group) if isinstance(given, dict) else None
            if isinstance(entries, list) and entries and isinstance(entries[0], dict):
                return str(entries[0].get("instruction", ""))
    return ""


def _read_task(folder: Path, layout: Layout, form: Form) -> list[Part]:
    parts = []
    for role, names in ROLES.items():
        file = next((folder / f"{name}.json" for name in names if (folder / f"{name}.json").is_file()), None)
        if file is not None:
            parts.append(Part(folder.name, role, _reading(file, layout, form, role)))
        elif role != "valid":
            raise DataError(f"{folder} has no {names[0]}.json. A task of {layout} has train.json, test.json and perhaps dev.json or eval.json. Add it.")
    return parts


def _reading(file: Path, layout: Layout, form: Form, role: str) -> Reading:
    given = _json(file)
    entries = given
    if layout == "sapt":
        definition = given.get("Definition", "") if isinstance(given, dict) else ""
        form = Form(form.task, instruction=str(definition[0] if isinstance(definition, list) and definition else definition or ""))
        entries = given.get("Instances") if isinstance(given, dict) else None
    if not isinstance(entries, list) or not entries:
        raise DataError(f"{file} has no list of entries ({short(given)}). Looked for: {LOOKED_FOR}. Correct it.")
    reader: Callable[[object], Mapping[str, object]] = partial(_row, layout=layout, form=form, role=role)
    return collected(file, ((number, partial(reader, entry)) for number, entry in enumerate(entries, 1)))


def _row(entry: object, layout: Layout, form: Form, role: str) -> Mapping[str, object]:
    if not isinstance(entry, dict):
        raise DataError(f"no object ({short(entry)}). An entry is one JSON object. Correct it.")
    row = ROWS[layout](entry, form)
    row = as_test(row, layout, form) if role != "train" else row
    return {**row, "task": form.task, "source": f"{layout}/{form.task}"}


def _json(file: Path) -> object:
    try:
        return json.loads(file.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{file} is not JSON ({error}). A benchmark's file is one JSON value, in UTF-8. Copy it again.") from error


def _experience(layout: Layout, task: str, rows: Mapping[str, tuple[Example, ...]]) -> Experience:
    score = _score(layout, task, rows)
    sizes = {len(example.choices) for example in rows["test"]}
    chance = {task: 1 / max(sizes)} if len(sizes) == 1 and max(sizes) > 1 else {}
    return Experience(task, rows["train"], {task: rows["test"]}, {task: score}, valid={task: rows["valid"]} if "valid" in rows else {}, chance=chance)


def _score(layout: Layout, task: str, rows: Mapping[str, tuple[Example, ...]]) -> Score:
    """The published kind where the rows allow it; for an unknown task exact with few answers, else rouge."""
    asked = (*rows["test"], *rows.get("valid", ()))
    kind = published_score(layout, task) or ("exact" if len({e.completion for e in rows["train"]}) <= FEW_LABELS else "rouge")
    if kind == "choice" and not all(example.choices for example in asked):
        kind = "exact"
    return "rouge" if kind == "exact" and any("\n" in (example.completion or "").strip() for example in asked) else kind
