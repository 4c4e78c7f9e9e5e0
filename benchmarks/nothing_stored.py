"""What can be kept where nothing, or only a tenth, of the old examples is stored?

Recipes are tried on another future of the almanac than the one reported; whatever was run is read from its folder and not run again. A recipe is good
if it keeps at least 97 % of what never changed and learns at least 97 % of what did and of what is new. Cost: learning time over that of plain
with the same passes and batch.

    python benchmarks/nothing_stored.py                            the search, on future 1
    python benchmarks/nothing_stored.py --future 0 --only "..."    recipes by their text, on the future that is reported
"""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path

from everlearn import Almanac, Settings, almanac_stream, compare
from everlearn.results import write_json

SHOWN = ("kept", "changed", "new", "changed_at_end", "new_at_end", "unseen_phrasing", "stale", "skills")
OWN = "generative_replay(share={share},strength={strength},rows={rows},rounds=6,fresh=0,keep={keep},k=16)"
LONG, LONGER = "settings(batch=8,rate=2e-4)", "settings(batch=8,rate=2e-4,passes=8)"
# Each text is one run; settings(...) goes over the demo's 5 passes of 32 rows at 3e-4.
TRIED = (
    "plain",
    "generative_replay",
    f"{OWN.format(share=1.5, strength=4, rows=5000, keep=8000)}+{LONG}",
    f"{OWN.format(share=1.5, strength=2, rows=4000, keep=5000)}+{LONGER}",
    f"{OWN.format(share=1.5, strength=2, rows=4000, keep=5000)}+ewc(strength=0.1)+{LONGER}",
    f"{OWN.format(share=1.5, strength=2, rows=4000, keep=5000)}+ewc(strength=0.03)+{LONGER}",
    f"{OWN.format(share=1.5, strength=2, rows=4000, keep=5000)}+ewc(strength=0.01)+{LONGER}",
    f"replay(share=1,rows=510)+{OWN.format(share=1, strength=2, rows=4000, keep=5000)}+{LONGER}",
    f"replay(share=1,rows=510)+{OWN.format(share=1, strength=2, rows=4000, keep=5000)}+ewc(strength=0.01)+{LONGER}",
)


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
    names = list(dict.fromkeys(name for recipe in given.only for name in (plain_of(recipe), recipe)))
    print(f"{'recipe':140} " + " ".join(f"{name[:9]:>9}" for name in (*SHOWN, "cost")), flush=True)
    found, seconds = [], dict[str, float]()
    for name in names:
        place = folder / hashlib.sha256(name.encode()).hexdigest()[:12]
        run = compare(stream, "tiny", name, out=place, settings=Settings(3e-4, 5, 32), anchor=None, probes=False).runs[0]
        seconds[name] = float(run.cost["learn_seconds"] or 0)
        cost = seconds[name] / seconds[plain_of(name)]
        cells = [f"{100 * value:9.1f}" if (value := run.metrics[metric]) is not None else f"{'–':>9}" for metric in SHOWN]
        print(f"{name:140} " + " ".join([*cells, f"{cost:9.2f}"]), flush=True)
        found.append({"recipe": name, "cost_over_plain": cost, "learn_seconds": seconds[name], **{metric: run.metrics[metric] for metric in SHOWN}})
    if given.write:
        write_json(given.write, {"future": given.future, "periods": given.periods, "runs": found})


def plain_of(recipe: str) -> str:
    """Plain with the loop's settings of a recipe."""
    return "+".join(["plain", *(part for part in recipe.split("+") if part.startswith("settings("))])


if __name__ == "__main__":
    main()
