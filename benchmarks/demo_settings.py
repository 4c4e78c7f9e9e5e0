"""Which learning rate is the fairest plain baseline, and does the default recipe hold at it?

Everything is chosen on another future of the almanac than the one the demo shows. Plain: of the rates, the one that keeps most while it
learns at least 97 % of what changed and of what is new.

    python benchmarks/demo_settings.py [--methods plain,keep_current] [--rates 1e-4,3e-4,1e-3] [--future 1] [--passes 5] [--batch 32]
"""

from __future__ import annotations

import argparse
from pathlib import Path

from everlearn import Almanac, Settings, almanac_stream, compare
from everlearn.results import write_json

SHOWN = ("kept", "kept_never_rehearsed", "changed", "new", "changed_at_end", "new_at_end", "seen_phrasing", "unseen_phrasing", "stale", "skills")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", default="plain,keep_current")
    parser.add_argument("--rates", default="1e-4,3e-4,1e-3")
    parser.add_argument("--future", type=int, default=1)
    parser.add_argument("--periods", type=int, default=6)
    parser.add_argument("--passes", type=int, default=5)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--schedule", default="constant")
    parser.add_argument("--out", type=Path, default=Path("runs/demo_settings"))
    given = parser.parse_args()
    stream = almanac_stream(Almanac(future=given.future), given.periods)
    print(f"{'method':42} {'rate':>6} " + " ".join(f"{name[:9]:>9}" for name in (*SHOWN, "learn s", "eval s")), flush=True)
    found = []
    for rate in map(float, given.rates.split(",")):
        settings = Settings(rate=rate, passes=given.passes, batch=given.batch, schedule=given.schedule)
        for run in compare(
            stream, "tiny", given.methods, out=given.out / f"rate{rate:g}-{given.passes}-{given.batch}-{given.schedule}", settings=settings
        ).runs:
            cells = [f"{100 * value:9.1f}" if (value := run.metrics[name]) is not None else f"{'–':>9}" for name in SHOWN]
            seconds = [f"{run.cost[name]:9.1f}" for name in ("learn_seconds", "evaluate_seconds")]
            print(f"{run.method[:42]:42} {rate:6g} " + " ".join([*cells, *seconds]), flush=True)
            found.append({"method": run.method, "rate": rate, **run.metrics})
    fair = [row for row in found if row["method"] == "plain" and min(row["changed"] or 0, row["new"] or 0) >= 0.97]
    if fair:
        print(f"fairest plain: rate {max(fair, key=lambda row: row['kept'] or 0)['rate']:g}")
    write_json(given.out / f"table-future{given.future}.json", {"future": given.future, "runs": found})


if __name__ == "__main__":
    main()
