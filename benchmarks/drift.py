"""Does drift detection find where a stream changes, and stay quiet where it does not?

    python make_streams.py streams
    python benchmarks/drift.py streams --model models/news2016 --choose     settings, on other streams
    python benchmarks/drift.py streams --model models/news2016              the figures; about ten minutes of one core

Built streams, of which every change point is known: the experiences of one stream, or of four, one after the other in seeded orders, rows of each in seeded
order; and the almanac's periods. Stationary: rows drawn again and again from one experience. A change counts as found where an event comes within one
window (of the embedding test, in rows) after it; an event is a false alarm where none of the changes is up to two windows before it. Blends:
neighbours mixed linearly over as many rows as the smaller has; found where an event comes before a window after the blend's end.
The vectors of a row are computed once; the almanac's by the tiny model that knows it.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from random import Random
from statistics import fmean, median
from time import process_time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from everlearn import Almanac, Example, Experience, Gradient, Settings, almanac_stream, load_model, load_stream
from everlearn.models.signals import RowLosses, RowVectors
from everlearn.results import write_json
from everlearn.streams.drift import ADWIN, KSWIN, Change, Detector, Embedding, PageHinkley
from everlearn.streams.orders import Blurred, Order, Sequential
from everlearn.streams.unlabelled import cuts

REPORTED, CHOSEN_ON = ("support", "banking", "translation", "instructions"), ("classification", "policy", "news")
MOST = 400  # rows of one experience in a built stream
WINDOW = Embedding().window
DETECTORS: dict[str, Callable[[], Detector]] = {"embedding": Embedding, "adwin": ADWIN, "page_hinkley": PageHinkley, "kswin": KSWIN}
TRIED: dict[str, Callable[[], Detector]] = {
    **{
        f"embedding(window={w},past={3 * w},shrink={s})": (lambda w=w, s=s: Embedding(window=w, past=3 * w, shrink=s)) for w in (32, 48, 64) for s in (0.1, 0.3)
    },
    **{f"adwin(delta={d})": (lambda d=d: ADWIN(delta=d)) for d in (1e-2, 1e-4)},
    **{f"page_hinkley(threshold={t})": (lambda t=t: PageHinkley(threshold=t)) for t in (10.0, 20.0, 40.0)},
    **{f"kswin(alpha={a})": (lambda a=a: KSWIN(alpha=a)) for a in (1e-4, 1e-6)},
}
Vectors = NDArray[np.float32]


@dataclass
class Domain:
    """At most MOST rows of an experience as signals: vectors (n, d), and losses once they are asked for."""

    name: str
    rows: Sequence[Example]
    vectors: Vectors
    model: Any
    losses: list[float | None] = field(default_factory=list)

    def signal(self, at: int, place: int, kind: str) -> Any:
        if kind == "vector":
            return self.vectors[at]
        if not self.losses:
            self.losses = RowLosses(self.model, 1)(self.rows)
        return None if place % 8 else self.losses[at]


@dataclass
class Found:
    """What a detector did on streams of one kind."""

    changes: int = 0
    found: int = 0
    false: int = 0
    rows: int = 0
    delays: list[int] = field(default_factory=list)
    off: list[int] = field(default_factory=list)  # rows between where a change was and where it is said to have begun; of a blend, its middle

    def told(self) -> dict[str, Any]:
        share = self.found / self.changes if self.changes else None
        return {
            "changes": self.changes,
            "found": self.found,
            "share": share,
            "false_alarms": self.false,
            "rows": self.rows,
            "median_delay": median(self.delays) if self.delays else None,
            "mean_off": fmean(self.off) if self.off else None,
        }


def domains(experiences: Sequence[Experience], model: Any) -> list[Domain]:
    vectors, found = RowVectors(model), list[Domain]()
    for e in experiences:
        rows = Random(e.name).sample(e.train, min(MOST, len(e.train)))
        found.append(Domain(e.name, rows, np.stack(vectors(rows)), model))
    return found


def run(detector: Detector, of: Sequence[Domain], places: Sequence[tuple[int, int]]) -> list[Change]:
    """Every event."""
    found = []
    for place, (number, at) in enumerate(places):
        change = detector.update(of[number].signal(at, place, detector.signal))
        if change is not None:
            found.append(change)
    return found


def score(found: Found, events: Sequence[Change], changes: Sequence[tuple[int, int]], rows: int) -> None:
    """changes: where each begins and is over; abrupt ones are over at once."""
    found.rows += rows
    found.changes += len(changes)
    for begin, over in changes:
        within = [event for event in events if begin < event.noticed <= over + WINDOW]
        if within:
            found.found += 1
            found.delays.append(within[0].noticed - begin)
            found.off.append(abs(within[0].began - (begin + over) // 2))
    found.false += sum(not any(begin < event.noticed <= over + 2 * WINDOW for begin, over in changes) for event in events)


def built(of: Sequence[Domain], order: Order, makes: Callable[[], Detector], found: Found, blend: float = 0.0) -> None:
    """One stream of these domains in this order."""
    sizes = [len(domain.rows) for domain in of]
    places, ends = order.places(sizes), order.ends(sizes)
    halves = [int(blend * min(pair) / 2) for pair in pairwise(sizes)]
    changes = [(end - half, end + half) for end, half in zip(ends, halves, strict=False)]
    score(found, run(makes(), of, places), changes, len(places))


def kinds(data: dict[str, list[Domain]], orders: int, periods: Sequence[Domain]) -> Iterator[tuple[str, list[list[Domain]]]]:
    """By kind of stream the domains of each stream, in order."""
    for name, of in data.items():
        yield name, [Random(f"{name}/{seed}").sample(of, len(of)) for seed in range(orders)]
    every = [domain for of in data.values() for domain in of]
    yield "all together", [Random(f"all/{seed}").sample(every, len(every)) for seed in range(orders)]
    yield "almanac periods", [list(periods) for _ in range(orders)]


def abrupt(data: dict[str, list[Domain]], periods: Sequence[Domain], makes: Callable[[], Detector], orders: int) -> dict[str, Found]:
    told: dict[str, Found] = {}
    for kind, streams in kinds(data, orders, periods):
        told[kind] = Found()
        for seed, of in enumerate(streams):
            built(of, Sequential(seed=seed), makes, told[kind])
    return told


def gradual(data: dict[str, list[Domain]], periods: Sequence[Domain], makes: Callable[[], Detector], orders: int) -> dict[str, Found]:
    told: dict[str, Found] = {}
    for kind, streams in kinds(data, orders, periods):
        told[kind] = Found()
        for seed, of in enumerate(streams):
            built(of, Blurred(overlap=1.0, seed=seed), makes, told[kind], blend=1.0)
    return told


def stationary(of: Sequence[Domain], makes: Callable[[], Detector], rows: int) -> Found:
    """Rows drawn with replacement from one domain at a time, in new draws for each."""
    found, each = Found(), -(-rows // len(of))
    for number, domain in enumerate(of):
        random = Random(f"stationary/{number}/{domain.name}")
        places = [(0, random.randrange(len(domain.rows))) for _ in range(each)]
        score(found, run(makes(), [domain], places), [], each)
    return found


def total(of: dict[str, Found]) -> Found:
    whole = Found()
    for found in of.values():
        for name in ("changes", "found", "false", "rows"):
            setattr(whole, name, getattr(whole, name) + getattr(found, name))
        whole.delays += found.delays
        whole.off += found.off
    return whole


def cost(model_name: str, rows: Sequence[Example], repeats: int = 5) -> dict[str, Any]:
    """Processor seconds a row of detection and of learning it once, by turns; learning is plain, one pass, the least there is.

    A row's tokens are made once, whoever asks first, and counted as learning's.
    """
    shares, taken = list[float](), list[tuple[float, float]]()
    experience = Experience("cost", tuple(rows))
    for _ in range(repeats):
        model = load_model(model_name)
        model.encoder.rows(rows)
        begun, detector = process_time(), Embedding()
        list(cuts(rows, None, None, detector, RowVectors(model), detector.every))  # the test looks no oftener, so the rows are read as often as it does
        detecting, model = process_time() - begun, load_model(model_name)
        begun = process_time()
        Gradient([], Settings(passes=1)).learn(model, experience)
        learning = process_time() - begun
        shares.append(detecting / learning)
        taken.append((1000 * detecting / len(rows), 1000 * learning / len(rows)))
    return {"rows": len(rows), "share": median(shares), "ms_a_row": [median(a for a, _ in taken), median(b for _, b in taken)]}


def line(name: str, told: dict[str, Any]) -> str:
    share = "" if told["share"] is None else f"{told['found']:4}/{told['changes']:<4} {100 * told['share']:5.1f} %"
    off = "" if told["mean_off"] is None else f", off by {told['mean_off']:.1f}"
    return f"{name:44} {share:18} false {told['false_alarms']:3} in {told['rows']:7,} rows, delay {told['median_delay']}{off}"


def choose(data: dict[str, list[Domain]], periods: Sequence[Domain], orders: int) -> dict[str, Any]:
    told = {}
    every = [domain for of in data.values() for domain in of]
    for name, makes in TRIED.items():
        found, quiet = total(abrupt(data, periods, makes, orders)).told(), stationary(every, makes, 10_000).told()
        slow = total(gradual(data, periods, makes, orders)).told()
        told[name] = {"abrupt": found, "gradual": slow, "stationary": quiet}
        blends = f"blends {100 * slow['share']:.1f} %"
        print(line(name, found), "|", blends, "| stationary:", quiet["false_alarms"], "in", quiet["rows"], flush=True)
    return told


def measure(data: dict[str, list[Domain]], periods: Sequence[Domain], orders: int, rows: int, only: Sequence[str]) -> dict[str, Any]:
    told: dict[str, Any] = {}
    every = [*(domain for of in data.values() for domain in of), *periods[:2]]
    for name in only:
        makes = DETECTORS[name]
        sudden, slow = abrupt(data, periods, makes, orders), gradual(data, periods, makes, orders)
        quiet = stationary(every, makes, rows)
        kinds_told = {"abrupt": {"all": total(sudden).told(), **{kind: found.told() for kind, found in sudden.items()}}}
        kinds_told["gradual"] = {"all": total(slow).told(), **{kind: found.told() for kind, found in slow.items()}}
        told[name] = {**kinds_told, "stationary": quiet.told()}
        print(name, makes(), flush=True)
        for sort, of in kinds_told.items():
            for kind, found in of.items():
                print(line(f"  {sort}: {kind}", found), flush=True)
        print(line("  stationary", quiet.told()), flush=True)
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="the folder with the streams")
    parser.add_argument("--model", default="tiny", help="whose embeddings and losses are the signals of these streams")
    parser.add_argument("--choose", action="store_true", help="try settings, on other streams")
    parser.add_argument("--orders", type=int, default=5, help="seeded orders of each kind of stream")
    parser.add_argument("--rows", type=int, default=110_000, help="stationary rows")
    parser.add_argument("--only", nargs="+", choices=list(DETECTORS), default=list(DETECTORS), help="these detectors; what the file has of others stays")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/drift.json"))
    given = parser.parse_args()
    model, tiny = load_model(given.model), load_model("tiny")
    names, future = (CHOSEN_ON, 1) if given.choose else (REPORTED, 0)
    data = {name: domains(load_stream(given.data / name).experiences, model) for name in names}
    data = {name: [domain for domain in of if len(domain.rows) >= 2 * WINDOW] for name, of in data.items()}
    periods = domains(almanac_stream(Almanac(future=future), periods=13, skills=1).experiences, tiny)
    if given.choose:
        write_json(given.out.with_name(f"{given.out.stem}_chosen.json"), choose(data, periods, 1))
        return
    before = json.loads(given.out.read_text(encoding="utf-8")) if given.out.exists() else {}
    told = {**before, **measure(data, periods, given.orders, given.rows, given.only)}
    support = load_stream(given.data / "support").experiences[0].train[:240]
    told["cost"] = {"tiny, almanac": cost("tiny", [*periods[0].rows, *periods[1].rows]), f"{Path(given.model).name}, support": cost(given.model, support)}
    for name, of in told["cost"].items():
        print(f"cost, {name}: {100 * of['share']:.2f} % of learning a row once ({of['ms_a_row'][0]:.2f} of {of['ms_a_row'][1]:.2f} ms)", flush=True)
    write_json(given.out, {**told, "window": WINDOW, "model": Path(given.model).name})


if __name__ == "__main__":
    main()
