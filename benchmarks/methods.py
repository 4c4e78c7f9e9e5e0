"""Every method on the same three streams, run by run within a budget of time; the same command again goes on.

    python make_streams.py streams --scale 0.25
    python benchmarks/methods.py streams --model models/news2016 [--minutes 60] [--only almanac]
    python scripts/write_tables.py                                                      the tables, in docs/results.md and on the methods' pages

Almanac: six periods, three seeds. `support` and `facts`: the first three experiences, one seed, and three seeds of the six methods that do best
on both. Settings were chosen on other rows than are reported (benchmarks/choose.py); those not named are defaults. Time is learning time over that of plain in
the same world and seed; extra bytes are what the method holds between experiences.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean
from time import monotonic
from typing import Any

from streams import slug

from everlearn import Almanac, Settings, Stream, almanac_stream, compare, load_stream
from everlearn.errors import Diverged
from everlearn.results import Run, write_json

# What is compared, each with its defaults or what was chosen before; benchmarks/choose.py chose others on other rows, and those go before (`recipes`).
ADAPTED = "settings(rate=4e-3)"
METHODS = (
    "plain", "joint", "keep_current",
    "l2(strength=0.0001)", "l2_sp(strength=0.01)", "ewc(strength=0.1)", "si", "mas", "movement",
    "distill(strength=0.1)", "der",
    "replay(share=1)", "replay(share=1,rows=200)", "replay(share=1,rows=200,kind=surprise)", "mir", "agem", "generative_replay", "on_policy_replay(share=1)",
    "packnet", "fisher_mask", "migu", "mofo", "magnitude_mask",
    "reptile", "la_maml", "average", "merge",
    "rewarm", "wsd", "rsqrt", "autoregressive", "finch",
    "subspace", f"o_lora(rank=16)+{ADAPTED}", f"inf_lora(rank=16)+{ADAPTED}", f"slao(rank=16)+{ADAPTED}", f"expand+{ADAPTED}", f"routed_adapters+{ADAPTED}",
    "kl_budget(budget=0.05)", "recover", "rejection", "self_distill",
    "retrieval", "knn_lm", "codebook", "sparse_memory+settings(rate=2e-4)", "consolidate+replay(share=5)",
)  # fmt: skip
CHOSEN = Path(__file__).parent / "results" / "methods" / "chosen.json"
AT_RATE = re.compile(r"rate=([0-9.e-]+)")
OF_THEIR_OWN_RATE = ("o_lora", "inf_lora", "slao", "expand", "routed_adapters", "sparse_memory")  # little of the model learns, whatever the rest would take
SEEDS, BEST = 3, 6
ALMANAC = ("kept", "kept_never_rehearsed", "changed", "new", "changed_at_end", "unseen_phrasing", "skills")
REAL = ("average_accuracy", "forgetting", "learning_accuracy")


@dataclass(frozen=True)
class World:
    """A stream with the model that learns it, and what is told of a run."""

    stream: Callable[[], Stream]
    model: str
    settings: Settings
    told: Sequence[str]
    seeds: int


class BudgetSpent(Exception):
    """The time is over; what was begun is kept."""


def recipes(world: str) -> list[str]:
    """Every method with the settings chosen for the world.

    What is best on `support` goes for `facts` too; a rate that was chosen as a multiple of support's is that multiple of facts', adapters' is as it is.
    """
    chosen = json.loads(CHOSEN.read_text(encoding="utf-8")) if CHOSEN.exists() else {}
    found = {name: one["chosen"] for name, one in chosen.get("almanac" if world == "almanac" else "support", {}).items()}
    if world == "facts":
        found = {name: recipe if name in OF_THEIR_OWN_RATE else AT_RATE.sub(lambda at: f"rate={2 * float(at[1]):g}", recipe) for name, recipe in found.items()}
    return [found.get(name_of(method), method) for method in METHODS]


def measured(world: str, out: Path) -> dict[str, list[Run]]:
    """What is on disk of every method: with the settings chosen, else with those of before."""
    found = {}
    for chosen, before in zip(recipes(world), METHODS, strict=True):
        for recipe in (chosen, before):
            if runs := on_disk(recipe, out):
                found[recipe] = runs
                break
    return found


def name_of(recipe: str) -> str:
    """The method's name."""
    return re.split(r"[(+]", recipe)[0]


def worlds(streams: Path, model: str) -> dict[str, World]:
    def real(name: str) -> Callable[[], Stream]:
        return lambda: (whole := load_stream(streams / name)) and replace(whole, experiences=whole.experiences[:3])

    return {
        "almanac": World(lambda: almanac_stream(Almanac(future=0), 6), "tiny", Settings(rate=3e-4, passes=5, batch=32), ALMANAC, SEEDS),
        "support": World(real("support"), model, Settings(rate=5e-4, passes=5, batch=16), REAL, 1),
        "facts": World(real("facts"), model, Settings(rate=1e-3, passes=5, batch=16), (*REAL, "kept"), 1),
    }


def runs_of(world: World, stream: Stream, method: str, seeds: int, out: Path, end: float) -> list[Run]:
    def watched(text: str, share: float) -> None:
        if monotonic() > end:
            raise BudgetSpent

    found = compare(stream, world.model, method, seeds, out, world.settings, anchor=None, probes=False, progress=watched)
    return [run for run in found.runs if run.order == 0]


def row(method: str, runs: Sequence[Run], plain: Sequence[Run], told: Sequence[str], stream: Stream) -> dict[str, object]:
    """Means over seeds, and the least and the most where there are several."""
    numbers: dict[str, object] = {"method": method, "seeds": len(runs)}
    for name in told:
        values = [value for run in runs if (value := shown(run, name, stream)) is not None]
        numbers[name] = [mean(values), min(values), max(values)] if values else None
    seconds = {(run.seed, machine_of(run)): run.cost["learn_seconds"] or 0.0 for run in plain}
    times = [(run.cost["learn_seconds"] or 0.0) / its for run in runs if (its := seconds.get((run.seed, machine_of(run))))]
    return numbers | {"time": [mean(times), min(times), max(times)] if times else None, "bytes": max(run.cost["extra_state_bytes"] or 0 for run in runs)}


def machine_of(run: Run) -> object:
    """The device it ran on: seconds of one say nothing beside another's."""
    return run.hardware.get("device")


def shown(run: Run, name: str, stream: Stream) -> float | None:
    """A metric, or the end's share of a task of that name."""
    if name in run.metrics:
        return run.metrics[name]
    rows, tasks = run.matrix["rows"], [task for experience in stream for task in experience.tests]
    last = rows[-1] if isinstance(rows, list) else []
    return dict(zip(dict.fromkeys(tasks), last, strict=True)).get(name)


def table(rows: Sequence[Mapping[str, Any]], told: Sequence[str]) -> str:
    """A line a method: means over seeds, with the least and the most."""
    head = ["method", *(f"{name.replace('_', ' ')} %" for name in told), "time over plain", "extra MB", "seeds"]
    lines = ["| " + " | ".join(head) + " |", "| --- |" + " ---: |" * (len(head) - 1)]
    for found in rows:
        measures = [spread(found[name], 100) for name in told]
        cells = [f"`{found['method']}`", *measures, spread(found["time"], 1, 2), f"{found['bytes'] / 1e6:.1f}", str(found["seeds"])]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def spread(found: Sequence[float] | None, factor: float, digits: int = 1) -> str:
    if found is None:
        return "–"
    middle, low, high = (f"{factor * value:.{digits}f}" for value in found)
    return middle if low == high else f"{middle} ({low} to {high})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("streams", type=Path, help="the folder that holds support and facts")
    parser.add_argument("--model", required=True)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--only", nargs="*", default=[], help="almanac, support or facts")
    parser.add_argument("--methods", nargs="*", default=[], help="these alone, by the name they begin with; the table is of all that are on disk")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/methods"))
    given = parser.parse_args()
    end = monotonic() + 60 * given.minutes
    for name, world in worlds(given.streams, given.model).items():
        if given.only and name not in given.only:
            continue
        if learned(name, world, given.out / name, [m for m in recipes(name) if not given.methods or name_of(m) in given.methods], end):
            print("the budget is spent; the same command goes on from here")
        told(name, world, given.out / name, given.out / f"{name}.json")


def learned(name: str, world: World, out: Path, methods: Sequence[str], end: float) -> bool:
    """Every run of one world that the budget allows: one seed of each method, then the other seeds. Whether the budget ended it."""
    stream, found = world.stream(), dict[str, list[Run]]()
    for seeds in dict.fromkeys((1, world.seeds, SEEDS)):
        for method in methods if seeds <= world.seeds else [method for method in best(found) if method in methods]:
            begun = monotonic()
            try:
                found[method] = runs_of(world, stream, method, seeds, out, end)
                print(f"{name:10} {method:40} {seeds} seeds {monotonic() - begun:6.0f} s", flush=True)
            except BudgetSpent:
                return True
            except Diverged as problem:
                print(f"{name:10} {method:40} diverged: {problem}", flush=True)
        if seeds == 1 and len(methods) < len(recipes(name)):  # which are best is said of all
            found = measured(name, out)
    return False


def on_disk(method: str, out: Path) -> list[Run]:
    """The runs of a method that are finished, one a seed."""
    runs = [Run.load(path) for path in sorted((out / "runs").glob(f"{slug(method)}-seed*.json"))]
    assert len({run.seed for run in runs}) == len(runs), f"{method}: two runs of one seed in {out}; delete the older"
    return runs


def told(name: str, world: World, out: Path, write: Path) -> None:
    """The table of all that is on disk, whenever it was run."""
    stream = world.stream()
    found = measured(name, out)
    if "plain" in found:
        rows = [row(method, runs, found["plain"], world.told, stream) for method, runs in found.items()]
        write_json(write, {"stream": stream.name, "experiences": len(stream), "told": list(world.told), "rows": rows})
        print(table(rows, world.told))


def best(found: dict[str, list[Run]]) -> list[str]:
    """Plain, joint, and the six that end highest."""
    score = {method: mean(run.metrics["average_accuracy"] or 0.0 for run in runs) for method, runs in found.items() if method not in ("plain", "joint")}
    return ["plain", "joint", *sorted(score, key=lambda method: -score[method])[:BEST]]


if __name__ == "__main__":
    main()
