"""The first methods on nine real streams, run by run within a budget of time; the same command again goes on.

    python make_streams.py streams --scale 0.25
    python benchmarks/streams.py streams --model models/news2016 [--minutes 60] [--only support banking]        (make results)

Of each stream the first four experiences. Every method one seed, memories beside the model on `facts` and `translation` (but no codebook on the latter, whose
long answers it takes too long for: docs/results.md); plain, replay, the default recipe and joint three. Runs come in the order of what they tell: one
seed of everything, short streams first, then the other seeds. A run that the budget cuts off is kept and continued.
The strengths are those chosen on the validation rows of `support` (benchmarks/support.py). The rate, batch and passes of the short-answer streams
are those the model's own notes give for `support`; the three streams of long texts get two passes, set by their size before any run. The factor and the
slots of `sparse_memory` are those that wrote 300 other questions and answers best at this rate (benchmarks/edits.py --at-once).
"""

from __future__ import annotations

import argparse
import re
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import Any

from everlearn import Settings, Stream, compare, load_stream
from everlearn.errors import Diverged
from everlearn.results import Results
from everlearn.standing import prints, still_true

EXPERIENCES = 4
STREAMS = ("policy", "support", "banking", "classification", "facts", "instructions", "recommendation", "news", "translation")
LONG = ("recommendation", "news", "translation")
SETTINGS = Settings(rate=5e-4, passes=5, batch=16)
SEVERAL = ("plain", "replay(share=1)", "keep_current", "joint")
ONCE = ("frozen", "l2(strength=0.0001)", "l2_sp(strength=0.01)", "ewc(strength=0.1)", "distill(strength=0.1)")
SPARSE = "sparse_memory(factor=500,top=4096)"
MEMORY = {"facts": ("retrieval", "codebook", "knn_lm", SPARSE), "translation": ("retrieval", "knn_lm", SPARSE)}
SEEDS = 3
ASIDE = "results.before.json"


class BudgetSpent(Exception):
    """The time is over; what was begun is kept."""


def planned(names: list[str]) -> list[tuple[str, str, int]]:
    """(stream, method, seeds) in the order of running."""
    first = [(name, method, 1) for name in names for method in methods_of(name)]
    return first + [(name, method, SEEDS) for name in names for method in SEVERAL]


def methods_of(name: str) -> tuple[str, ...]:
    return (*SEVERAL, *ONCE, *MEMORY.get(name, ()))


def shortened(folder: Path) -> Stream:
    """The stream's first experiences; a task that only a later one tests is none of it."""
    whole = load_stream(folder)
    return replace(whole, experiences=whole.experiences[:EXPERIENCES])


def finished(out: Path, stream: Stream) -> dict[str, int]:
    """How many seeds of each method are on disk."""
    found = [path.name for path in (out / stream.name / "runs").glob("*.json")]
    return {method: sum(name.startswith(slug(method) + "-seed") for name in found) for method in methods_of(stream.name)}


def slug(method: str) -> str:
    """A method as the names of its runs' files have it."""
    return re.sub(r"[^A-Za-z0-9._=-]+", "_", method).strip("_")[:80]


def tables(out: Path, streams: dict[str, Stream], model: str, earlier: dict[str, Results]) -> list[str]:
    """One results.json a stream of what is finished, with what an earlier one said that is still true; the streams with something left."""
    left = []
    for name, stream in streams.items():
        done, joined = finished(out, stream), None
        for seeds in sorted({count for count in done.values() if count}, reverse=True):
            methods = [method for method, count in done.items() if count >= seeds]
            results = compare(stream, model, ",".join(methods), seeds, out / name, settings(name), anchor="everlearn", probes=False)
            joined = results if joined is None else merged(joined, results)
        if joined is not None:
            kept(joined, earlier.get(name)).save(out / name / "results.json")
        (out / name / ASIDE).unlink(missing_ok=True)
        missing = sum((SEEDS if method in SEVERAL else 1) - done[method] for method in done)
        left += [f"{name}: {missing} runs"] if missing else []
    return left


def set_aside(folder: Path) -> Results | None:
    """What the last whole table says, kept in a file until the next is written: a comparison of one method writes a results.json of that method alone."""
    path, aside = folder / "results.json", folder / ASIDE
    if path.exists() and not aside.exists():
        aside.write_bytes(path.read_bytes())
    return Results.load(aside) if aside.exists() else None


def merged(one: Results, other: Results) -> Results:
    """Both results, a run once; intervals of the one with more seeds go before."""
    known = {(run.method, run.seed) for run in one.runs}
    several = {run.method for run in one.runs}
    return replace(
        one,
        runs=[*one.runs, *(run for run in other.runs if (run.method, run.seed) not in known)],
        intervals={**other.intervals, **one.intervals},
        differences=[*one.differences, *(d for d in other.differences if d.method not in several)],
    )


def kept(joined: Results, earlier: Results | None) -> Results:
    """The same, with what an earlier table said of the same runs where their answers, which are not committed, are gone."""
    if earlier is None:
        return joined
    intervals, differences = still_true(earlier, prints((run.method, run.fingerprint) for run in joined.runs))
    known = {(found.method, found.metric) for found in joined.differences}
    more = [found for found in differences if (found.method, found.metric) not in known]
    return replace(joined, intervals={**intervals, **joined.intervals}, differences=[*joined.differences, *more])


def settings(name: str) -> Settings:
    return replace(SETTINGS, passes=2) if name in LONG else SETTINGS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("streams", type=Path, help="the folder that holds the nine")
    parser.add_argument("--model", required=True)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/streams"))
    given = parser.parse_args()
    names = [name for name in STREAMS if not given.only or name in given.only]
    streams, end = {name: shortened(given.streams / name) for name in names}, monotonic() + 60 * given.minutes
    earlier = {name: found for name in names if (found := set_aside(given.out / name)) is not None}

    def watched(text: str, share: float) -> None:
        if monotonic() > end:
            raise BudgetSpent

    try:
        for name, method, seeds in planned(names):
            begun = monotonic()
            how: dict[str, Any] = {"anchor": "everlearn", "probes": False, "progress": watched, "save_every": 30}
            try:
                compare(streams[name], given.model, method, seeds, given.out / name, settings(name), **how)
                print(f"{name:16} {method:24} {seeds} seeds  {monotonic() - begun:6.0f} s", flush=True)
            except Diverged as problem:
                print(f"{name:16} {method:24} diverged: {problem}", flush=True)
    except BudgetSpent:
        print("the budget is spent; the same command goes on from here")
    left = tables(given.out, streams, given.model, earlier)
    print("left: " + ("; ".join(left) or "nothing"))


if __name__ == "__main__":
    main()
