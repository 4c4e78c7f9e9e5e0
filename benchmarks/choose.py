"""The setting of each method that benchmarks/methods.py reports, chosen on other rows than are reported; the same command again goes on.

    python benchmarks/choose.py almanac
    python benchmarks/choose.py support --streams streams --model models/news2016

Each method is tried with its defaults and with a few values of what decides how much it learns. `almanac`: on future 1, where future 0 is reported; best is the
highest harmonic mean of what is kept and of what is learned (changed and new, half each), so that neither is given for the other. `support`: on the
validation rows of the first three experiences, by average accuracy; what is best there goes for `facts` too. One seed. What was chosen is written to
benchmarks/results/methods/chosen.json, from where benchmarks/methods.py reads it.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from statistics import harmonic_mean

from methods import CHOSEN, World, worlds

from everlearn import Almanac, Stream, almanac_stream, compare
from everlearn.errors import Diverged
from everlearn.results import Run, write_json


def at_rates(recipe: str, *rates: str) -> tuple[str, ...]:
    return tuple(f"{recipe}+settings(rate={rate})" for rate in rates)


# A method's name, and its texts. Those that are not here have the one setting that benchmarks/methods.py names, chosen earlier (l2_sp, distill and replay's
# share on `support`'s validation rows, benchmarks/support.py), or their defaults.
CANDIDATES: dict[str, tuple[str, ...]] = {
    "ewc": ("ewc", "ewc(strength=0.1)", "ewc(strength=0.3)"),
    "si": ("si", "si(strength=0.3)", "si(strength=3)"),
    "mas": ("mas", "mas(strength=0.1)", "mas(strength=0.01)"),
    "packnet": ("packnet", *at_rates("packnet", "1e-3", "2e-3")),
    "fisher_mask": ("fisher_mask", *at_rates("fisher_mask", "1e-3", "2e-3")),
    "migu": ("migu", "migu(share=0.6)", *at_rates("migu", "1e-3")),
    "mofo": ("mofo", "mofo(share=0.3)", *at_rates("mofo", "1e-3")),
    "magnitude_mask": ("magnitude_mask", *at_rates("magnitude_mask", "1e-3", "3e-3")),
    "reptile": ("reptile", "reptile(fraction=0.6)", *at_rates("reptile", "1e-3")),
    "average": ("average", "average(decay=0.9)", "average(decay=0.8)"),
    "rewarm": ("rewarm", *at_rates("rewarm", "6e-4", "1e-3")),
    "autoregressive": ("autoregressive", *at_rates("autoregressive", "1e-3", "2e-3")),
    "finch": ("finch", *at_rates("finch", "6e-4", "1e-3")),
    "subspace": ("subspace", "subspace(share=0.25)", *at_rates("subspace", "1e-3", "2e-3")),
    "o_lora": at_rates("o_lora(rank=16)", "4e-3", "2e-3", "1e-3"),
    "inf_lora": at_rates("inf_lora(rank=16)", "4e-3", "2e-3", "1e-3"),
    "slao": at_rates("slao(rank=16)", "4e-3", "2e-3", "1e-3"),
    "expand": at_rates("expand", "4e-3", "1e-3", "5e-4"),
    "routed_adapters": at_rates("routed_adapters", "4e-3", "2e-3", "1e-3"),
    "recover": ("recover", "recover(rate=1e-4)", "recover(rate=3e-5)"),
    "sparse_memory": at_rates("sparse_memory", "2e-4", "1e-3"),
}


def score(world: str, run: Run) -> float:
    """0 to 1."""
    if world == "support":
        return run.metrics["average_accuracy"] or 0.0
    kept, changed, new = (run.metrics[name] or 0.0 for name in ("kept", "changed", "new"))
    return harmonic_mean([kept, (changed + new) / 2])


def tried(name: str, world: World, stream: Stream, recipe: str, out: Path) -> float | None:
    """The score of a recipe; None where its model breaks."""
    try:
        found = compare(stream, world.model, recipe, 1, out / name, world.settings, anchor=None, probes=False, valid=name == "support")
    except Diverged:
        return None
    return score(name, found.runs[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("world", choices=("almanac", "support"))
    parser.add_argument("--streams", type=Path, default=Path("streams"))
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--out", type=Path, default=Path("runs/choose"))
    parser.add_argument("--write", type=Path, default=CHOSEN)
    given = parser.parse_args()
    world = worlds(given.streams, given.model)[given.world]
    stream = almanac_stream(Almanac(future=1), 6) if given.world == "almanac" else world.stream()
    for name, recipes in CANDIDATES.items():
        if given.only and name not in given.only:
            continue
        found = {recipe: value for recipe in recipes if (value := tried(given.world, world, stream, recipe, given.out)) is not None}
        if not found:
            continue  # each broke the model: its default stays
        best = max(found, key=lambda recipe: found[recipe])
        print(f"{given.world:8} {best:45} " + "  ".join(f"{recipe} {100 * value:.1f}" for recipe, value in found.items()), flush=True)
        whole = json.loads(given.write.read_text(encoding="utf-8")) if given.write.exists() else {}
        whole.setdefault(given.world, {})[name] = {"chosen": best, "tried": found}
        write_json(given.write, whole)


if __name__ == "__main__":
    main()
