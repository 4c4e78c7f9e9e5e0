"""Run folders as `compare` writes them, made by hand, so that every number on the page is known."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

TASKS = ("old", "first", "second", "third")
LEARNED = (0, 1, 2, 3)
SIZE = 40  # questions a task

# Of each method, how many of 40 questions are right: four rows (before, then three experiences) of four tasks.
RIGHT = {
    "plain": [[38, 0, 0, 0], [30, 40, 0, 0], [20, 22, 40, 0], [12, 10, 20, 40]],
    "replay(share=1)": [[38, 0, 0, 0], [38, 40, 0, 0], [37, 38, 40, 0], [36, 37, 38, 39]],
    "replay(share=1)+distill(on=memory)": [[38, 0, 0, 0], [38, 39, 0, 0], [37, 38, 39, 0], [37, 38, 38, 38]],
    "ewc(strength=1)": [[38, 0, 0, 0], [36, 30, 0, 0], [34, 28, 28, 0], [32, 26, 27, 25]],
    "joint": [[38, 0, 0, 0], [None] * 4, [None] * 4, [39, 40, 40, 40]],
    "frozen": [[38, 0, 0, 0]] * 4,
}
SECONDS = {"plain": 10.0, "replay(share=1)": 22.0, "replay(share=1)+distill(on=memory)": 31.0, "ewc(strength=1)": 14.0, "joint": 25.0, "frozen": 0.0}

Rows = Sequence[Sequence[int | None]]
Make = Callable[..., Path]


def run_record(method: str, right: Rows, seed: int = 0, order: int = 0, kinds: Sequence[str] = ("exact",) * 4) -> dict[str, object]:
    """One run of results.json."""
    rows = [[None if n is None else n / SIZE for n in row] for row in right]
    joint = any(cell is None for row in rows for cell in row)
    end = [cell or 0.0 for cell in rows[-1]]
    at = [rows[learned][j] for j, learned in enumerate(LEARNED)]
    best = [max(cell for row in rows[learned:] if (cell := row[j]) is not None) for j, learned in enumerate(LEARNED)]
    average = sum(end) / 4
    metrics = {
        "average_accuracy": average,
        "forgetting": None if joint else sum(b - e for b, e in zip(best[:3], end[:3], strict=True)) / 3,
        "learning_accuracy": None if joint else sum(cell or 0.0 for cell in at) / 4,
        "backward_transfer": 0.0 if joint else sum(e - (a or 0.0) for e, a in zip(end, at, strict=True)) / 4,
        "forward_transfer": None if joint else 0.0,
    }
    stale = [[None] * 4, *([0.0, 0.01 * i, None, None] for i in range(1, 4))]
    return {
        "method": method,
        "seed": seed,
        "order": order,
        "matrix": {"tasks": list(TASKS), "experiences": ["2021", "2022", "2023"], "rows": rows, "learned": list(LEARNED), "kinds": list(kinds)},
        "main_kind": "exact",
        "staleness": stale,
        "metrics": metrics,
        "metrics_by_kind": {"exact": metrics},
        "intervals": {"average_accuracy": [max(0.0, average - 0.03), min(1.0, average + 0.03)], "forgetting": None},
        "corpus": {"third": {"chrF2": [10.0, 11.0, 12.0, 60.0 + seed]}},
        "divergence": {"kl": [0.0, 0.1, 0.2, 0.4], "perplexity": [12.0, 12.5, 13.0, 14.0]},
        "probes": {"arithmetic": [1.0, None, None, 0.9]},
        "cost": {"learn_seconds": SECONDS.get(method, 20.0) + seed, "evaluate_seconds": 5.0, "peak_bytes": 640_000_000, "extra_state_bytes": 120_000},
        "settings": {"learning": {"rate": 0.0003, "passes": 5}, "lora": None, "methods": [[method, {}]]},
        "fingerprint": f"{abs(hash((method, seed, order))):x}",
        "version": "0.1.0",
        "name": f"{sum(map(ord, method))}-{seed}-{order}",
    }


def results_record(runs: Sequence[Mapping[str, object]], **more: object) -> dict[str, object]:
    """The whole of results.json."""
    names = list(dict.fromkeys(str(run["method"]) for run in runs))
    by_name = {str(run["method"]): run["metrics"]["average_accuracy"] for run in runs}  # type: ignore[index]
    less = [
        {
            "method": name,
            "against": "plain",
            "metric": "average_accuracy",
            "mean": by_name[name] - by_name["plain"],
            "low": by_name[name] - by_name["plain"] - 0.04,
            "high": by_name[name] - by_name["plain"] + 0.04,
            "runs": 1,
        }
        for name in names
        if name != "plain" and "plain" in by_name
    ]
    experiences = [{"name": str(2020 + i), "time": f"{2020 + i}-01-01", "train": 100 * i, "tests": [TASKS[i]]} for i in range(1, 4)]
    tasks = [{"name": name, "score": "exact", "examples": SIZE, "learned": at, "chance": 0.05 if at else None} for name, at in zip(TASKS, LEARNED, strict=True)]
    whole = {
        "stream": "towns",
        "model": "models/tiny",
        "about": "Four towns and what changed in them.",
        "task_ids": False,
        "created": "2026-11-23T10:00:00+00:00",
        "command": "everlearn compare towns --methods plain,replay",
        "experiences": experiences,
        "tasks": tasks,
        "runs": list(runs),
        "differences": less,
    }
    return whole | more


def write_answers(folder: Path, run: Mapping[str, object], right: Rows, said: str = "Exe") -> None:
    """The first n of the 40 are right."""
    lines: list[dict[str, object]] = [{"shares": {}}]
    for i, row in enumerate(right):
        for task, n in zip(TASKS, row, strict=True):
            if n is not None:
                values = [1.0 if place < n else 0.0 for place in range(SIZE)]
                texts = [f" {said} {place}" if value else f" {said} wrong" for place, value in enumerate(values)]
                old = [task == "first" and not value and place % 2 == 0 for place, value in enumerate(values)]
                lines.append({"experience": i, "task": task, "values": values, "said": texts, "old": old})
    gzipped(folder / "runs" / f"{run['name']}.answers.jsonl.gz", lines)


def write_questions(folder: Path, prompt: str = "What is the river of town") -> None:
    lines = [{"task": task, "id": f"{task}{n}", "prompt": f"{prompt} {n}?", "answer": f" Exe {n}", "old": None} for task in TASKS for n in range(SIZE)]
    gzipped(folder / "questions.jsonl.gz", lines)


def gzipped(path: Path, lines: Sequence[Mapping[str, object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress("".join(json.dumps(line) + "\n" for line in lines).encode("utf-8", "surrogatepass")))


def maker(place: Path) -> Make:
    """Writes run folders in a place; by default all six methods with one seed, questions and answers."""

    def made(name: str = "run", right: Mapping[str, Rows] = RIGHT, answers: bool = True, said: str = "Exe", prompt: str = "", **more: object) -> Path:
        folder = place / name
        folder.mkdir(parents=True)
        runs = [run_record(method, rows) for method, rows in right.items()]
        (folder / "results.json").write_text(json.dumps(results_record(runs, **more)), encoding="utf-8")
        if answers:
            write_questions(folder, prompt or "What is the river of town")
            for run, rows in zip(runs, right.values(), strict=True):
                write_answers(folder, run, rows, said)
        return folder

    return made


@pytest.fixture
def make(tmp_path: Path) -> Make:
    return maker(tmp_path)


@pytest.fixture(scope="session")
def make_in() -> Callable[[Path], Make]:
    return maker
