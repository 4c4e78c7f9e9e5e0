"""A version's answers to a home's tests, and what the gate is shown of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any

from everlearn.evaluate.divergence import Anchor
from everlearn.evaluate.probes import probe
from everlearn.evaluate.scores import Answer
from everlearn.evaluate.tasks import Task, answers
from everlearn.evaluate.texts import anchor_texts
from everlearn.models.language import LanguageModel
from everlearn.streams.files import read_examples
from everlearn.types import Example
from everlearn.upkeep.arriving import TestSet
from everlearn.versions.gate import Evidence, Paired
from everlearn.versions.home import Home
from everlearn.versions.record import TaskScore, Version
from everlearn.versions.settings import HomeSettings

# By task, by the row's id.
Answers = Mapping[str, Mapping[str, Answer]]


@dataclass(frozen=True, slots=True)
class Asked:
    """The tests of an update: those the home had and that are still true, and those that came with it."""

    old: Mapping[str, TestSet]
    new: Mapping[str, TestSet]


@dataclass(frozen=True, slots=True)
class Seen:
    """What a model answered to earlier tests and to new ones. probes: values by probe.   kl, perplexity: on anchor text, None where there is none."""

    old: Answers = field(default_factory=dict)
    new: Answers = field(default_factory=dict)
    probes: Mapping[str, Sequence[float]] = field(default_factory=dict)
    kl: float | None = None
    perplexity: float | None = None


def ask(model: LanguageModel, tests: Mapping[str, TestSet], known: Answers | None = None) -> dict[str, dict[str, Answer]]:
    """The model's answers to every row; those already known are not asked again."""
    found: dict[str, dict[str, Answer]] = {}
    for task, of in tests.items():
        had = (known or {}).get(task, {})
        rest = tuple(e for e in of.rows if e.id not in had)
        fresh = dict(zip([e.id for e in rest], answers(model, Task(task, rest, of.score)), strict=True)) if rest else {}
        found[task] = {e.id: fresh[e.id] if e.id in fresh else had[e.id] for e in of.rows}
    return found


def see(model: LanguageModel, asked: Asked, settings: HomeSettings, anchor: Anchor | None, known: Answers | None = None) -> Seen:
    """Everything the gate may want to know of a model; it stays as it was. known: answers to earlier tests that need not be asked again."""
    moved = None if anchor is None else anchor.divergence(model)  # type: ignore[arg-type]
    probes = probe(model) if settings.test.probes else {}
    found = ask(model, asked.old, known), ask(model, asked.new)
    return Seen(*found, probes, None if moved is None else moved.kl, None if moved is None else moved.perplexity)


def anchor_of(model: LanguageModel, settings: HomeSettings, home: Home) -> Anchor | None:
    """What the model thinks of the home's anchor text; None where that is off."""
    name = settings.test.anchor
    if name == "off":
        return None
    texts = anchor_texts() if name == "everlearn" else read_examples(home.folder / name if not Path(name).is_absolute() else name)
    return Anchor.of(model, texts)  # type: ignore[arg-type]


def evidence(before: Seen, after: Seen, asked: Asked, start: Version) -> Evidence:
    """What the gate is shown. start: the home's first version of this base, whose perplexity is the measure."""
    broken = [task for given in (after.old, after.new) for task, of in given.items() if not all(isfinite(a.value) for a in of.values())]
    if broken or not all(isfinite(value) for value in (after.kl, after.perplexity) if value is not None):
        return Evidence(broken=f"it gives no numbers any more ({f'task {broken[0]!r}' if broken else 'anchor text'}).")
    changed = [after.new[task][e.id].old for task, of in asked.new.items() if of.score != "loss" for e in of.rows if e.old_completion is not None]
    first = start.measured.get("perplexity")
    return Evidence(
        {task: _paired(of.rows, before.new[task], after.new[task]) for task, of in asked.new.items()},
        {task: _paired(of.rows, before.old[task], after.old[task]) for task, of in asked.old.items()},
        {name: Paired(before.probes[name], values) for name, values in after.probes.items() if name in before.probes},
        sum(changed) / len(changed) if changed else None,
        after.kl,
        after.perplexity / first if first and after.perplexity is not None else None,
    )


def task_scores(seen: Evidence) -> dict[str, TaskScore]:
    """The means the gate saw, new tasks first; a task that is both has its earlier rows under its own name."""
    found = {}
    for new, tasks in ((True, seen.new), (False, seen.old)):
        for task, pair in tasks.items():
            name = f"{task} (new rows)" if new and task in seen.old else task
            found[name] = TaskScore(_mean(pair.before), _mean(pair.after), len(pair.after), new)
    return found


def measured(seen: Evidence, after: Seen) -> dict[str, float | None]:
    """The other numbers."""
    probes = {f"probe {name}": _mean(values) for name, values in after.probes.items()}
    return {"kl": after.kl, "perplexity": after.perplexity, "perplexity_over_start": seen.perplexity, "stale": seen.stale, **probes}


def answers_json(found: Answers) -> dict[str, Any]:
    """Answers as a home keeps them: a list a task and field."""
    return {
        task: {"ids": list(of), "values": [a.value for a in of.values()], "said": [a.said for a in of.values()], "old": [int(a.old) for a in of.values()]}
        for task, of in found.items()
    }


def _paired(rows: Sequence[Example], before: Mapping[str, Answer], after: Mapping[str, Answer]) -> Paired:
    return Paired([before[e.id].value for e in rows], [after[e.id].value for e in rows])


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
