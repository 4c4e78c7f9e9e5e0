"""What a comparison found: one small JSON a run, all of them together, and the table."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

from everlearn.errors import StateError

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
ALMANAC_COLUMNS = {
    "kept": "kept",
    "kept_never_rehearsed": "kept, never rehearsed",
    "changed": "changed",
    "new": "new",
    "unseen_phrasing": "unseen phrasing",
    "stale": "stale",
    "skills": "skills",
}
COST = {"learn_seconds": "learn s", "evaluate_seconds": "test s"}


@dataclass(slots=True)
class Run:
    """One method with one seed over one stream.

    matrix: as `Matrix.to_json`.   main_kind: the kind of score that `metrics` are of; metrics_by_kind has them for every kind.
    staleness: the share of outdated answers, in the matrix's shape.   cost: seconds of wall time, bytes, learned tokens.
    settings: of the loop, the adapters and the methods.
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

    def save(self, path: Path) -> None:
        """Write aside, flush, rename: a run is on disk whole or not at all."""
        write_json(path, asdict(self))

    @classmethod
    def load(cls, path: Path) -> Run:
        try:
            return cls(**json.loads(path.read_text(encoding="utf-8")))
        except (TypeError, ValueError) as problem:
            raise StateError(f"this is no finished run of this version (file={str(path)!r}): {problem}. Delete it to run it again.") from problem


@dataclass(slots=True)
class Results:
    """All runs of a comparison, in the order asked for.

    >>> Results("almanac", "tiny").to_json()
    {'stream': 'almanac', 'model': 'tiny', 'runs': []}
    """

    stream: str
    model: str
    runs: list[Run] = field(default_factory=list)

    def to_json(self) -> dict[str, object]:
        return {"stream": self.stream, "model": self.model, "runs": [asdict(run) for run in self.runs]}

    def save(self, path: Path) -> None:
        """Write results.json."""
        write_json(path, self.to_json())

    @classmethod
    def load(cls, path: Path) -> Results:
        """The results that `save` wrote."""
        try:
            saved = json.loads(path.read_text(encoding="utf-8"))
            return cls(saved["stream"], saved["model"], [Run(**run) for run in saved["runs"]])
        except (OSError, KeyError, TypeError, ValueError) as problem:
            raise StateError(f"these are no results of this version (file={str(path)!r}): {problem}. Give a results.json.") from problem

    def by_method(self) -> dict[str, list[Run]]:
        """The runs of each method, one a seed."""
        grouped: dict[str, list[Run]] = {}
        for run in self.runs:
            grouped.setdefault(run.method, []).append(run)
        return grouped

    def against_plain(self) -> None:
        """Fill each run's `seconds_over_plain`: its learning seconds less those of plain with the same seed, None without a plain."""
        plain = {run.seed: run.cost["learn_seconds"] for run in self.runs if run.method == "plain"}
        for run in self.runs:
            mine, other = run.cost["learn_seconds"], plain.get(run.seed)
            run.cost["seconds_over_plain"] = None if mine is None or other is None else mine - other

    def columns(self) -> dict[str, str]:
        """The metrics worth a column for this stream, and their heads."""
        almanac = any("kept" in run.metrics for run in self.runs)
        return ALMANAC_COLUMNS if almanac else COLUMNS

    def rows(self) -> list[list[str]]:
        """The table's cells: percentages, mean over seeds (and the range where there are several), then seconds."""
        found = []
        for method, runs in self.by_method().items():
            cells = [_percent([run.metrics.get(name) for run in runs]) for name in self.columns()]
            cost = [_seconds([run.cost.get(name) for run in runs]) for name in COST]
            found.append([method, *cells, *cost])
        return found

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
        return f"Scores: {kinds}. Task ids are hidden from the learner and at test."

    def table(self) -> Table:
        """The table for a terminal: one row a method, or, of up to three, one column a method."""
        from rich.table import Table

        lines = [self.heads(), *self.rows()]
        if len(lines) <= 4:
            lines = [list(line) for line in zip(*lines, strict=True)]
        shown = Table(title=f"{self.stream} · {Path(self.model).name}", caption=self.caption())
        for place, head in enumerate(lines[0]):
            shown.add_column(head, justify="right" if place else "left", overflow="fold")
        for line in lines[1:]:
            shown.add_row(*line)
        return shown


def write_json(path: Path, value: Mapping[str, object]) -> None:
    """Write aside, flush to disk, rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.writing")
    with aside.open("w", encoding="utf-8") as file:
        json.dump(value, file, ensure_ascii=False, indent=1, allow_nan=False)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)


def _percent(values: Sequence[float | None]) -> str:
    numbers = [100 * value for value in values if value is not None]
    if not numbers:
        return "–"
    spread = f" ({min(numbers):.1f}–{max(numbers):.1f})" if len(numbers) > 1 else ""
    return f"{fmean(numbers):.1f}{spread}"


def _seconds(values: Sequence[float | None]) -> str:
    numbers = [value for value in values if value is not None]
    return f"{fmean(numbers):.1f}" if numbers else "–"
