"""How much more than their distinct tensors do the versions of an adapter model take, and what do gate and commit add to an update?

    python benchmarks/home_size.py [--versions 100] [--recipe keep_current]

A home of the tiny model with adapters of rank 16 learns one year of the almanac after the other, with the default recipe's memory of what the base knew.
Counted is all of the home but the copied base: records, learners' states with the rows they remember, kept data, tests and answers.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from safetensors import safe_open

from everlearn import Almanac, HomeSettings, TestSet, almanac_stream, create_home, update
from everlearn.results import write_json


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def distinct(folder: Path) -> int:
    """Bytes of all tensors in the packs; each is there once."""
    found: dict[str, int] = {}
    for path in folder.glob("*.safetensors"):
        with safe_open(path, "pt") as file:
            found |= {key: file.get_tensor(key).nbytes for key in file.keys()}  # noqa: SIM118
    return sum(found.values())


def measured(folder: Path, versions: int, recipe: str) -> dict[str, object]:
    stream = almanac_stream(Almanac(changed=8, appeared=4, future=0), versions)
    settings = HomeSettings.of(
        {"model": {"lora": 16}, "learn": {"recipe": recipe, "rate": 4e-3, "passes": 1, "batch": 32}, "retry": {"attempts": 0}}, "this benchmark"
    )
    tests = {name: TestSet("exact", rows) for name, rows in stream.experiences[0].tests.items() if name == "kept"}
    home = create_home(folder / "home", "tiny", test=tests, remember=stream.base, settings=settings)
    for year, experience in enumerate(stream, 1):
        version = update(home, list(experience.train), {"news": TestSet("exact", experience.tests[f"unseen{year}"])}, name=experience.name)
        if not version.accepted:
            home.promote(version.number)
    whole, tensors = size(home.folder) - size(home.bases), distinct(home.folder / "objects")
    parts = {name: size(home.folder / name) for name in ("versions", "objects")}
    costs = [v.cost for v in home.versions()[1:]]
    return {
        "versions": versions,
        "recipe": recipe,
        "bytes": whole,
        "tensor_bytes": tensors,
        "times_tensors": whole / tensors,
        "record_bytes": parts["versions"],
        "json_object_bytes": sum(path.stat().st_size for path in (home.folder / "objects").glob("*.gz")),
        "log_bytes": (home.folder / "log.jsonl").stat().st_size,
        "commit_over_rest_without_tests": median(cost["commit"] / (cost["load"] + cost["learn"]) for cost in costs),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--versions", type=int, default=100)
    parser.add_argument("--recipe", default="keep_current")
    parser.add_argument("--write", type=Path)
    given = parser.parse_args()
    with TemporaryDirectory() as place:
        found = measured(Path(place), given.versions, given.recipe)
    print(json.dumps(found, indent=1))
    if given.write:
        write_json(given.write, found)


if __name__ == "__main__":
    main()
