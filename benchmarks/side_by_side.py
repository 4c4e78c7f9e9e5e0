"""What benchmarks/streams.py and benchmarks/methods.py have left, many runs at once on one machine, within a budget of time.

    python benchmarks/side_by_side.py streams --model models/news2016 --cuda 10 --cpu 5 --minutes 8 --out runs/side_by_side
    python benchmarks/side_by_side.py streams --model models/news2016 --gather runs/side_by_side

The first learns: processes on the accelerator take the longest of what is left, those on the CPU the shortest, a job in a folder of its own, from the runs
that are committed. The second puts what was finished beside the committed runs, and the two commands above make their tables of it. Scores are those of any
other run; seconds are of a machine that so many share, and each run says on which device it was (`hardware`).
"""

from __future__ import annotations

import argparse
import shutil
import time
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from threading import Condition, Thread
from time import monotonic

import methods
import streams
import torch

from everlearn import Stream, compare
from everlearn.results import Run

RESULTS = Path("benchmarks/results")
WORLDS = ("support", "facts")  # of methods.py; the almanac's model is too small for an accelerator to be of use


@dataclass(frozen=True)
class Job:
    """One method with its seeds: of the plan of the nine streams or, kind "methods", of every method."""

    kind: str
    name: str
    method: str
    seeds: int

    @property
    def folder(self) -> Path:
        return Path(self.kind) / self.name / streams.slug(self.method)


@cache
def worlds(given: Path, model: str) -> dict[str, tuple[methods.World, Stream]]:
    found = methods.worlds(given, model)
    return {name: (found[name], found[name].stream()) for name in WORLDS}


@cache
def shortened(given: Path, name: str) -> Stream:
    return streams.shortened(given / name)


def learn(job: Job, given: Path, model: str, out: Path, device: str, end: float) -> list[Run]:
    """In a process of its own. The clock of `end` is that of all processes of a machine."""
    out = out / job.folder

    def watched(text: str, share: float) -> None:
        if time.time() > end:
            raise methods.BudgetSpent

    if job.kind == "streams":
        stream, settings, anchor = shortened(given, job.name), streams.settings(job.name), "everlearn"
    else:
        world, stream = worlds(given, model)[job.name]
        settings, anchor = world.settings, None
    found = compare(stream, model, job.method, job.seeds, out, settings, device=device, anchor=anchor, probes=False, progress=watched, save_every=1e9)
    return found.runs


def lacking(results: Path) -> list[Job]:
    """What is not on disk, the longest first: the streams' runs, then one seed of every method."""
    jobs, most = [], ("translation", "facts", "news", "recommendation", "instructions", "classification", "banking", "support", "policy")
    for name in most:
        for method in streams.methods_of(name):
            seeds = streams.SEEDS if method in streams.SEVERAL else 1
            if has(results, "streams", name, method) < seeds:
                jobs.append(Job("streams", name, method, seeds))
    jobs += [Job("methods", name, method, 1) for name in ("facts", "support") for method in methods.recipes(name) if not has(results, "methods", name, method)]
    return jobs


def has(results: Path, kind: str, name: str, method: str) -> int:
    return len(list((results / kind / name / "runs").glob(f"{streams.slug(method)}-seed*.json")))


def begin(results: Path, out: Path, job: Job) -> None:
    """Put the finished runs of a job where it looks for them."""
    (out / job.folder / "runs").mkdir(parents=True, exist_ok=True)
    for path in (results / job.kind / job.name / "runs").glob(f"{streams.slug(job.method)}-seed*"):
        shutil.copy2(path, out / job.folder / "runs" / path.name)


@dataclass
class Queue:
    """The jobs, taken from both ends; when every method of a world has a seed, the best get more."""

    left: list[Job]
    found: dict[str, dict[str, list[Run]]]
    busy: list[Job] = field(default_factory=list)
    changed: Condition = field(default_factory=Condition)

    def take(self, front: bool) -> Job | None:
        with self.changed:
            while not self.left and self.busy:
                self.changed.wait(1.0)
            if not self.left:
                return None
            job = self.left.pop(0 if front else -1)
            self.busy.append(job)
            return job

    def done(self, job: Job, runs: list[Run]) -> None:
        with self.changed:
            self.busy.remove(job)
            if job.kind == "methods":
                if runs:
                    self.found[job.name][job.method] = runs
                if job.seeds == 1:
                    self.more_seeds(job.name)
            self.changed.notify_all()

    def more_seeds(self, world: str) -> None:
        """When a world has nothing open: the seeds that its best methods lack."""
        if any(job.kind == "methods" and job.name == world for job in (*self.left, *self.busy)):
            return
        best = [method for method in methods.best(self.found[world]) if len(self.found[world].get(method, [])) < methods.SEEDS]
        self.left += [Job("methods", world, method, methods.SEEDS) for method in best if method in self.found[world]]


def work(queue: Queue, run: Callable[[Job], list[Run]], front: bool, where: str, end: float) -> None:
    while time.time() < end and (job := queue.take(front)) is not None:
        begun, runs, said = monotonic(), list[Run](), ""
        try:
            runs = run(job)
        except BrokenExecutor:
            said = "  its process ended, and this place with it"
            return
        except methods.BudgetSpent:
            said = "  the budget is spent"
        except Exception as problem:  # told, and the others go on
            said = f"  {type(problem).__name__}: {problem}"
        finally:
            queue.done(job, runs)
            print(f"{job.kind:8} {job.name:15} {job.method:42} {job.seeds} seeds {monotonic() - begun:5.0f} s on {where}{said}", flush=True)


def gather(out: Path, results: Path) -> int:
    """Finished runs and their answers beside those committed; how many are new."""
    new = 0
    for path in sorted(out.glob("*/*/*/runs/*")):
        place = results / path.relative_to(out).parts[0] / path.relative_to(out).parts[1] / "runs" / path.name
        place.parent.mkdir(parents=True, exist_ok=True)
        if not place.exists():
            shutil.copy2(path, place)
            new += path.suffix == ".json"
    return new


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("streams", type=Path, help="the folder that holds the nine")
    parser.add_argument("--model", required=True)
    parser.add_argument("--cuda", type=int, default=0, help="processes on the accelerator")
    parser.add_argument("--cpu", type=int, default=0, help="processes on the CPU, a thread each")
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--out", type=Path, default=Path("runs/side_by_side"))
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--gather", type=Path, help="put what this folder holds beside the committed runs, and end")
    given = parser.parse_args()
    if given.gather:
        print(f"{gather(given.gather, given.results)} new runs")
        return
    end, jobs = time.time() + 60 * given.minutes, lacking(given.results)
    found = {name: methods.measured(name, given.results / "methods" / name) for name in WORLDS}
    print(f"{len(jobs)} jobs", flush=True)
    queue, places = Queue(jobs, found), ["cuda"] * given.cuda + ["cpu"] * given.cpu
    for name in WORLDS:
        queue.more_seeds(name)
    pools = [ProcessPoolExecutor(1, mp_context=get_context("forkserver"), initializer=torch.set_num_threads, initargs=(1,)) for _ in places]

    def run(pool: ProcessPoolExecutor, place: str) -> Callable[[Job], list[Run]]:
        def one(job: Job) -> list[Run]:
            begin(given.results, given.out, job)
            return pool.submit(learn, job, given.streams, given.model, given.out, place, end).result()

        return one

    threads = [Thread(target=work, args=(queue, run(pool, place), place == "cuda", place, end)) for pool, place in zip(pools, places, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(f"{len(queue.left)} jobs left", flush=True)


if __name__ == "__main__":
    main()
