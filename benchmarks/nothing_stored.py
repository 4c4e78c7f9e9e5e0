"""What can be kept where nothing, or only a tenth, of the old examples is stored?

Recipes are tried on another future of the almanac than the one reported; whatever was run is read from its folder and not run again. A recipe is good
if it keeps at least 97 % of what never changed and learns at least 97 % of what did and of what is new. Cost: learning time over that of plain
with the same passes and batch.

    python benchmarks/nothing_stored.py                            the search, on future 1
    python benchmarks/nothing_stored.py --future 0 --only "..."    recipes by their text, on the future that is reported
"""

from __future__ import annotations

import argparse
from pathlib import Path

from everlearn import Almanac, Settings, almanac_stream, compare
from everlearn.results import write_json

SHOWN = ("kept", "changed", "new", "changed_at_end", "new_at_end", "unseen_phrasing", "stale", "skills")
# Each text is one run; settings(...) goes over the demo's 5 passes of 32 rows at 3e-4.
TRIED = ("plain",)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", default=TRIED)
    parser.add_argument("--future", type=int, default=1)
    parser.add_argument("--periods", type=int, default=6)
    parser.add_argument("--out", type=Path, default=Path("runs/nothing_stored"))
    parser.add_argument("--write", type=Path, help="also write the table as JSON here")
    given = parser.parse_args()
    stream = almanac_stream(Almanac(future=given.future), given.periods)
    folder = given.out / f"future{given.future}-{given.periods}"
    names = [*given.only] if "plain" in given.only else ["plain", *given.only]
    print(f"{'recipe':100} " + " ".join(f"{name[:9]:>9}" for name in (*SHOWN, "cost")), flush=True)
    found, plain = [], 1.0
    for name in names:
        run = compare(stream, "tiny", name, out=folder / "".join(c if c.isalnum() else "-" for c in name), settings=Settings(3e-4, 5, 32), anchor=None).runs[0]
        seconds = float(run.cost["learn_seconds"] or 0)
        plain = seconds if name == "plain" else plain
        cells = [f"{100 * value:9.1f}" if (value := run.metrics[metric]) is not None else f"{'–':>9}" for metric in SHOWN]
        print(f"{name[:100]:100} " + " ".join([*cells, f"{seconds / plain:9.2f}"]), flush=True)
        found.append({"recipe": name, "cost_over_plain": seconds / plain, "learn_seconds": seconds, **{metric: run.metrics[metric] for metric in SHOWN}})
    if given.write:
        write_json(given.write, {"future": given.future, "periods": given.periods, "runs": found})


if __name__ == "__main__":
    main()
