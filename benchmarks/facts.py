"""What does a real model keep of its facts where nothing of the past is stored, base and earlier experiences alike?

    python make_streams.py streams facts --scale 0.25
    python benchmarks/facts.py streams/facts --model models/news2016 [--only "..."]

The four experiences of `facts`, 2017 to 2024. Aimed at: of what never changed, and of earlier changes that still hold, at least 90 % right at the end, and at
least 97 % of the last experience's rows. A run that was stopped goes on where it was. The base is hidden from the learner.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from everlearn import Settings, compare, load_stream
from everlearn.results import Run, write_json

OWN = "generative_replay(share={share},rows=3000,rounds=5,fresh=0,overlap=1,keep=8000,k=16,prompts=0.25,confidence={confidence})"
TRIED = ("plain", OWN.format(share=2, confidence=0.8))
SETTINGS = Settings(rate=1e-3, passes=12, batch=16)


def ends(run: Run) -> Mapping[str, list[float | None]]:
    """Each task's score after each experience."""
    tasks, rows = run.matrix["tasks"], run.matrix["rows"]
    assert isinstance(tasks, list)
    assert isinstance(rows, list)
    return {task: [row[at] for row in rows] for at, task in enumerate(tasks)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stream", type=Path)
    parser.add_argument("--model", required=True)
    parser.add_argument("--only", nargs="*", default=TRIED)
    parser.add_argument("--passes", type=int, default=SETTINGS.passes)
    parser.add_argument("--out", type=Path, default=Path("runs/facts"))
    parser.add_argument("--write", type=Path, help="also write the table as JSON here")
    given = parser.parse_args()
    stream, found = replace(load_stream(given.stream), base=()), []
    for recipe in given.only:
        settings = replace(SETTINGS, passes=given.passes)
        run = compare(stream, given.model, recipe, out=given.out, settings=settings, anchor=None, probes=False, save_every=30).runs[0]
        print(f"{recipe}  {run.cost['learn_seconds']:.0f} s", flush=True)
        for task, scores in ends(run).items():
            print(f"    {task:20}" + "".join(f"{100 * score:7.1f}" if score is not None else f"{'–':>7}" for score in scores), flush=True)
        found.append({"recipe": recipe, "passes": given.passes, "learn_seconds": run.cost["learn_seconds"], "tasks": dict(ends(run))})
    if given.write:
        write_json(given.write, {"stream": stream.name, "runs": found})


if __name__ == "__main__":
    main()
