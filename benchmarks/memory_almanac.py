"""Does a memory that is read learn 400 facts in seconds, and answer by date?

    python benchmarks/memory_almanac.py [--future 0] [--write benchmarks/results/memory_almanac.json]

The tiny model, two periods of the almanac with 120 changed and 280 new facts each (2,400 rows). After each period: the seconds of `learn`, and what is
answered right of the facts (asked as taught, and in phrasings that are never taught), of what never changed (asked before too), and of skills. At the end
the first period's facts that the second changed are asked as of both dates. Settings were chosen on --future 1; reported is future 0.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, median
from time import perf_counter, process_time

from everlearn import Almanac, Example, Experience, LanguageModel, almanac_stream, load_model
from everlearn.learn.bounds import Frozen
from everlearn.learn.retrieval import Retrieval
from everlearn.results import write_json


def right(model: LanguageModel, rows: Sequence[Example]) -> float:
    said = [text for at in range(0, len(rows), 200) for text in model.generate(rows[at : at + 200], limit=16)]
    return fmean(float(text == row.completion) for text, row in zip(said, rows, strict=True))


def stays(rows: Sequence[Example], changed: set[str]) -> list[Example]:
    return [row for row in rows if row.source not in changed]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--future", type=int, default=0)
    parser.add_argument("--write", type=Path)
    given = parser.parse_args()
    stream = almanac_stream(Almanac(changed=120, appeared=280, future=given.future), 2)
    model, learner = load_model("tiny"), Retrieval()
    learner.around(Frozen())
    served = learner.prepare(model)
    one, two = stream.experiences
    changed = {row.source for experience in (one, two) for row in experience.train}
    kept = stays([*one.tests["kept"], *one.tests["unseen0"]], changed)
    before, found = {"kept": right(served, kept), "skills": right(served, one.tests["skills"])}, []
    learner.learn(model, Experience("warm", (Example(prompt="Is this a question?", completion=" Yes", source="warm"),)))
    learner.delete(source="warm")  # libraries are loaded once in a process
    for number, experience in enumerate((one, two), 1):
        began, cpu = perf_counter(), process_time()
        learner.learn(model, experience)
        took = {"seconds": perf_counter() - began, "cpu_seconds": process_time() - cpu}
        tests = {name: experience.tests[name] for name in (f"changed{number}", f"new{number}", f"unseen{number}")}
        asking = perf_counter()
        scores = {name: right(served, rows) for name, rows in tests.items()}
        took["milliseconds_a_question"] = 1000 * (perf_counter() - asking) / sum(map(len, tests.values()))
        scores |= {"kept": right(served, kept), "skills": right(served, one.tests["skills"])}
        found.append({"rows": len(experience.train), "facts": 400, **took, "right": scores})
        print(json.dumps(found[-1], indent=1), flush=True)
    again = {row.source: row for row in two.tests["changed2"]}
    first = [row for name in ("changed1", "new1") for row in one.tests[name] if row.source in again]
    dates = {"then": right(served.at(one.train[0].time), first), "now": right(served, [again[row.source] for row in first]), "facts": len(first)}
    times = []
    for row in first[:50]:
        asked = perf_counter()
        served.cited([row])
        times.append(1000 * (perf_counter() - asked))
    result = {"future": given.future, "before": before, "periods": found, "as_of": dates, "milliseconds_a_lookup": median(times)}
    print(json.dumps(result["as_of"]), before)
    if given.write:
        write_json(given.write, result)


if __name__ == "__main__":
    main()
