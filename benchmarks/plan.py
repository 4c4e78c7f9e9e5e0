"""Is what `everlearn plan` says what the run then takes: time and kept bytes, on three sizes of model.

    python benchmarks/plan.py STREAM [--runs 3] [--sizes 1M 3M 6.5M] [--methods plain,ewc,replay] [--rows 48] [--out runs/bench/plan.json]

STREAM: a stream's folder; its first three experiences are taken, `rows` of each. Each model is made from a config and planned for; then each method is run
as `compare` runs it, `runs` times. Shown are predicted and measured seconds (median), their ratio, and the same of the bytes kept beside the weights.
Predictions are of the wall clock: run it on an idle machine. On a busy one --cpu puts CPU time in its place, in the plan and in what it is compared with.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import torch

if "--cpu" in sys.argv:  # before anything of everlearn takes its clock
    time.perf_counter = time.process_time

from llamas import llama, texts_of
from timing import machine

from everlearn import Experience, Settings, Stream, compare, load_stream, plan_runs
from everlearn.results import write_json

FAR = 0.30
MEASURED = ("learn_seconds", "evaluate_seconds", "extra_state_bytes")


def small(stream: Stream, rows: int) -> Stream:
    """The first three experiences, with fewer rows to learn and to be asked."""
    kept = [
        Experience(e.name, e.train[:rows], {task: of[: rows // 4] for task, of in e.tests.items()}, e.scores, chance=e.chance) for e in stream.experiences[:3]
    ]
    return replace(stream, experiences=tuple(kept), base=stream.base[:rows])


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("stream", type=Path)
    options.add_argument("--runs", type=int, default=3)
    options.add_argument("--rows", type=int, default=48)
    options.add_argument("--sizes", nargs="+", default=["1M", "3M", "6.5M"])
    options.add_argument("--methods", default="plain,ewc,replay")
    options.add_argument("--cpu", action="store_true", help="CPU time in place of wall time")
    options.add_argument("--threads", type=int, default=1)
    options.add_argument("--out", type=Path, default=Path("runs/bench/plan.json"))
    given = options.parse_args()
    torch.set_num_threads(given.threads)
    stream, settings, table = small(load_stream(given.stream), given.rows), Settings(rate=1e-4, passes=3, batch=16), []
    texts = texts_of([e for experience in stream for e in experience.train])
    for size in given.sizes:
        with tempfile.TemporaryDirectory() as folder:
            model = llama(size, texts)
            model.module.save_pretrained(folder)
            model.tokenizer.save_pretrained(folder)
            planned = plan_runs(stream, folder, given.methods, settings, None, probe=1)
            costs: dict[str, list[dict[str, object]]] = {}
            for _ in range(given.runs):
                for run in compare(stream, folder, given.methods, 1, None, settings, None, anchor=None, probes=False).runs:
                    costs.setdefault(run.method, []).append(run.cost)
        for one in planned.methods:
            took = {
                name: statistics.median(float(str(cost[name])) for cost in costs[one.method])
                for name in ("learn_seconds", "evaluate_seconds", "extra_state_bytes")
            }
            seconds = took["learn_seconds"] + took["evaluate_seconds"]
            ratio = one.seconds / seconds
            kept = one.extra_bytes / took["extra_state_bytes"] if took["extra_state_bytes"] else 1.0
            verdict = "within" if abs(ratio - 1) <= FAR else "OUTSIDE"
            print(
                f"{size:5} {one.method:8} planned {one.seconds:7.1f} s, took {seconds:7.1f} s, ratio {ratio:.2f} {verdict} 30 %;"
                f" kept {one.extra_bytes:,} of {took['extra_state_bytes']:,.0f} bytes, ratio {kept:.2f}",
                flush=True,
            )
            row = {"size": size, "method": one.method, "planned_seconds": one.seconds, "seconds": seconds, "ratio": ratio}
            table.append({**row, "planned_bytes": one.extra_bytes, "bytes": took["extra_state_bytes"], "planned_memory": one.memory})
    write_json(given.out, {"machine": machine(), "clock": "CPU" if given.cpu else "wall", "rows": given.rows, "runs": given.runs, "table": table})


if __name__ == "__main__":
    main()
