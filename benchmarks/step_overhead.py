"""What a step costs: everlearn's loop against a hand-written one, and l2, l2_sp, ewc against plain.

    python benchmarks/step_overhead.py [--pairs 41] [--rows 640] [--threads 1] [--out runs/bench/step_overhead.json]

Each pair learns the same rows in the same batches one after the other, in random order of the two. A pair's ratio is the median over its
steps of (time of one / time of the other) for the same step, so what disturbs a few steps does not decide; work once an experience is no
step's. Shown are the median over pairs and a 90 % bootstrap interval of it, in process CPU time (and the median in wall time). Before the
time the values are compared: both loops must end with the same weights.
"""

from __future__ import annotations

import argparse
import platform
import statistics
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from random import Random
from time import perf_counter, process_time

import torch
from torch.nn import functional

from everlearn import EWC, L2, L2SP, Almanac, CausalModel, Experience, Gradient, Method, Row, Settings, almanac_stream, load_model
from everlearn.results import write_json

LIMIT = 1.05
Clock = list[tuple[float, float]]  # (CPU, wall) in seconds before the first step and after each
Loop = Callable[[CausalModel, Experience, Clock], None]
SETTINGS = Settings(rate=1e-4, passes=1, batch=32)


def by_hand(model: CausalModel, experience: Experience, clock: Clock) -> None:
    """A PyTorch loop over the same batches: the head on learned positions only, one AdamW, clipping."""
    rows = model.encoder.rows(experience.train)
    optimizer = torch.optim.AdamW(model.module.parameters(), lr=SETTINGS.rate, weight_decay=0.0, fused=True)
    order, steps = Random("0/0/pass0").sample(rows, len(rows)), SETTINGS.steps(len(rows))
    model.module.train()
    for number in range(steps):
        part = sorted(order[number * len(rows) // steps : (number + 1) * len(rows) // steps], key=lambda row: len(row.tokens))
        tokens, mask, targets = tensors(part)
        optimizer.zero_grad()
        hidden = model.module.model(input_ids=tokens, attention_mask=mask, use_cache=False).last_hidden_state
        learned = targets != -100
        functional.cross_entropy(model.module.lm_head(hidden[learned]), targets[learned]).backward()
        torch.nn.utils.clip_grad_norm_(model.module.parameters(), 1.0)
        optimizer.step()
        clock.append(now())


def now() -> tuple[float, float]:
    """(CPU, wall) in seconds."""
    return process_time(), perf_counter()


def tensors(rows: list[Row]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """tokens, mask and targets, (B, T), without the longest rows' last token, which predicts nothing; targets are -100 where nothing is learned."""
    width = max(len(row.tokens) for row in rows)
    tokens, mask = torch.full((len(rows), width), 1), torch.zeros(len(rows), width, dtype=torch.long)
    targets = torch.full((len(rows), width), -100)
    for i, row in enumerate(rows):
        tokens[i, : len(row.tokens)], mask[i, : len(row.tokens)] = torch.tensor(row.tokens), 1
        targets[i, torch.tensor(row.learned) - 1] = torch.tensor([row.tokens[at] for at in row.learned])
    return tokens[:, :-1], mask[:, :-1], targets[:, :-1]


def with_methods(*methods: Method) -> Loop:
    """The loop with these methods."""

    def learn(model: CausalModel, experience: Experience, clock: Clock) -> None:
        Gradient(methods, SETTINGS).learn(model, experience, lambda step, state: clock.append(now()))

    return learn


def ready(model: CausalModel, method: Method, experience: Experience) -> Method:
    """The method with a past to hold on to, so that its penalty is at work; afterwards it takes no further one."""
    Gradient([method], SETTINGS).remember(model, experience.train[:32])
    method.end = lambda model, step, random: None  # type: ignore[method-assign]
    return method


def timed(run: Loop, model: CausalModel, start: dict[str, torch.Tensor], experience: Experience) -> list[tuple[float, float]]:
    """(CPU seconds, wall seconds) of each step but the first, learning the experience from the same start."""
    model.load(start)
    clock: Clock = []
    run(model, experience, clock)
    return [(after[0] - before[0], after[1] - before[1]) for before, after in pairwise(clock)]


def interval(ratios: list[float], random: Random) -> tuple[float, float, float]:
    """The median, and the 5th and 95th percentile of the median of 2,000 bootstrap samples."""
    medians = sorted(statistics.median(random.choices(ratios, k=len(ratios))) for _ in range(2000))
    return statistics.median(ratios), medians[100], medians[1899]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=41)
    parser.add_argument("--rows", type=int, default=640)
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--out", type=Path, default=Path("runs/bench/step_overhead.json"))
    parser.add_argument("--threads", type=int, default=1, help="with more, their waiting counts as CPU time")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    experience = Experience("1", tuple(almanac_stream(Almanac(), periods=1).base[: given.rows]))
    model, random = load_model(given.model), Random(0)
    start, plain = model.state(), with_methods()
    by_hand(model, experience, [])
    hand = model.state()
    model.load(start)
    plain(model, experience, [])
    far = max(float((hand[name] - value).abs().max()) for name, value in model.state().items())
    print(f"largest difference of a weight between the two loops: {far:.1e}")
    assert far < 1e-4, "the loops do not compute the same"
    model.load(start)
    rivals: dict[str, tuple[Loop, Loop]] = {"plain / by hand": (plain, by_hand)}
    for name, method in (("l2", L2(0.01)), ("l2_sp", L2SP(0.01)), ("ewc", EWC(1.0))):
        rivals[f"{name} / plain"] = (with_methods(ready(model, method, experience)), plain)
    table = []
    for name, pair in rivals.items():
        cpu, wall = [], []
        for _ in range(given.pairs):
            order = random.sample([0, 1], 2)
            times = {which: timed(pair[which], model, start, experience) for which in order}
            cpu.append(statistics.median(one[0] / other[0] for one, other in zip(times[0], times[1], strict=True)))
            wall.append(statistics.median(one[1] / other[1] for one, other in zip(times[0], times[1], strict=True)))
        (middle, low, high), (wall_middle, *_) = interval(cpu, random), interval(wall, random)
        print(
            f"{name:16} CPU {middle:.3f} (90 %: {low:.3f} to {high:.3f})   wall {wall_middle:.3f}   {'within' if high <= LIMIT else 'above'} {LIMIT}",
            flush=True,
        )
        table.append({"ratio": name, "cpu_median": middle, "cpu_low": low, "cpu_high": high, "wall_median": wall_middle, "pairs": given.pairs})
    machine = {"processor": platform.machine(), "threads": torch.get_num_threads(), "torch": torch.__version__, "python": platform.python_version()}
    write_json(given.out, {"machine": machine, "rows": given.rows, "model": given.model, "table": table})


if __name__ == "__main__":
    main()
