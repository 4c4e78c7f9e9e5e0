"""How far may a neighbour be, and how loud: knn_lm's temperature and share.

    python benchmarks/knn_lm.py [--future 1] [--temperatures 0.05 0.3 1] [--shares 0.9 0.97] [--write benchmarks/results/knn_lm.json]

The tiny model, two periods of the almanac with 40 changed and 40 new facts each. Asked at the end, in per cent right: what changed and what is new (as taught),
the same in phrasings that are never taught, what never changed (asked before too), and skills. Settings were chosen on future 1; report with
`--future 0 --temperatures 0.3 --shares 0.9`.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from everlearn import Almanac, Example, LanguageModel, Stream, almanac_stream, load_model
from everlearn.learn.bounds import Frozen
from everlearn.learn.knn_lm import KNNLM
from everlearn.results import write_json

ASKED = ("changed", "new", "phrasings never written", "kept", "skills")


def right(model: LanguageModel, rows: Sequence[Example]) -> float:
    said = [text for at in range(0, len(rows), 200) for text in model.generate(rows[at : at + 200], limit=16)]
    return 100 * fmean(float(text == row.completion) for text, row in zip(said, rows, strict=True))


def asked(stream: Stream) -> dict[str, list[Example]]:
    """What is asked at the end, by name; of a fact that the second period changed the newer answer alone."""
    one, two = stream.experiences
    newer = {row.source for row in two.train}
    taught = {row.source for experience in (one, two) for row in experience.train}
    found = {"kept": [row for row in one.tests["kept"] if row.source not in taught], "skills": list(one.tests["skills"])}
    for name, task in (("changed", "changed"), ("new", "new"), ("phrasings never written", "unseen")):
        found[name] = [row for row in one.tests[f"{task}1"] if row.source not in newer] + list(two.tests[f"{task}2"])
    return found


def run(stream: Stream, temperature: float, share: float) -> dict[str, float]:
    model, learner = load_model("tiny"), KNNLM(temperature=temperature, share=share)
    learner.around(Frozen())
    served = learner.prepare(model)
    for experience in stream:
        learner.learn(model, experience)
    return {name: right(served, rows) for name, rows in asked(stream).items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--future", type=int, default=1)
    parser.add_argument("--temperatures", type=float, nargs="+", default=[0.02, 0.05, 0.1, 0.3, 0.5, 1.0])
    parser.add_argument("--shares", type=float, nargs="+", default=[0.9, 0.97])
    parser.add_argument("--write", type=Path)
    given = parser.parse_args()
    stream = almanac_stream(Almanac(changed=40, appeared=40, future=given.future), 2)
    print("| temperature | share | " + " | ".join(f"{name} ({len(asked(stream)[name])})" for name in ASKED) + " |\n| ---: | ---: |" + " ---: |" * len(ASKED))
    rows = []
    for share in given.shares:
        for temperature in given.temperatures:
            found = run(stream, temperature, share)
            rows.append({"temperature": temperature, "share": share, **found})
            print(f"| {temperature} | {share} | " + " | ".join(f"{found[name]:.1f}" for name in ASKED) + " |", flush=True)
    if given.write:
        write_json(given.write, {"future": given.future, "rows": rows})


if __name__ == "__main__":
    main()
