"""Does kl_budget hold what it is told to?

    python benchmarks/kl_budget.py [--future 2] [--write benchmarks/results/kl_budget.json]

Three periods of the almanac, the tiny model, plain learning under a budget, held in each of the three ways. The budget is measured as the method itself does
at every step (it looks less often), so that what is spent between two of its looks shows too; `at the end` is after each of its own measurements of
the experience's end. Beside it the exact KL over the whole vocabulary on the same texts, and what was learned of the last period (exact match of its rows).
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from random import Random
from statistics import fmean

import torch

from everlearn import Almanac, Anchor, Gradient, KLBudget, Method, Settings, Step, TrainedModel, almanac_stream, load_model
from everlearn.results import write_json
from everlearn.types import Row

SETTINGS = Settings(rate=3e-4, passes=5, batch=32)
BUDGETS = (0.02, 0.05, 0.1)


class Watch(Method):
    """Measures, after every step, how much of a budget is used."""

    stage = "mask"

    def __init__(self, held: KLBudget) -> None:
        self.held, self.seen, self.ends = held, list[float](), list[float]()

    def stepped(self, model: TrainedModel, step: Step) -> None:
        self.seen.append(self.used(model))

    def end(self, model: TrainedModel, step: Step, random: Random) -> None:
        if step.number:
            self.ends.append(self.used(model))

    def used(self, model: TrainedModel) -> float:
        """Of a budget of 1, as the method measures it."""
        return self.held.measure(model)[0]

    def mix(self, model: TrainedModel, rows: list[Row], random: Random) -> list[Row]:
        return rows


def run(budget: float | None, by: str, periods: int, future: int) -> dict[str, object]:
    """One stream under one budget; None for none, measured all the same."""
    stream = almanac_stream(Almanac(future=future), periods)
    held = KLBudget(budget=budget or 1e9, by=by)  # type: ignore[arg-type]
    watch, model = Watch(held), load_model("tiny")
    if budget is None:
        held.mix(model, [], Random(0))  # the texts to measure on
    learner = Gradient([watch] if budget is None else [held, watch], SETTINGS)
    learner.prepare(model)
    start = load_model("tiny")
    for experience in stream:
        learner.learn(model, experience)
    exact = Anchor.of(start, held.anchors, top=10_000).divergence(model).kl
    last = stream.experiences[-1].train
    learned = fmean(answer == e.completion for answer, e in zip(model.generate(last, 12), last, strict=True) if e.completion)
    return {"budget": budget, "by": by, "most": max(watch.seen), "ends": watch.ends, "exact": exact, "learned": learned}


def shown(found: dict[str, object]) -> str:
    budget, ends = found["budget"], found["ends"]
    assert isinstance(ends, Sequence)
    over = [f"{value / budget:.2f}" if isinstance(budget, float) else "–" for value in (float(str(found["most"])), max(ends))]
    named = f"{budget}, {found['by']}" if budget else "none"
    return f"| {named} | {over[0]} | {over[1]} | {max(ends):.4f} | {float(str(found['exact'])):.4f} | {100 * float(str(found['learned'])):.1f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--periods", type=int, default=3)
    parser.add_argument("--future", type=int, default=2, help="0 is the one on which the rule of when to look was chosen")
    parser.add_argument("--write", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    print("| budget, held by | most used at any step | most used at an end | KL at an end, most | exact KL at the last | learned of the last period % |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    runs = []
    for budget, by in [(None, "stop"), *((budget, by) for budget in BUDGETS for by in ("rate", "replay", "stop"))]:
        runs.append(run(budget, by, given.periods, given.future))
        print(shown(runs[-1]), flush=True)
    if given.write:
        write_json(given.write, {"periods": given.periods, "future": given.future, "runs": runs})


if __name__ == "__main__":
    main()
