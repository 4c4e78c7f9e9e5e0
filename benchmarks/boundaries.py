"""What does it cost a method not to be told where one task ends?

    python benchmarks/boundaries.py almanac --seeds 3 [--orders sequential "blurred(overlap=0.5)"]
    python make_streams.py streams support banking --scale 0.25
    python benchmarks/boundaries.py streams/support --model models/news2016 --rate 1e-3

Each method learns the stream twice in each order: told the boundaries, and cut by the detector (at the latest every `--tokens`). Compared is the average
accuracy at the end, run by run with the same seed. In a blend the boundary that is told is its middle. Runs that are done are not done again.
"""

from __future__ import annotations

import argparse
import json
import re
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

from everlearn import Almanac, Settings, Stream, almanac_stream, compare, load_stream
from everlearn.results import Results, write_json

METHODS = ("replay(share=1)", "distill", "routed_adapters+settings(rate=4e-3)", "keep_current")
ORDERS = ("sequential", "blurred(overlap=0.5)")
THIN = 60  # test rows of one task of the almanac


def thin(stream: Stream) -> Stream:
    """Evenly taken test rows, for time."""
    thinned = tuple(replace(e, tests={task: rows[:: max(1, len(rows) // THIN)] for task, rows in e.tests.items()}) for e in stream)
    return replace(stream, experiences=thinned)


def scores(results: Results) -> dict[str, dict[int, float]]:
    """By method and seed the average accuracy."""
    return {method: {run.seed: float(run.metrics["average_accuracy"] or 0.0) for run in runs} for method, runs in results.by_method().items()}


def shape(results: Results, stream: Stream) -> dict[str, Any]:
    """How the stream was cut, against the boundaries nobody told."""
    starts = [int(str(e.get("start", 0))) for e in results.experiences][1:]
    told = [sum(len(e.train) for e in stream.experiences[:number]) for number in range(1, len(stream))]
    return {"parts": len(results.experiences), "cuts": starts, "told": told}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stream", help="a stream's folder, or 'almanac'")
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--orders", nargs="+", default=ORDERS, help="of the rows; what is known of others with these settings stays")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--periods", type=int, default=3, help="of the almanac")
    parser.add_argument("--rate", type=float, default=3e-4)
    parser.add_argument("--passes", type=int, default=3)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--tokens", type=int, default=8000, help="without an event a boundary every so many")
    parser.add_argument("--runs", type=Path, default=Path("runs/boundaries"))
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/boundaries.json"))
    given = parser.parse_args()
    almanac = given.stream == "almanac"
    stream = thin(almanac_stream(Almanac(), given.periods, skills=THIN)) if almanac else load_stream(Path(given.stream))
    settings = Settings(given.rate, given.passes, given.batch)
    about: dict[str, Any] = {"model": Path(given.model).name, "seeds": given.seeds, "periods": given.periods if almanac else len(stream)}
    about |= {"rate": given.rate, "passes": given.passes, "batch": given.batch, "tokens": given.tokens, "methods": given.methods}
    told: dict[str, Any] = {"settings": about, "orders": {}}
    for order in given.orders:
        found = {}
        for name, boundaries in (("told", "told"), ("found", f"embedding+every(tokens={given.tokens})")):
            out = given.runs / stream.name / f"{re.sub(r'[^a-z0-9.]+', '-', order).strip('-')}-{name}"
            how: dict[str, Any] = {"anchor": None, "probes": False, "order": order, "boundaries": boundaries}
            found[name] = compare(stream, given.model, given.methods, given.seeds, out, settings, **how)
        told["orders"][order] = {"cut": shape(found["found"], stream), "methods": {}}
        with_, without = scores(found["told"]), scores(found["found"])
        for method, by_seed in with_.items():
            lost = [by_seed[seed] - without[method][seed] for seed in by_seed]
            means = {"told": fmean(by_seed.values()), "found": fmean(without[method].values()), "lost": fmean(lost), "lost_by_seed": lost}
            told["orders"][order]["methods"][method] = means
            print(f"{order:22} {method:40} told {100 * means['told']:5.1f}  found {100 * means['found']:5.1f}  lost {100 * means['lost']:5.1f}", flush=True)
        print(order, told["orders"][order]["cut"], flush=True)
    whole = json.loads(given.out.read_text(encoding="utf-8")) if given.out.exists() else {}
    before = whole.get(stream.name, {})
    if before.get("settings", told["settings"]) == told["settings"]:
        told["orders"] = {**before.get("orders", {}), **told["orders"]}
    write_json(given.out, {**whole, stream.name: told})


if __name__ == "__main__":
    main()
