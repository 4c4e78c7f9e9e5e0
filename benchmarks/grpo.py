"""Does learning by reward forget less than imitation, at the same reward?

    python benchmarks/grpo.py [--seeds 5]

The tiny model can add and subtract numbers up to 20; here it learns them up to 30 from 400 questions, once by GRPO (the reward: is the answer right), once by
imitating the given answers until the held-out reward is at least that of GRPO. Then both are asked what the model knew: 300 of its facts, 100 exercises each
of copying and reading, and KL from the start on the facts. Differences with 95 % intervals over seeds and questions (paired bootstrap).
The settings were chosen on another draw of questions (`--choose`).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from random import Random
from statistics import fmean, median

import torch

from everlearn import GRPO, Almanac, Anchor, Example, Experience, Gradient, Method, Settings, Step, TrainedModel, almanac_stream, load_model
from everlearn.learn.objectives.base import Objective, Supervised
from everlearn.results import write_json
from everlearn.streams.skills import exercises

HIGHEST, QUESTIONS, HELD = 30, 400, 200
SUPERVISED = Settings(rate=1e-4, passes=20, batch=16)
REWARDED = Settings(rate=1e-4, passes=10, batch=16)
TEMPERATURE, GROUP, EVERY = 1.5, 8, 2
DRAWS = 2000


class Enough(Exception):
    """The held-out reward is high enough."""


def questions(seed: int) -> tuple[list[Example], list[Example]]:
    """To learn from, and held out: sums and differences of which at least one number is above 20."""
    every = [(a, b) for a in range(HIGHEST + 1) for b in range(HIGHEST + 1) if max(a, b) > 20]
    both = [asked(f"{a} plus {b}", a + b) for a, b in every] + [asked(f"{a} minus {b}", a - b) for a, b in every if a >= b]
    drawn = Random(f"grpo/{seed}").sample(both, QUESTIONS + HELD)
    return drawn[:QUESTIONS], drawn[QUESTIONS:]


def asked(sum_: str, answer: int) -> Example:
    return Example(prompt=f"Question: What is {sum_}?\nAnswer:", completion=f" {answer}")


def right(model: TrainedModel, examples: Sequence[Example]) -> list[bool]:
    limit = max(len(tokens) for tokens in model.encoder.tokens([str(e.completion) for e in examples])) + 8
    return [answer == e.completion for answer, e in zip(model.generate(examples, limit), examples, strict=True)]


def known() -> dict[str, list[Example]]:
    """What the model knew before: facts as it was taught them, and two skills."""
    facts = [e for e in almanac_stream(Almanac(future=1), 1).base if e.prompt is not None and e.source.startswith("almanac")]
    return {"facts": facts[:: max(1, len(facts) // 300)][:300], "copying": exercises("copying", 100, 7), "reading": exercises("reading", 100, 7)}


def learned(objective: Objective, settings: Settings, train: Sequence[Example], held: Sequence[Example], seed: int, until: float = 2.0) -> TrainedModel:
    """The model after learning, or once its share of held-out questions answered right has reached `until`."""
    model, methods = load_model("tiny"), list[Method]()
    learner = Gradient(methods, settings, objective, seed)
    learner.prepare(model)

    def watch(step: Step, _: Callable[[], object]) -> None:
        if until <= 1 and step.number % EVERY == 0 and fmean(right(model, held)) >= until:
            raise Enough

    with suppress(Enough):
        learner.learn(model, Experience("sums", tuple(train)), watch)
    return model


def interval(differences: Sequence[Sequence[float]], random: Random) -> tuple[float, float, float]:
    """Mean over seeds of the mean over questions, and its 95 % interval, drawn over both."""
    draws = []
    for _ in range(DRAWS):
        seeds = random.choices(differences, k=len(differences))
        draws.append(fmean(fmean(random.choices(of, k=len(of))) for of in seeds))
    draws.sort()
    return fmean(map(fmean, differences)), draws[DRAWS // 40], draws[-DRAWS // 40]


def one(seed: int, rewarded: Settings, supervised: Settings) -> dict[str, object]:
    """Both ways with one seed: the reward before and after, and what is still right of what was known."""
    train, held = questions(seed)
    start = load_model("tiny")
    anchor, before = Anchor.of(start, known()["facts"]), fmean(right(start, held))
    made: dict[str, TrainedModel] = {"grpo": learned(GRPO(group=GROUP, temperature=TEMPERATURE), rewarded, train, held, seed)}
    reached = fmean(right(made["grpo"], held))
    made["supervised"] = learned(Supervised(), supervised, train, held, seed, until=reached)
    found: dict[str, object] = {"seed": seed, "start": before}
    for name, model in made.items():
        still = {task: [float(value) for value in right(model, examples)] for task, examples in known().items()}
        reward, kl = fmean(right(model, held)), anchor.divergence(model).kl
        found[name] = {"reward": reward, "kl": kl, "still": still}
        print(seed, name, f"start {before:.2f} reward {reward:.3f} kl {kl:.4f}", {t: round(fmean(v), 3) for t, v in still.items()}, flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--choose", type=float, nargs="*", default=[], help="rates of both to try on another draw of questions")
    parser.add_argument("--write", type=Path, default=Path("benchmarks/results/grpo.json"))
    given = parser.parse_args()
    torch.set_num_threads(1)
    for rate in given.choose:
        print("rate", rate)
        one(1000, Settings(rate=rate, passes=REWARDED.passes, batch=16), Settings(rate=rate, passes=SUPERVISED.passes, batch=16))
    if given.choose:
        return
    runs = [one(seed, REWARDED, SUPERVISED) for seed in range(given.seeds)]
    print("| what the model knew | start | GRPO | imitation | difference (95 %) |\n| --- | ---: | ---: | ---: | ---: |")
    table, start = [], load_model("tiny")
    for task, examples in known().items():
        ways = {way: [run[way]["still"][task] for run in runs] for way in ("grpo", "supervised")}  # type: ignore[index]
        differences = [[a - b for a, b in zip(mine, theirs, strict=True)] for mine, theirs in zip(ways["grpo"], ways["supervised"], strict=True)]
        middle, low, high = interval(differences, Random(task))
        first, second = (fmean(map(fmean, ways[way])) for way in ("grpo", "supervised"))
        before = fmean(right(start, examples))
        table.append({"task": task, "start": before, "grpo": first, "supervised": second, "difference": [middle, low, high]})
        cells = " | ".join(f"{100 * value:.1f}" for value in (before, first, second))
        print(f"| {task} | {cells} | {100 * middle:+.1f} ({100 * low:+.1f} to {100 * high:+.1f}) |")
    told = {way: {name: median(run[way][name] for run in runs) for name in ("reward", "kl")} for way in ("grpo", "supervised")}  # type: ignore[index]
    print("held-out reward at the start", round(fmean(float(str(run["start"])) for run in runs), 3), "medians after", told)
    runs = [{**run, **{way: {name: run[way][name] for name in ("reward", "kl")} for way in ("grpo", "supervised")}} for run in runs]  # type: ignore[index]
    write_json(given.write, {"seeds": given.seeds, "runs": runs, "table": table, "medians": told})


if __name__ == "__main__":
    main()
