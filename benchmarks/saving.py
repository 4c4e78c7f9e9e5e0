"""What keeping a state to go on from holds up the loop for: written before it goes on, and in the background.

    python benchmarks/saving.py [--pairs 3] [--steps 8] [--every 2] [--size 6.5M] [--out runs/bench/saving.json]

A Llama made from a config learns rows of the almanac with ewc; every second step its weights, AdamW's moments and the methods' state are kept. Shown is the
median wall time of a saving in which the loop stands still, in milliseconds and in steps; wall time, as it waits for a disk.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from random import Random
from time import perf_counter

import torch
from llamas import llama, texts_of
from timing import Clock, interleaved, machine, now, parser

from everlearn import EWC, Almanac, CausalModel, Example, Experience, Gradient, Settings, almanac_stream
from everlearn.methods.base import State
from everlearn.models.saving import Saving
from everlearn.models.state import save_state
from everlearn.results import write_json


def learning(model: CausalModel, start: State, examples: list[Example], every: int, behind: bool, stood: list[float]) -> Callable[[Clock], None]:
    """A run that notes the time after each step that keeps nothing, and how long each saving held it up."""

    def run(clock: Clock) -> None:
        model.load(start)  # type: ignore[arg-type]
        with tempfile.TemporaryDirectory() as folder:
            saving = Saving(Path(folder), 0)
            keep: Callable[[State], None] = saving.save if behind else lambda state: save_state(state, folder)

            def checkpoint(step: object, state: Callable[[], State]) -> None:
                clock.append(now())
                if len(clock) % every == 0:
                    began = perf_counter()
                    keep({"learner": state()})
                    stood.append(perf_counter() - began)

            Gradient([EWC(1.0)], Settings(rate=1e-4, passes=1, batch=16)).learn(model, Experience("1", tuple(examples)), checkpoint)
            saving.wait()

    return run


def main() -> None:
    options = parser(__doc__, 3, "runs/bench/saving.json")
    options.add_argument("--steps", type=int, default=8)
    options.add_argument("--every", type=int, default=2)
    options.add_argument("--size", default="6.5M")
    given = options.parse_args()
    torch.set_num_threads(given.threads)
    examples = list(almanac_stream(Almanac(), periods=1).base[: 16 * given.steps])
    model = llama(given.size, texts_of(examples))
    start: State = dict(model.state())
    stood: dict[str, list[float]] = {"before": [], "behind": []}
    runs = {name: learning(model, start, examples, given.every, name == "behind", seconds) for name, seconds in stood.items()}
    times = interleaved(runs, given.pairs, Random(0))
    step = statistics.median(one[1] for spans in times["before"] for one in spans[given.every - 2 :: given.every])
    table = {name: {"milliseconds": 1000 * statistics.median(of), "steps": statistics.median(of) / step, "all": of} for name, of in stood.items()}
    for name, of in table.items():
        print(f"{name:8} a saving holds the loop up for {of['milliseconds']:.0f} ms, {of['steps']:.2f} steps of {1000 * step:.0f} ms", flush=True)
    write_json(given.out, {"machine": machine(), "parameters": sum(p.numel() for p in model.module.parameters()), "step": step, "table": table})


if __name__ == "__main__":
    main()
