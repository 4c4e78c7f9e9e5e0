"""Adapters behind a router: does each prompt reach its domain, what does a wrong turn cost, and what is forgotten? Nothing of the past is stored.

    python make_streams.py streams support --scale 0.5
    python benchmarks/routing.py streams/support --model models/news2016 --choose     settings, on validation rows of the first three domains
    python benchmarks/routing.py streams/support --model models/news2016              the figures, on the test rows of all

A run that was stopped goes on after the last experience it had learned. The loop's settings but the rate are those of the other methods on this
stream (benchmarks/support.py).
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from time import perf_counter
from typing import Any

from everlearn import Example, Settings, Stream, compare, load_model, load_stream
from everlearn.config import parse_methods
from everlearn.evaluate.cost import state_bytes
from everlearn.evaluate.matrix import Matrix
from everlearn.evaluate.tasks import Task, answers, tasks_of
from everlearn.learn.routed_adapters import RoutedAdapters
from everlearn.models.language import LanguageModel
from everlearn.models.routed import RoutedModel
from everlearn.models.state import load_state, save_state
from everlearn.results import write_json

SETTINGS = Settings(rate=4e-3, passes=5, batch=16)  # the rate by --choose, the rest as in benchmarks/support.py
TRIED = tuple(f"routed_adapters+settings(rate={rate})" for rate in ("1e-3", "2e-3", "4e-3", "8e-3"))


@dataclass
class Measured:
    """Rows of the matrix so far, the seconds of each experience's learning, and at the end what the router did."""

    rows: list[list[float]] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    domains: list[str] = field(default_factory=list)
    routed: dict[str, float] = field(default_factory=dict)
    with_router: dict[str, float] = field(default_factory=dict)
    with_true: dict[str, float] = field(default_factory=dict)
    routed_by_arrow: dict[str, float] = field(default_factory=dict)
    to_base: float = 0.0
    route_seconds: float = 0.0
    state_bytes: int = 0


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def right(model: LanguageModel, task: Task) -> float:
    return mean([answer.value for answer in answers(model, task)])


def measure(stream: Stream, model_name: str, method: str, out: Path, seed: int) -> Measured:
    """Learn all experiences, testing after each; then each task once more through the adapter its own experience was learned in."""
    model = load_model(model_name)
    learner = parse_methods(method)[0].learner(SETTINGS, seed)
    if not isinstance(learner, RoutedAdapters):
        raise SystemExit(f"the method has no router (method={method!r}). Join routed_adapters.")
    served, tasks, found = learner.prepare(model), tasks_of(stream.experiences), Measured()
    if (out / "state.json").exists():
        saved: dict[str, Any] = load_state(out)
        model.load(saved["weights"])
        learner.load(saved["learner"])
        found = Measured(**saved["measured"])
    elif stream.base:
        learner.remember(model, stream.base)
    if not found.rows:
        found.rows.append([right(served, task) for task in tasks])
    for experience in stream.experiences[len(found.seconds) :]:
        begun = perf_counter()
        learner.learn(model, replace(experience, train=tuple(replace(e, task=None) for e in experience.train)))
        found.seconds.append(perf_counter() - begun)
        found.rows.append([right(served, task) for task in tasks])
        found.domains, found.state_bytes = learner.learned, state_bytes(learner.state())
        save_state({"learner": learner.state(), "weights": dict(model.state()), "measured": asdict(found)}, out)
        print(f"{experience.name:24} {learner.learned[-1]:10} {found.seconds[-1]:5.0f} s  " + " ".join(f"{100 * v:5.1f}" for v in found.rows[-1]), flush=True)
    learner.write(out / "adapters")
    _at_the_end(learner, served, stream, tasks, found)
    return found


def _at_the_end(learner: RoutedAdapters, served: RoutedModel, stream: Stream, tasks: list[Task], found: Measured) -> None:
    own = {task: domain for experience, domain in zip(stream, learner.learned, strict=True) for task in experience.tests}
    prompts: list[Example] = [e for task in tasks for e in task.examples]
    begun = perf_counter()
    to = iter(learner.domain_of(prompts))
    found.route_seconds = (perf_counter() - begun) / len(prompts)
    learner.kind = "arrow"
    excited = iter([name for at in range(0, len(prompts), 64) for name in learner.domain_of(prompts[at : at + 64])])
    learner.kind = "prototype"
    for task in tasks:
        went = [next(to) for _ in task.examples]
        found.routed_by_arrow[task.name] = [next(excited) for _ in task.examples].count(own[task.name]) / len(went)
        found.to_base += went.count("__base__") / len(prompts)
        found.routed[task.name] = went.count(own[task.name]) / len(went)
        found.with_router[task.name] = right(served, task)
        found.with_true[task.name] = right(RoutedModel(learner.model, lambda asked, name=own[task.name]: [name] * len(asked)), task)  # type: ignore[misc]


def told(found: Measured, stream: Stream) -> dict[str, object]:
    """The figures as JSON, with the metrics of the matrix and the means over prompts."""
    tasks = tasks_of(stream.experiences)
    names, kinds = tuple(task.name for task in tasks), tuple(task.score for task in tasks)
    rows, learned = tuple(map(tuple, found.rows)), tuple(task.learned for task in tasks)
    metrics = Matrix(names, tuple(e.name for e in stream), rows, learned, kinds).metrics()
    count = sum(len(task.examples) for task in tasks)
    parts = {"routed": found.routed, "routed_by_arrow": found.routed_by_arrow, "with_router": found.with_router, "with_true": found.with_true}
    over = {f"{name}_of_all": sum(part[task.name] * len(task.examples) for task in tasks) / count for name, part in parts.items()}
    return {"experiences": len(stream), **asdict(found), **over, **metrics}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stream", type=Path)
    parser.add_argument("--model", required=True)
    parser.add_argument("--choose", action="store_true", help="try settings on the validation rows instead")
    parser.add_argument("--method", default="routed_adapters")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs/routing"))
    parser.add_argument("--write", type=Path, help="also write the figures as JSON here")
    given = parser.parse_args()
    stream = load_stream(given.stream)
    if given.choose:
        short = replace(stream, experiences=stream.experiences[:3])
        runs = compare(short, given.model, ",".join(TRIED), out=given.out / "valid", settings=SETTINGS, valid=True, anchor=None, probes=False).runs
        print(json.dumps({run.method: run.metrics["average_accuracy"] for run in runs}, indent=1))
        return
    found = told(measure(stream, given.model, given.method, given.out / f"{given.method}-{given.seed}", given.seed), stream)
    print(json.dumps(found, indent=1))
    if given.write:
        write_json(given.write, found)


if __name__ == "__main__":
    main()
