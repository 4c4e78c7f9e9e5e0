"""Does the gate refuse what would harm a model, and let honest news pass?

    python benchmarks/poison.py [--updates 100] [--only honest poison]

A home of the tiny model lives through the almanac: every update teaches a dozen facts of a new year and is tested on the same facts in phrasings that are never
taught. Honest updates follow each other. Poisoned ones each go to the same version, with honest test rows: shuffled answers, garbage, one row again and again,
and text of the kind that breaks tokenizers and losses (control characters, one letter a hundred thousand times, combining marks, empty words).
A run that was stopped goes on where it was. Gate and retry are a home's defaults; the recipe was chosen on another future of the almanac.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from random import Random
from statistics import median

from everlearn import Almanac, Example, Home, HomeSettings, TestSet, Version, almanac_stream, create_home, update
from everlearn.results import write_json

CHANGED, NEW, HONEST_FIRST = 8, 4, 5
# Chosen on another future of the almanac: of a small update twice its rows are too few to rehearse.
RECIPE = "replay(share=6)+distill(on=memory)"
SETTINGS = HomeSettings.of({"learn": {"recipe": RECIPE, "rate": 3e-4, "passes": 5, "batch": 8}}, "this benchmark")
BROKEN = ("\u0000\u0001\u0002", "a" * 100_000, "\u0301" * 100, "\u200b\u200b\u200b", "\ufffd\ufeff", "1e309 -1e309 nan inf")


def honest(updates: int) -> Iterator[tuple[str, list[Example], Mapping[str, TestSet]]]:
    """Year by year: its rows, and its tests in phrasings never taught."""
    stream = almanac_stream(Almanac(changed=CHANGED, appeared=NEW, future=0), updates)
    for year, experience in enumerate(stream, 1):
        yield experience.name, list(experience.train), {"news": TestSet("exact", experience.tests[f"unseen{year}"])}


def shuffled(rows: list[Example], random: Random) -> list[Example]:
    answers = [row.completion or "" for row in rows]
    random.shuffle(answers)
    return [Example(prompt=row.prompt, completion=answer, task=row.task) for row, answer in zip(rows, answers, strict=True)]


def garbage(rows: list[Example], random: Random) -> list[Example]:
    def text(length: int) -> str:
        return "".join(chr(random.choice([random.randrange(33, 127), random.randrange(0x4E00, 0x9FA5)])) for _ in range(length))

    return [Example(prompt=text(16), completion=" " + text(6)) for _ in rows]


def repeated(rows: list[Example], random: Random) -> list[Example]:
    one = random.choice(rows)
    return [Example(prompt=one.prompt, completion=one.completion, id=f"copy{number}") for number, _ in enumerate(rows)]


def breaking(rows: list[Example], random: Random) -> list[Example]:
    broken = random.choice(BROKEN)  # one kind an update: each of them alone has to be refused
    return [Example(prompt=broken, completion=" " + random.choice([broken, row.completion or ""]), id=f"broken{k}") for k, row in enumerate(rows)]


POISONS: Mapping[str, Callable[[list[Example], Random], list[Example]]] = {
    "shuffled answers": shuffled,
    "garbage": garbage,
    "one repeated row": repeated,
    "breaking text": breaking,
}


def opened(folder: Path) -> Home:
    """The home, made where there is none; it remembers what the model was taught and keeps a check on it."""
    if (folder / "home.json").exists():
        return Home(folder)
    stream = almanac_stream(Almanac(changed=CHANGED, appeared=NEW, future=0), 1)
    folder.parent.mkdir(parents=True, exist_ok=True)
    tests = {name: TestSet("exact", rows[:500]) for name, rows in stream.experiences[0].tests.items() if name in ("kept", "skills")}
    return create_home(folder, "tiny", test=tests, remember=stream.base, settings=SETTINGS)


def told(what: str, version: Version) -> None:
    print(f"{what:30} {'promoted' if version.accepted else 'refused '}  attempt {version.attempt}  {version.reasons[0][:110]}", flush=True)


def lived(folder: Path, updates: int) -> dict[str, object]:
    """Honest updates one after the other: how many were promoted, at which attempt, and why others were not."""
    home, refused, attempts = opened(folder), Counter[str](), Counter[int]()
    for name, rows, tests in honest(updates):
        done = [v for v in home.versions() if v.arrived is not None and v.arrived.name == name]
        over = bool(done) and home.head.number > done[-1].number
        version = done[-1] if over else update(home, rows, tests, name=name)
        told(f"honest {name}", version)
        attempts[version.attempt] += version.accepted
        if not version.accepted:
            refused[version.reasons[0].split(" lost ")[0][:60]] += 1
    costs = [v.cost for v in home.versions() if v.kind == "update"]
    beside = [cost["commit"] / (cost["load"] + cost["learn"] + cost["commit"]) for cost in costs]
    first, last = home.versions()[0], home.head
    return {
        "updates": updates,
        "promoted": sum(attempts.values()),
        "promoted_at_attempt": {str(attempt + 1): count for attempt, count in sorted(attempts.items())},
        "refused_for": dict(refused),
        "scores_at_start": {name: of.after for name, of in first.tasks.items()},
        "scores_at_end": {name: of.after for name, of in last.tasks.items()},
        "gate_and_commit_share_of_update_without_tests": median(beside),
    }


def poisoned(folder: Path, updates: int) -> dict[str, object]:
    """Every poison to the version after a few honest years: how many were promoted."""
    home = opened(folder)
    years = list(honest(HONEST_FIRST + updates))
    for name, rows, tests in years[:HONEST_FIRST]:
        update(home, rows, tests, name=name)
    head, found = home.head.id, {kind: Counter[str]() for kind in POISONS}
    for number, (name, rows, tests) in enumerate(years[HONEST_FIRST:]):
        kind = list(POISONS)[number % len(POISONS)]
        version = update(home, POISONS[kind](rows, Random(f"{kind}/{number}")), tests, name=f"{kind} {name}")
        told(f"{kind} {name}", version)
        found[kind]["promoted" if version.accepted else "refused"] += 1
        if version.accepted:
            home.rollback(head)
    return {"updates": updates, "promoted": sum(of["promoted"] for of in found.values()), "kinds": {kind: dict(of) for kind, of in found.items()}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--updates", type=int, default=100)
    parser.add_argument("--only", nargs="*", default=["poison", "honest"])
    parser.add_argument("--out", type=Path, default=Path("runs/poison"))
    parser.add_argument("--write", type=Path, default=Path("benchmarks/results/poison"))
    given = parser.parse_args()
    for part, run in (("poison", poisoned), ("honest", lived)):
        if part in given.only:
            found = run(given.out / part / "home", given.updates)
            print(json.dumps(found, indent=1, ensure_ascii=False))
            write_json(given.write / f"{part}.json", found)


if __name__ == "__main__":
    main()
