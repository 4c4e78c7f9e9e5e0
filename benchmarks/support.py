"""The first methods on a real stream: seven domains of an assistant, one after the other, with a small real model.

    python make_streams.py streams support --scale 0.5
    python benchmarks/support.py streams/support --model models/news2016 --choose     settings, on the validation rows of three domains
    python benchmarks/support.py streams/support --model models/news2016              the table, on the test rows of all

The rate, passes and batch are those the model's own notes give for this stream; each method's strength is the one with the best average
accuracy on validation rows.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

from everlearn import Settings, compare, load_stream
from everlearn.results import write_json

SETTINGS = Settings(rate=5e-4, passes=5, batch=16)
GRID = {
    "l2_sp": ["l2_sp(strength=0.001)", "l2_sp(strength=0.01)", "l2_sp(strength=0.1)", "l2_sp(strength=1)"],
    "ewc": ["ewc(strength=0.1)", "ewc(strength=1)", "ewc(strength=10)", "ewc(strength=100)"],
    "distill": ["distill(strength=0.1)", "distill(strength=0.3)", "distill(strength=1)", "distill(strength=3)"],
    "replay": ["replay(share=0.5)", "replay(share=1)"],
    "replay+distill": ["replay(share=1)+distill(on=memory,strength=0.5)", "replay(share=1)+distill(on=memory,strength=1)"],
}


def choose(stream: Path, model: str, out: Path) -> dict[str, str]:
    """Each method's best settings by average accuracy on the validation rows of the first three domains."""
    whole = load_stream(stream)
    short, chosen = replace(whole, experiences=whole.experiences[:3]), {"plain": "plain", "joint": "joint"}
    for name, wanted in GRID.items():
        runs = compare(short, model, ",".join(wanted), out=out / "valid", settings=SETTINGS, valid=True).runs
        for run in runs:
            print(f"{run.method:50} average accuracy {100 * (run.metrics['average_accuracy'] or 0):.1f} %", flush=True)
        chosen[name] = max(runs, key=lambda run: run.metrics["average_accuracy"] or 0).method
    write_json(out / "chosen.json", chosen)
    return chosen


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stream", type=Path)
    parser.add_argument("--model", required=True)
    parser.add_argument("--choose", action="store_true", help="choose settings on validation rows")
    parser.add_argument("--out", type=Path, default=Path("runs/support"))
    given = parser.parse_args()
    if given.choose:
        print(json.dumps(choose(given.stream, given.model, given.out), indent=1))
        return
    chosen = json.loads((given.out / "chosen.json").read_text())
    order = ["plain", "l2_sp", "ewc", "distill", "replay", "replay+distill", "joint"]
    results = compare(load_stream(given.stream), given.model, ",".join(chosen[name] for name in order), out=given.out, settings=SETTINGS)
    print(results.markdown())


if __name__ == "__main__":
    main()
