"""Does what was learned before help: rows needed for the last domain, after the earlier ones and from the start.

    python make_streams.py streams support translation --scale 0.25
    python benchmarks/transfer.py streams/support --model models/news2016
    python benchmarks/transfer.py streams/translation --model models/news2016 --passes 2 --score loss

Of a stream the first four experiences. The last of them is learned from growing parts of its rows, from the start, and after the earlier three (learned
plainly, or with replay). A curve's rows needed are where it first reaches 80 % of what the start reaches with all rows, straight lines between the
parts; all rows where it never does. With --score loss a score is what the likelihood of the true answers, a byte, has gained over the starting model's:
where a small model says nothing right yet, that it learns can still be seen. Intervals: 95 % of the bootstrap over test examples and over seeds,
paired. What is done is kept and not run again.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np

from everlearn import Experience, Settings, Stream, load_model, load_stream
from everlearn.config import parse_methods
from everlearn.evaluate.intervals import Array, counts, interval, over_runs
from everlearn.evaluate.tasks import Task, answers, tasks_of
from everlearn.results import write_json

PARTS = (0, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 3 / 4, 1)
GOAL = 0.8
ARMS = {"from the start": ("plain", False), "after plain": ("plain", True), "after replay(share=1)": ("replay(share=1)", True)}
DRAWS = 1000


def curve(stream: Stream, task: Task, model_name: str, method: str, earlier: bool, settings: Settings, seed: int) -> list[list[float]]:
    """The score of each test example after each part of the last experience's rows: (parts, n)."""
    model = load_model(model_name)
    recipe, *before, last = parse_methods(method)[0], *stream.experiences
    learner = recipe.learner(settings, seed)
    learner.prepare(model)
    for experience in before if earlier else ():
        learner.learn(model, Experience(experience.name, experience.train))
    weights, state = model.state(), learner.state()
    rows = Random(f"{seed}/transfer").sample(list(last.train), len(last.train))
    found = []
    for part in PARTS:
        model.load(weights)
        learner = recipe.learner(settings, seed)
        learner.prepare(model)
        learner.load(state)
        if count := round(part * len(rows)):
            learner.learn(model, Experience(last.name, tuple(rows[:count])))
        found.append([answer.value for answer in answers(model, task)])
    return found


def needed(scores: Array, goal: Array, rows: int) -> Array:
    """Rows at which each of (draws, parts) scores first reaches its goal (draws,), linear between the parts; all rows if never, or for no goal above 0."""
    at, result = np.array(PARTS) * rows, np.full(len(scores), float(rows))
    for place in range(len(PARTS) - 1, 0, -1):
        low, high = scores[:, place - 1], scores[:, place]
        share = np.divide(goal - low, high - low, out=np.zeros_like(low), where=high > low)
        result = np.where((low < goal) & (high >= goal), at[place - 1] + share * (at[place] - at[place - 1]), result)
    return np.where(goal <= 0, float(rows), np.where(scores[:, 0] >= goal, 0.0, result))


def resampled(curves: Sequence[list[list[float]]], task: str) -> list[Array]:
    """For each seed the mean scores in every draw, (draws, parts); one draw takes the same examples for all seeds and arms."""
    size = len(curves[0][0])
    drawn = counts(task, size, 0, DRAWS)
    return [drawn @ np.array(values).T / size for values in curves]


def table(saved: dict[str, list[list[list[float]]]], task: str, rows: int) -> list[dict[str, object]]:
    """One line an arm: the scores of the parts, the rows needed, and the ratio to the start's."""
    draws = {arm: resampled(saved[arm], task) for arm in ARMS}
    goals = [GOAL * scores[:, -1] for scores in draws["from the start"]]
    spent = {arm: [needed(scores, goal, rows) for scores, goal in zip(of, goals, strict=True)] for arm, of in draws.items()}
    lines: list[dict[str, object]] = []
    for arm in ARMS:
        points = [float(np.mean([np.mean(seed[part]) for seed in saved[arm]])) for part in range(len(PARTS))]
        truth = [
            needed(np.array([[np.mean(part) for part in seed]]), np.array([GOAL * np.mean(first[-1])]), rows)[0]
            for seed, first in zip(saved[arm], saved["from the start"], strict=True)
        ]
        ratio = interval(over_runs([mine / np.maximum(first, 1) for mine, first in zip(spent[arm], spent["from the start"], strict=True)]))
        lines.append({"arm": arm, "scores": points, "rows needed": float(np.mean(truth)), "interval": interval(over_runs(spent[arm])), "ratio": ratio})
    return lines


def gained(curves: dict[str, list[list[list[float]]]]) -> dict[str, list[list[list[float]]]]:
    """The same, less what the starting model has before it learns, example by example."""

    def less(seed: list[list[float]], untaught: list[float]) -> list[list[float]]:
        return [[value - before for value, before in zip(part, untaught, strict=True)] for part in seed]

    return {arm: [less(seed, first[0]) for seed, first in zip(of, curves["from the start"], strict=False)] for arm, of in curves.items()}


def curves_done(path: Path, about: dict[str, object]) -> dict[str, list[list[list[float]]]]:
    """The curves that are done, which must be of the same questions and settings; what an older file does not say is taken as the same."""
    if not path.exists():
        return {arm: [] for arm in ARMS}
    saved = json.loads(path.read_text())
    if other := {name: saved[name] for name, value in about.items() if name in saved and saved[name] != value}:
        raise SystemExit(f"{path} holds curves of other conditions ({other}; now {about}). Name another --out, or delete it.")
    curves: dict[str, list[list[list[float]]]] = saved["curves"]
    return curves


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stream", type=Path)
    parser.add_argument("--model", required=True)
    parser.add_argument("--passes", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--score", choices=["loss"], help="instead of the task's own")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/transfer"))
    given = parser.parse_args()
    whole = load_stream(given.stream)
    stream = Stream(whole.name, whole.experiences[:4], whole.base)
    last = stream.experiences[-1]
    task = next(task for task in tasks_of(stream.experiences) if task.name in last.tests)
    if given.score:
        task = replace(task, score=given.score)
    path, settings = given.out / f"{stream.name}{'-' if given.score else ''}{given.score or ''}.json", Settings(rate=5e-4, passes=given.passes, batch=16)
    about = {"stream": stream.name, "task": task.name, "rows": len(last.train), "examples": len(task.examples)}
    about |= {"passes": given.passes, "model": Path(given.model).name, "score": task.score}
    saved = curves_done(path, about)
    for seed in range(given.seeds):
        for arm, (method, earlier) in ARMS.items():
            if len(saved[arm]) == seed:
                saved[arm].append(curve(stream, task, given.model, method, earlier, settings, seed))
                write_json(path, {**about, "curves": saved})
                print(f"seed {seed} {arm:24} " + " ".join(f"{100 * np.mean(part):5.1f}" for part in saved[arm][-1]), flush=True)
    lines = table(gained(saved) if given.score else saved, task.name, len(last.train))
    write_json(path, {**about, "seeds": given.seeds, "parts": list(PARTS), "table": lines, "curves": saved})
    for line in lines:
        print(line)


if __name__ == "__main__":
    main()
