"""Are the facts that will change kept out of the weights, and do the weights alone know those that stay?

    python benchmarks/consolidate.py --choose [--write ...]       what is taken at other settings, on future 1; nothing learns
    python benchmarks/consolidate.py --weights --future 1 --only ... [--write ...]   what the weights alone then know, by other ways of learning
    python benchmarks/consolidate.py [--future 0] [--only ...] [--write benchmarks/results/consolidate.json]

The tiny model, six periods of the almanac with 40 changed and 80 new facts each (720 rows). A row is decided on when it has held for `after` periods; the
almanac says which facts change within the six periods after that (stay: which do not; never: whose relation never changes). Then four runs learn the same
stream; at the end both the served model and its weights without the store are asked what is true then. Stale is an answer that was true before; late is one
that is true at the end and no longer six periods on.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import fmean
from time import process_time

from everlearn import Almanac, Consolidate, Example, LanguageModel, Settings, Stream, almanac_stream, load_model
from everlearn.config import parse_methods
from everlearn.memory.reading import passage_of
from everlearn.memory.stability import facts_of
from everlearn.results import write_json
from everlearn.streams.almanac import Fact, asked
from everlearn.streams.words import BY_NAME

PERIODS, AHEAD = 6, 6
RUNS = ("retrieval", "replay(share=1)", "retrieval+replay(share=1)", "consolidate+replay(share=1)", "consolidate+replay(share=5)")
SETTINGS = Settings(rate=3e-4, passes=5, batch=32)
Numbers = dict[str, float]


@dataclass(frozen=True)
class World:
    """The almanac with its stream, and what becomes of every fact."""

    almanac: Almanac
    stream: Stream

    @classmethod
    def of(cls, future: int) -> World:
        almanac = Almanac(changed=40, appeared=80, future=future)
        return cls(almanac, almanac_stream(almanac, PERIODS))

    def changes(self, row: Example, now: int) -> bool:
        """Is what the row says superseded within AHEAD periods after this one?"""
        key = row.source.removeprefix("almanac/")
        return any(self.almanac.truth(later)[key] != self.almanac.truth(now)[key] for later in range(now + 1, now + AHEAD + 1))


def taken(world: World, learner: Consolidate) -> list[tuple[Example, int]]:
    """The rows that the learner would teach, each with the period; as it decides, without a model."""
    past = {e.question or "": e for e in world.stream.base}
    store, found = list[tuple[str, int]](), list[tuple[Example, int]]()
    passages = []
    for now, experience in enumerate(world.stream, 1):
        fresh = [passage_of(row, experience.time) for row in experience.train]
        passages += fresh
        store += [(passage.id, now) for passage in fresh]
        due = learner.due(facts_of(passages, dict(store), past), now)
        learner.taught |= {fact.passage: (fact.row.id, fact.row.source) for fact in due}
        found += [(fact.row, now) for fact in due]
    return found


def judged(world: World, after: int, change: float) -> Numbers:
    """Of the rows that were decided on: how many stayed, how many were taken, and how many of these did."""
    decided, chosen = (taken(world, Consolidate(after, at)) for at in (1.0, change))
    counts = {"decided": len(decided), "taken": len(chosen)}
    for name, holds in (("stay", lambda row, now: not world.changes(row, now)), ("never", lambda row, _: not volatile(row))):
        counts |= {name: sum(holds(*one) for one in decided), f"taken_{name}": sum(holds(*one) for one in chosen)}
    leaving = {row.source for row, now in decided if world.changes(row, now)}
    counts |= {"facts_change": len(leaving), "facts_change_taken": len({row.source for row, now in chosen if world.changes(row, now)})}
    shares = {f"precision_{name}": counts[f"taken_{name}"] / max(1, len(chosen)) for name in ("stay", "never")}
    return {**counts, **shares, **{f"recall_{name}": counts[f"taken_{name}"] / counts[name] for name in ("stay", "never")}}


def volatile(row: Example) -> bool:
    return BY_NAME[row.source.split("/")[1]].volatile


def said(model: LanguageModel, rows: Sequence[Example]) -> list[str]:
    return [text for at in range(0, len(rows), 200) for text in model.generate(rows[at : at + 200], limit=16)]


def right(model: LanguageModel, rows: Sequence[Example]) -> float:
    return fmean(float(text == row.completion) for text, row in zip(said(model, rows), rows, strict=True)) if rows else float("nan")


def groups(world: World, taught: set[str]) -> Mapping[str, list[Example]]:
    """What is asked at the end, by the truth of then. taught: sources of what consolidation took."""
    truth, start = world.almanac.truth(PERIODS), world.almanac.truth(0)
    by = partial(asked, task="")
    kept = [fact for fact in truth.values() if not fact.since]
    arrived = [fact for fact in truth.values() if fact.since]
    stable = [fact for fact in arrived if f"almanac/{fact.key}" in taught]
    rows: dict[str, list[Fact]] = {
        "kept": kept,
        "changed": [fact for fact in arrived if fact.key in start],
        "new": [fact for fact in arrived if fact.key not in start],
        "taught": stable,
    }
    found = {name: [by(fact) for fact in facts] for name, facts in rows.items()}
    unseen = {f"{name}, other words": [by(fact, unseen=True) for fact in rows[name]] for name in ("changed", "new", "taught")}
    return {**found, **unseen, "skills": list(world.stream.experiences[0].tests["skills"])[:300]}


def stale(world: World, model: LanguageModel) -> Numbers:
    """Of the facts that changed in the stream: answers that were true before it, and answers that the stream itself brought and then superseded.

    late: of the facts that the stream brought and that are answered right, the share that changes within the next AHEAD periods.
    """
    truth = world.almanac.truth(PERIODS)
    told: dict[str, set[str]] = {}
    for now in range(1, PERIODS + 1):
        for fact in world.almanac.events(now):
            told.setdefault(fact.key, set()).add(f" {fact.answer}")
    first = {key: f" {fact.answer}" for key, fact in world.almanac.truth(0).items()}
    rows = [asked(truth[key], "") for key in told]
    answers = dict(zip(told, said(model, rows), strict=True))
    now_true = {key for key in told if answers[key] == f" {truth[key].answer}"}
    changed = [key for key in told if key in first]
    again = [key for key in told if len(told[key]) > 1]
    late = [key for key in now_true if world.changes(rows[list(told).index(key)], PERIODS)]
    return {
        "changed": len(changed),
        "stale_start": fmean(answers[key] == first[key] and key not in now_true for key in changed),
        "changed_twice": len(again),
        "stale_stream": fmean(answers[key] in told[key] and key not in now_true for key in again) if again else float("nan"),
        "right": len(now_true),
        "late": len(late) / max(1, len(now_true)),
    }


def run(world: World, recipe: str, taught: set[str]) -> dict[str, object]:
    """Learn the stream; at the end, and of the served model after each period, what is answered right."""
    model = load_model("tiny")
    learner = parse_methods(recipe)[0].learner(SETTINGS, 0)
    served, began, learned = learner.prepare(model), process_time(), list[Numbers]()
    learner.remember(model, world.stream.base)
    for number, experience in enumerate(world.stream, 1):
        log = learner.learn(model, experience)
        tests = {name.rstrip("0123456789"): rows for name, rows in experience.tests.items() if name.endswith(str(number)) and name != "unseen0"}
        learned.append({"steps": log.steps, **{name: right(served, rows) for name, rows in tests.items()}})
        print(recipe, number, learned[-1], f"{process_time() - began:.0f} s", flush=True)
    asking = groups(world, taught)
    ask: Callable[[LanguageModel], Numbers] = lambda one: {name: right(one, rows) for name, rows in asking.items()}  # noqa: E731
    alone = ask(model)
    whole = alone if served is model else ask(served)
    result = {"recipe": recipe, "periods": learned, "steps": sum(of["steps"] for of in learned), "whole": whole, "weights": alone, "stale": stale(world, model)}
    if isinstance(learner, Consolidate):
        result["taught_rows"] = len(learner.taught)
        result["as_decided"] = {row for row, _ in learner.taught.values()} == {row.id for row, _ in taken(world, Consolidate())}
    print(result, flush=True)
    return {**result, "asked": {name: len(rows) for name, rows in asking.items()}, "cpu_seconds": process_time() - began}


def weights_alone(world: World, recipe: str, taught: set[str]) -> dict[str, object]:
    """Learn the stream and ask the weights alone, of what was kept and taught: to choose how they learn."""
    model = load_model("tiny")
    learner = parse_methods(recipe)[0].learner(SETTINGS, 0)
    learner.prepare(model)
    learner.remember(model, world.stream.base)
    steps = sum(learner.learn(model, experience).steps for experience in world.stream)
    asking = groups(world, taught)
    told = {name: right(model, asking[name]) for name in ("kept", "skills", "taught", "taught, other words")}
    print(recipe, f"steps={steps}", " ".join(f"{name}: {100 * value:.1f}" for name, value in told.items()), flush=True)
    return {"recipe": recipe, "steps": steps, **told}


def settings_tried() -> list[dict[str, float]]:
    """What is taken at other settings, on future 1."""
    world, found = World.of(1), list[dict[str, float]]()
    for after in (0, 1, 2, 3):
        for change in (0.005, 0.01, 0.015, 0.02, 0.03, 1.0):
            found.append({"after": after, "change": change, **judged(world, after, change)})
            print(" ".join(f"{name}={value:.3g}" for name, value in found[-1].items()), flush=True)
    return found


def written(path: Path | None, parts: dict[str, object]) -> None:
    """Put these parts into the file, beside the others that it holds."""
    if path:
        write_json(path, {**(json.loads(path.read_text()) if path.exists() else {}), **parts})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--future", type=int, default=0)
    parser.add_argument("--choose", action="store_true")
    parser.add_argument("--weights", action="store_true", help="ask only the weights, of what was kept and taught")
    parser.add_argument("--only", nargs="*", default=RUNS)
    parser.add_argument("--write", type=Path)
    given = parser.parse_args()
    if given.choose:
        written(given.write, {"choice": {"future": 1, "settings": settings_tried()}})
        return
    if given.weights:
        world = World.of(given.future)
        taught = {row.source for row, _ in taken(world, Consolidate())}
        runs = [weights_alone(world, recipe, taught) for recipe in given.only]
        written(given.write, {"weights": {"future": given.future, "runs": runs}})
        return
    plain = Consolidate()
    selection = {str(future): judged(World.of(future), plain.after, plain.change) for future in (given.future, given.future + 2, given.future + 3)}
    print(selection, flush=True)
    world = World.of(given.future)
    taught = {row.source for row, _ in taken(world, Consolidate())}
    runs = [run(world, recipe, taught) for recipe in given.only]
    before = json.loads(given.write.read_text())["runs"] if given.write and given.write.exists() else []
    runs = [*(one for one in before if one["recipe"] not in given.only), *runs]
    written(given.write, {"future": given.future, "periods": PERIODS, "ahead": AHEAD, "selection": selection, "runs": runs})


if __name__ == "__main__":
    main()
