"""What a comparison found: one small JSON a run, all of them together, and the table."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

from everlearn.disk import write_whole
from everlearn.errors import StateError
from everlearn.evaluate.timing import device_of, on_device, timed_on

if TYPE_CHECKING:
    from rich.table import Table

# What the table shows, and the short name over it.
COLUMNS = {
    "average_accuracy": "average accuracy",
    "forgetting": "forgetting",
    "learning_accuracy": "learning accuracy",
    "backward_transfer": "backward transfer",
    "forward_transfer": "forward transfer",
}
TOGETHER, ALONE, RANGE = "", "*", "["  # what the brackets of a cell are over, as it is marked
ALMANAC_COLUMNS = {
    "kept": "kept",
    "kept_never_rehearsed": "kept, never rehearsed",
    "changed": "changed",
    "new": "new",
    "unseen_phrasing": "unseen phrasing",
    "stale": "stale",
    "skills": "skills",
}
TASK_IDS = {
    True: "Task ids are given to the learner and at test.",
    False: "Task ids are hidden from the learner and at test.",
    None: "Whether task ids were given is not in the files.",
}
COST = {"learn_seconds": "learn s", "evaluate_seconds": "test s"}


@dataclass(slots=True)
class Run:
    """One method with one seed over one stream.

    matrix: as `Matrix.to_json`.   main_kind: the kind of score that `metrics` are of; metrics_by_kind has them for every kind.
    staleness: the share of outdated answers, in the matrix's shape.   cost: seconds of wall time, bytes, learned tokens.
    settings: of the loop, the adapters and the methods.   order: 0 for the stream as given, else the number of its permutation.
    intervals: by metric, 95 % of the bootstrap over test examples.   corpus: by task and measure (chrF2, BLEU, rougeL, nDCG@10 ...), one
    number a row of the matrix.   divergence: kl from the starting model in nats a token, perplexity, nats_per_byte on anchor text, by row.
    probes: the share right of each skill and safety probe, by row; None where not asked.   name: of its file.
    hardware: what computed it, as `hardware` tells; empty in older files, and no part of the fingerprint.
    prequential: as `prequential_record` tells it; empty where new rows were not tested.
    """

    method: str
    seed: int
    matrix: dict[str, object]
    main_kind: str
    staleness: list[list[float | None]]
    metrics: dict[str, float | None]
    metrics_by_kind: dict[str, dict[str, float | None]]
    cost: dict[str, float | None]
    settings: dict[str, object]
    fingerprint: str = ""
    version: str = ""
    order: int = 0
    intervals: dict[str, list[float]] = field(default_factory=dict)
    corpus: dict[str, dict[str, list[float | None]]] = field(default_factory=dict)
    divergence: dict[str, list[float | None]] = field(default_factory=dict)
    probes: dict[str, list[float | None]] = field(default_factory=dict)
    name: str = ""
    hardware: dict[str, object] = field(default_factory=dict)
    prequential: dict[str, object] = field(default_factory=dict)

    def save(self, path: Path) -> None:
        """Write aside, flush, rename: a run is on disk whole or not at all."""
        write_json(path, asdict(self))

    @classmethod
    def load(cls, path: Path) -> Run:
        try:
            return cls(**json.loads(path.read_text(encoding="utf-8")))
        except (TypeError, ValueError) as problem:
            raise StateError(f"this is no finished run of this version (file={str(path)!r}): {problem}. Delete it to run it again.") from problem


@dataclass(frozen=True, slots=True)
class Difference:
    """A method less another in one metric: the paired mean over runs, and 95 % of the bootstrap over examples and over runs.

    runs: pairs of runs with the same seed and order.
    """

    method: str
    against: str
    metric: str
    mean: float
    low: float
    high: float
    runs: int


@dataclass(slots=True)
class Results:
    """All runs of a comparison, in the order asked for.

    experiences, tasks: what the stream holds, in numbers.   intervals: by method and metric, over examples, seeds and orders.
    command: what to type to repeat it, empty where Python was called.   task_ids: did learner and test see them; None where that is not known.

    >>> Results("almanac", "tiny").to_json()["runs"]
    []
    """

    stream: str
    model: str
    runs: list[Run] = field(default_factory=list)
    about: str = ""
    created: str = ""
    command: str = ""
    task_ids: bool | None = False
    experiences: list[dict[str, object]] = field(default_factory=list)
    tasks: list[dict[str, object]] = field(default_factory=list)
    intervals: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    differences: list[Difference] = field(default_factory=list)

    def to_json(self) -> dict[str, object]:
        return asdict(self)

    def save(self, path: Path) -> None:
        """Write results.json."""
        write_json(path, self.to_json())

    @classmethod
    def load(cls, path: Path) -> Results:
        """The results that `save` wrote."""
        try:
            saved = json.loads(path.read_text(encoding="utf-8"))
            runs, differences = [Run(**run) for run in saved.pop("runs")], [Difference(**found) for found in saved.pop("differences", [])]
            return cls(**saved, runs=runs, differences=differences)
        except (OSError, KeyError, TypeError, ValueError) as problem:
            raise StateError(f"these are no results of this version (file={str(path)!r}): {problem}. Give a results.json.") from problem

    def by_method(self) -> dict[str, list[Run]]:
        """The runs of each method, one a seed and order."""
        grouped: dict[str, list[Run]] = {}
        for run in self.runs:
            grouped.setdefault(run.method, []).append(run)
        return grouped

    def against_plain(self) -> None:
        """Fill each run's `seconds_over_plain`: its learning seconds less those of plain with the same seed, order and device, None without one."""
        plain = {(run.seed, run.order, device_of(run)): run.cost["learn_seconds"] for run in self.runs if run.method == "plain"}
        for run in self.runs:
            mine, other = run.cost["learn_seconds"], plain.get((run.seed, run.order, device_of(run)))
            run.cost["seconds_over_plain"] = None if mine is None or other is None else mine - other

    def columns(self) -> dict[str, str]:
        """The metrics worth a column for this stream, and their heads."""
        almanac = any("kept" in run.metrics for run in self.runs)
        return ALMANAC_COLUMNS if almanac else COLUMNS

    def rows(self) -> list[list[str]]:
        """The table's cells: percentages, mean over runs with how sure they are (`caption` says it), then seconds, of runs on one device (`timed_on`)."""
        found, device = [], timed_on(self.runs)
        for method, runs in self.by_method().items():
            cells = [_percent([run.metrics.get(name) for run in runs], *self._ends(method, runs, name)) for name in self.columns()]
            cost = [_seconds([run.cost.get(name) for run in on_device(runs, device)]) for name in COST]
            found.append([method, *cells, *cost])
        return found

    def _ends(self, method: str, runs: Sequence[Run], name: str) -> tuple[Sequence[float] | None, str]:
        """The interval and what it is over: TOGETHER of all runs, else, mean of the runs' own, ALONE; without one the RANGE of the runs."""
        if name in self.intervals.get(method, {}):
            return self.intervals[method][name], TOGETHER
        own = [run.intervals[name] for run in runs if name in run.intervals]
        if own and len(own) == len(runs):
            return [fmean(ends) for ends in zip(*own, strict=True)], ALONE if len(runs) > 1 else TOGETHER
        return None, RANGE

    def _sure(self) -> str:
        """What the table's brackets are."""
        shown = [
            (method, runs, name) for method, runs in self.by_method().items() for name in self.columns() if any(r.metrics.get(name) is not None for r in runs)
        ]
        kinds = {(self._ends(*one)[1], len(one[1]) > 1) for one in shown}
        several = [f"{len(of)} {name}" for of, name in (({r.seed for r in self.runs}, "seeds"), ({r.order for r in self.runs}, "orders")) if len(of) > 1]
        over = " and over ".join(["test examples", *(several if (TOGETHER, True) in kinds else [])])
        said = [f" In brackets 95 % of the bootstrap over {over}."] if {(TOGETHER, True), (TOGETHER, False)} & kinds else []
        said += [f" {ALONE}: the bootstrap of each run alone, averaged, which leaves out the spread between runs."] if (ALONE, True) in kinds else []
        return "".join([*said, *([" In square brackets the least and the most of the runs."] if (RANGE, True) in kinds else [])])

    def heads(self) -> list[str]:
        """The names over `rows`."""
        return ["method", *(f"{head} %" for head in self.columns().values()), *COST.values()]

    def markdown(self) -> str:
        """The table for a page."""
        lines = [self.heads(), ["---", *["---:"] * (len(self.heads()) - 1)], *self.rows()]
        return "\n".join("| " + " | ".join(line) + " |" for line in lines) + f"\n\n{self.caption()}\n"

    def caption(self) -> str:
        """What every table must say of itself."""
        kinds = " and ".join(sorted({run.main_kind for run in self.runs})) or "no"
        devices = {device_of(run) for run in self.runs}
        where = f"on {timed_on(self.runs)}" if timed_on(self.runs) else "that note no device"
        timed = f" Seconds: only of runs {where}." if len(devices) > 1 else ""
        return f"Scores: {kinds}.{self._sure()}{timed} {TASK_IDS[self.task_ids]}"

    def table(self) -> Table:
        """The table for a terminal: one row a method, or, of up to three, one column a method."""
        from rich.markup import escape
        from rich.table import Table

        lines = [self.heads(), *self.rows()]
        if len(lines) <= 4:
            lines = [list(line) for line in zip(*lines, strict=True)]
        shown = Table(title=escape(f"{self.stream} · {Path(self.model).name}"), caption=self.caption())
        for place, head in enumerate(lines[0]):
            shown.add_column(escape(head), justify="right" if place else "left", overflow="fold")
        for line in lines[1:]:
            shown.add_row(*map(escape, line))
        return shown


def write_json(path: Path, value: Mapping[str, object]) -> None:
    """Write aside, flush to disk, rename."""
    write_whole(path, (json.dumps(value, ensure_ascii=False, indent=1, allow_nan=False) + "\n").encode())


def _percent(values: Sequence[float | None], sure: Sequence[float] | None, kind: str) -> str:
    numbers = [100 * value for value in values if value is not None]
    if not numbers:
        return "–"
    if sure:
        return f"{fmean(numbers):.1f} ({100 * sure[0]:.1f} to {100 * sure[1]:.1f}){ALONE if kind == ALONE else ''}"
    return f"{fmean(numbers):.1f} [{min(numbers):.1f} to {max(numbers):.1f}]" if len(numbers) > 1 else f"{numbers[0]:.1f}"


def _seconds(values: Sequence[float | None]) -> str:
    numbers = [value for value in values if value is not None]
    return f"{fmean(numbers):.1f}" if numbers else "–"
