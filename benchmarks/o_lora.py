"""o_lora's time a step with no past and with twenty past experiences, over plain LoRA of the same rank.

    python benchmarks/o_lora.py --model models/news2016 --data streams/support [--pairs 9] [--out benchmarks/results/o_lora.json]

The sides learn the same rows one after the other in random order; a pair's ratio is the median over its steps of the CPU times of the same step in one
thread, shown are the median over pairs and a 90 % bootstrap interval of it.
"""

from __future__ import annotations

import argparse
import platform
import statistics
from itertools import pairwise
from pathlib import Path
from random import Random
from time import process_time

import torch

from everlearn import CausalModel, Experience, Gradient, Lora, OLoRA, Settings, load_model, load_stream
from everlearn.models.adapters import pairs
from everlearn.models.load import quiet_bars
from everlearn.results import write_json

RANK, PAST = 8, (0, 20)


def with_past(model: CausalModel, experiences: int) -> OLoRA:
    """The method with that many past adapters, of random directions."""
    method, random = OLoRA(rank=RANK), torch.Generator().manual_seed(0)
    method.prepare(model)
    past = {
        str(number): {
            part: {place: 0.01 * torch.randn(getattr(pair, part).shape, generator=random) for place, pair in pairs(model).items()} for part in ("a", "b")
        }
        for number in range(experiences)
    }
    method.load({"learned": experiences, "past": past})
    return method


def timed(method: OLoRA | None, model: CausalModel, experience: Experience) -> list[float]:
    """CPU seconds of each step but the first."""
    clock = list[float]()
    learner = Gradient([] if method is None else [method], Settings(rate=1e-4, passes=1, batch=16))
    learner.learn(model, experience, lambda step, state: clock.append(process_time()))
    if method is not None:
        method.learned -= 1  # so that the next round has as much past
    return [after - before for before, after in pairwise(clock)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=9)
    parser.add_argument("--rows", type=int, default=128)
    parser.add_argument("--model", required=True)
    parser.add_argument("--data", required=True, help="a stream's folder; its first experience's rows are learned")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/o_lora.json"))
    given = parser.parse_args()
    torch.set_num_threads(1)
    random, experience = Random(0), Experience("1", tuple(load_stream(given.data).experiences[0].train[: given.rows]))
    with quiet_bars():
        models = {past: load_model(given.model, lora=Lora(RANK)) for past in (None, *PAST)}
    methods = {past: None if past is None else with_past(model, past) for past, model in models.items()}
    for past, model in models.items():
        timed(methods[past], model, Experience("warm", experience.train[:32]))
    ratios: dict[int, list[float]] = {past: [] for past in PAST}
    for _ in range(given.pairs):
        times = {past: timed(methods[past], models[past], experience) for past in random.sample(list(models), len(models))}
        for past in PAST:
            ratios[past].append(statistics.median(one / two for one, two in zip(times[past], times[None], strict=True)))
    table = []
    for past, found in ratios.items():
        medians = sorted(statistics.median(random.choices(found, k=len(found))) for _ in range(2000))
        table.append({"past": past, "median": statistics.median(found), "low": medians[100], "high": medians[1899], "pairs": given.pairs})
        print(f"{past:3} past: {table[-1]['median']:.3f} of LoRA's step (90 %: {medians[100]:.3f} to {medians[1899]:.3f})", flush=True)
    machine = {"processor": platform.machine(), "threads": 1, "torch": torch.__version__, "python": platform.python_version()}
    about = {"model": Path(given.model).name, "data": Path(given.data).name, "rank": RANK}
    write_json(given.out, {"machine": machine, **about, "table": table})


if __name__ == "__main__":
    main()
