"""How the benchmarks of speed measure: rivals run one after the other in random order, again and again, and every figure is a ratio.

The primary clock is this process's CPU time with one thread: what else the machine does then hardly counts. Wall time is given beside it.
"""

from __future__ import annotations

import argparse
import platform
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from itertools import pairwise
from pathlib import Path
from random import Random
from time import perf_counter, process_time

import torch

from everlearn import Method, Row
from everlearn.models.weights import TrainedModel
from everlearn.results import write_json

Moment = tuple[float, float]  # (CPU, wall) in seconds
Clock = list[Moment]  # one before the first step and one after each, as a run notes them
Run = Callable[[Clock], None]


@dataclass(frozen=True, slots=True)
class Figure:
    """One ratio: the median over rounds, the 5th and 95th percentile of the median of 2,000 bootstrap samples, and the median in wall time."""

    ratio: str
    cpu: float
    low: float
    high: float
    wall: float
    pairs: int
    most: float | None = None

    @property
    def line(self) -> str:
        verdict = "" if self.most is None else f"   {'within' if self.cpu <= self.most else 'ABOVE'} {self.most:g}"
        return f"{self.ratio:34} CPU {self.cpu:.3f} (90 %: {self.low:.3f} to {self.high:.3f})   wall {self.wall:.3f}{verdict}"

    def to_json(self) -> dict[str, object]:
        return {name: getattr(self, name) for name in self.__slots__}


class Began(Method):
    """Notes when the loop begins; a method, and plain training."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock

    def begin(self, model: TrainedModel, rows: Sequence[Row]) -> None:
        self.clock.append(now())


def now() -> Moment:
    """(CPU, wall) in seconds."""
    return process_time(), perf_counter()


def parser(about: str | None, pairs: int, out: str) -> argparse.ArgumentParser:
    """The options that every benchmark of speed has."""
    made = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--pairs", type=int, default=pairs, help="rounds, each of every rival once")
    made.add_argument("--threads", type=int, default=1, help="with more, their waiting counts as CPU time")
    made.add_argument("--out", type=Path, default=Path(out))
    return made


def interleaved(rivals: Mapping[str, Run], pairs: int, random: Random) -> dict[str, list[list[Moment]]]:
    """By rival, for each round the (CPU, wall) seconds of each of its spans; before the rounds each has run once to warm up."""
    times: dict[str, list[list[Moment]]] = {name: [] for name in rivals}
    for name in rivals:
        spans(rivals[name])
    for _ in range(pairs):
        for name in random.sample(list(rivals), len(rivals)):
            times[name].append(spans(rivals[name]))
    return times


def spans(run: Run) -> list[Moment]:
    """(CPU, wall) seconds between the moments that the run notes."""
    clock: Clock = []
    run(clock)
    return [(after[0] - before[0], after[1] - before[1]) for before, after in pairwise(clock)]


def figure(name: str, ones: Sequence[list[Moment]], others: Sequence[list[Moment]], most: float | None = None, by_step: bool = False) -> Figure:
    """How much longer `ones` take than `others`, from equal rounds.

    by_step: a round's ratio is the median over its steps, where both do the same rows in each step, so that what disturbs a few does not
    decide; else the ratio of the sums.
    """
    cpu, wall = ([_ratio(one, other, clock, by_step) for one, other in zip(ones, others, strict=True)] for clock in (0, 1))
    random = Random(name)
    medians = sorted(statistics.median(random.choices(cpu, k=len(cpu))) for _ in range(2000))
    return Figure(name, statistics.median(cpu), medians[100], medians[1899], statistics.median(wall), len(cpu), most)


def _ratio(one: Sequence[Moment], other: Sequence[Moment], clock: int, by_step: bool) -> float:
    if by_step:
        return statistics.median(a[clock] / b[clock] for a, b in zip(one, other, strict=True))
    return sum(a[clock] for a in one) / sum(b[clock] for b in other)


def told(figures: Sequence[Figure], out: Path, **more: object) -> None:
    """Print every figure and write them, with the machine and the versions."""
    for each in figures:
        print(each.line, flush=True)
    write_json(out, {"machine": machine(), **more, "figures": [each.to_json() for each in figures]})


def machine() -> dict[str, object]:
    """Processor, threads and versions."""
    found: dict[str, object] = {"processor": platform.machine(), "threads": torch.get_num_threads(), "python": platform.python_version()}
    for package in ("torch", "transformers", "peft", "trl", "accelerate"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
