"""What a run has found: kept as it goes on, and made into its record at the end."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from everlearn.conditions import Setup
from everlearn.config import Recipe
from everlearn.evaluate.divergence import Divergence
from everlearn.evaluate.matrix import Matrix, mean
from everlearn.evaluate.scores import Answer, corpus_measures, right
from everlearn.evaluate.tasks import Task, cell
from everlearn.learn.base import LearnLog
from everlearn.prequential import prequential_record
from everlearn.records import Answered, AnswerRecord
from everlearn.results import Run
from everlearn.streams.almanac_shares import Asked, ByTask, almanac_shares, share
from everlearn.version import VERSION


@dataclass(slots=True)
class Seen:
    """What a run has found so far, as JSON: a list has one entry for each row of the matrix, None or {} where nothing was measured.

    tried: by experience, the score of each of its rows before it was learned.
    """

    answers: list[dict[str, list[Answer]]] = field(default_factory=list)
    moved: list[Divergence | None] = field(default_factory=list)
    probed: list[dict[str, float]] = field(default_factory=list)
    logs: list[LearnLog] = field(default_factory=list)
    rehearsed: set[str] = field(default_factory=set)
    seconds: dict[str, float] = field(default_factory=lambda: {"all": 0.0, "learn": 0.0, "evaluate": 0.0, "borrowed": 0.0, "start": 0.0})
    peak: int = 0
    tried: list[list[float]] = field(default_factory=list)

    def to_json(self) -> dict[str, object]:
        told = [{task: [[a.value, a.said, a.old] for a in of] for task, of in row.items()} for row in self.answers]
        moved = [None if m is None else asdict(m) for m in self.moved]
        logs = [{**asdict(log), "rehearsed": sorted(log.rehearsed), "loss": log.loss.hex()} for log in self.logs]
        return {
            "answers": told,
            "moved": moved,
            "probed": self.probed,
            "logs": logs,
            "rehearsed": sorted(self.rehearsed),
            "seconds": self.seconds,
            "peak": self.peak,
            "tried": self.tried,
        }

    @classmethod
    def from_json(cls, saved: Any) -> Seen:
        """What `to_json` wrote."""
        told = [{task: [Answer(*one) for one in of] for task, of in row.items()} for row in saved["answers"]]
        moved = [None if m is None else Divergence(**m) for m in saved["moved"]]
        logs = [LearnLog(**{**log, "rehearsed": frozenset(log["rehearsed"]), "loss": float.fromhex(log["loss"])}) for log in saved["logs"]]
        return cls(told, moved, saved["probed"], logs, set(saved["rehearsed"]), saved["seconds"], saved["peak"], saved["tried"])


class Finished:
    """A run that is over, as its records."""

    def __init__(self, setup: Setup, recipe: Recipe, seed: int, seen: Seen) -> None:
        self.setup, self.recipe, self.seed, self.seen = setup, recipe, seed, seen
        self.shares = self._shares()

    def run(self, print_of: str, extra: int, hardware: dict[str, object]) -> Run:
        """The numbers. extra: bytes of the learner's state.   hardware: what computed it, to its end."""
        tasks, seen = self.setup.tasks, self.seen
        cells = [[cell(task, row[task.name], number) if row else (None, None) for task in tasks] for number, row in enumerate(seen.answers)]
        matrix = Matrix(
            tuple(t.name for t in tasks),
            tuple(e.name for e in self.setup.stream),
            tuple(tuple(score for score, _ in row) for row in cells),
            tuple(t.learned for t in tasks),
            tuple(t.score for t in tasks),
            self._lasting() if any(e.until is not None for t in tasks for e in t.examples) else (),
        )
        return Run(
            self.recipe.label,
            self.seed,
            matrix.to_json(),
            matrix.main_kind,
            [[stale for _, stale in row] for row in cells],
            self._told(matrix.metrics()) | {metric: share(of) for metric, of in self.shares.items()},
            {kind: self._told(matrix.metrics(kind)) for kind in dict.fromkeys(matrix.kinds)},
            self._cost(extra),
            {"learning": asdict(self.setup.settings), "lora": self.setup.adapters, "methods": [[p.name, dict(p.given)] for p in self.recipe.parts]},
            print_of,
            VERSION,
            self.setup.order,
            corpus={t.name: found for t in tasks if (found := self._corpus(t))},
            divergence=self._moved(),
            probes={name: [row.get(name) for row in seen.probed] for name in (seen.probed[0] if seen.probed else {})},
            hardware=hardware,
            prequential=prequential_record(seen.tried, self.setup.prequential) if self.setup.prequential and seen.tried else {},
        )

    def _lasting(self) -> tuple[tuple[float | None, ...], ...]:
        """The matrix over the test rows that still count after the last experience."""
        last = len(self.seen.answers) - 1
        stays = {t.name: [place for place, e in enumerate(t.examples) if e.until is None or e.until > last] for t in self.setup.tasks}
        return tuple(tuple(mean(row[name][place].value for place in places) if row else None for name, places in stays.items()) for row in self.seen.answers)

    def _told(self, metrics: dict[str, float | None]) -> dict[str, float | None]:
        """Of joint, which is measured at the end alone, only what the last row says."""
        return {name: None if self.recipe.joint and name != "average_accuracy" else value for name, value in metrics.items()}

    def _corpus(self, task: Task) -> dict[str, list[float | None]]:
        """The corpus figures of a task, one list a measure with one number a row of the matrix."""
        found: list[dict[str, float]] = []
        for number, row in enumerate(self.seen.answers):
            kept = [place for place, e in enumerate(task.examples) if row and (e.until is None or number < e.until)]
            wanted = [right(task.examples[place]) or "" for place in kept]
            found.append(corpus_measures(task.score, wanted, [row[task.name][place] for place in kept]) if kept else {})
        return {name: [row.get(name) for row in found] for name in next((row for row in found if row), {})}

    def _moved(self) -> dict[str, list[float | None]]:
        if not any(self.seen.moved):
            return {}
        return {name: [None if m is None else asdict(m)[name] for m in self.seen.moved] for name in ("kl", "perplexity", "nats_per_byte")}

    def record(self) -> AnswerRecord:
        """Every answer."""
        tasks = {task.name: task for task in self.setup.tasks}
        found = []
        for number, row in enumerate(self.seen.answers):
            for name, given in row.items():
                values = [None if e.until is not None and number >= e.until else a.value for e, a in zip(tasks[name].examples, given, strict=True)]
                found.append(Answered(number, name, tuple(values), tuple(a.said for a in given), tuple(a.old for a in given)))
        return AnswerRecord(tuple(found), self.shares)

    def _cost(self, extra: int) -> dict[str, float | None]:
        logs, seconds = self.seen.logs, self.seen.seconds
        tokens = sum(log.learned_tokens for log in logs)
        return {
            "seconds": seconds["all"] + seconds["borrowed"],
            "learn_seconds": seconds["learn"],
            "evaluate_seconds": seconds["evaluate"],
            "end_seconds": sum(log.end_seconds for log in logs),
            "seconds_over_plain": None,
            "peak_bytes": self.seen.peak,
            "extra_state_bytes": extra,
            "learned_tokens": tokens,
            "learned_tokens_per_second": tokens / seconds["learn"] if seconds["learn"] else None,
            "steps": sum(log.steps for log in logs),
            "cut_rows": sum(log.cut for log in logs),
        }

    def _shares(self) -> dict[str, ByTask]:
        """The almanac's own metrics by example, on the almanac."""
        if self.setup.stream.name != "almanac":
            return {}
        asked, last = {}, self.seen.answers[-1]
        for task in self.setup.tasks:
            first = self.seen.answers[task.learned] or last
            asked[task.name] = [Asked(e, a.value, a.old, b.value) for e, a, b in zip(task.examples, last[task.name], first[task.name], strict=True)]
        sources = {e.id: e.source for e in self.setup.stream.base}
        found = almanac_shares(asked, {sources[key] for key in self.seen.rehearsed if key in sources})
        # joint has no moment right after a task, and at its end some of what was true at that moment no longer is
        return found | ({"changed": {}, "new": {}} if self.recipe.joint else {})
