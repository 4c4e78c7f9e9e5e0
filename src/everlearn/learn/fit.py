"""The loop, in sight: one experience, one objective, any methods around it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import prod
from random import Random
from time import perf_counter

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import Tensor
from torch.optim import Optimizer

from everlearn.errors import StateError
from everlearn.learn.objectives import Objective
from everlearn.learn.plan import Plan
from everlearn.learn.settings import Settings
from everlearn.methods.base import Method, State, Step, overrides
from everlearn.models.batch import by_length
from everlearn.models.language import CausalModel
from everlearn.types import Row

STAGES = ("penalty", "projection", "mask")
# Called after every step with a function that makes the state from which `fit` goes on; may raise to stop.
Checkpoint = Callable[[Step, Callable[[], State]], None]


@dataclass(frozen=True, slots=True)
class FitLog:
    """What one experience took.

    steps: optimizer steps.   learned_tokens: targets seen, remembered ones too.   loss: the objective's mean over the last tenth of the
    steps, nats a token.   seconds: all of it.   end_seconds: of these, the methods' work after the last step.
    rehearsed: ids of the examples that came from memory.
    """

    steps: int
    learned_tokens: int
    loss: float
    seconds: float
    end_seconds: float
    rehearsed: frozenset[str]


def fit(
    model: CausalModel,
    rows: Sequence[Row],
    objective: Objective,
    methods: Sequence[Method],
    optimizer: Optimizer,
    settings: Settings,
    key: str = "0",
    resume: Mapping[str, object] | None = None,
    checkpoint: Checkpoint | None = None,
) -> FitLog:
    """Learn one experience's rows; the model and the methods change in place.

    Every loss term is a sum of values over a count: both are added up over the step's micro-batches and divided once. The number of steps
    depends on the new rows alone. key: of all random draws; the same key draws the same.   resume: a state that `checkpoint` was offered.
    """
    started, accelerator = perf_counter(), accelerator_for(settings)
    gradient = partial(objective_gradient, model, objective=objective, settings=settings)
    plan, done = _resumed(model, optimizer, resume) if resume else (_planned(model, rows, methods, settings, key), 0)
    terms: list[Objective | Method] = [objective, *(m for m in methods if overrides(m, "loss"))]
    in_order, losses, learned_tokens = sorted(methods, key=lambda m: STAGES.index(m.stage)), list[Tensor](), 0
    model.module.train()
    step = Step(done, plan.total, settings.rate, plan.new, gradient, optimizer)
    for number in range(done + 1, plan.total + 1):
        step = Step(number, plan.total, settings.rate * settings.factor(number, plan.total), plan.step(number), gradient, optimizer)
        step.rate *= prod(m.rate(step) for m in methods)
        drawn = [row for place, m in enumerate(methods) for row in m.draw(model, step, _random(key, place, m, f"draw{number}"))]
        step.rows = objective.rows(model, [*step.rows, *drawn], step, Random(f"{key}/objective/{number}"))
        batches = [model.batch(part) for part in by_length(step.rows, settings.micro_tokens)]
        counts = [[term.count(batch) for batch in batches] for term in terms]
        optimizer.zero_grad(set_to_none=True)
        losses.append(torch.zeros((), device=model.device))
        for place, batch in enumerate(batches):
            with accelerator.autocast():
                out = model.logits(batch)
            parts = [term.loss(model, batch, out).sum() / sum(of) for term, of in zip(terms, counts, strict=True) if of[place]]
            accelerator.backward(torch.stack(parts).sum())
            losses[-1] += parts[0].detach()
            for m in methods:
                m.observe(model, batch, replace(out, logits=out.logits.detach()))
        for m in in_order:
            m.gradients(model, step)
        if settings.clip:
            accelerator.clip_grad_norm_(model.trained().values(), settings.clip)
        if any(m.wants_before for m in methods):
            step.before = model.state()
        _at_rate(optimizer, step.rate).step()
        for m in methods:
            m.stepped(model, step)
        learned_tokens += int(sum(counts[0]))
        if checkpoint is not None:
            checkpoint(step, partial(_state, model, optimizer, plan, number))
    ending = perf_counter()
    for place, m in enumerate(methods):
        m.end(model, replace(step, rows=plan.new), _random(key, place, m, "end"))
    now = perf_counter()
    return FitLog(plan.total - done, learned_tokens, _last_tenth(losses), now - started, now - ending, plan.rehearsed)


def accelerator_for(settings: Settings) -> Accelerator:
    """An Accelerator of the wanted precision, also where one of another precision was made before in this process."""
    AcceleratorState._reset_state()
    return Accelerator(mixed_precision=settings.precision)


def objective_gradient(model: CausalModel, rows: Sequence[Row], objective: Objective, settings: Settings) -> dict[str, Tensor]:
    """The objective's mean gradient over some rows, by name; `.grad` and the random state stay as they are."""
    trained = model.trained()
    batches = [model.batch(part) for part in by_length(rows, settings.micro_tokens)]
    count = sum(objective.count(batch) for batch in batches)
    total = {name: torch.zeros_like(weight) for name, weight in trained.items()}
    with torch.random.fork_rng([model.device] if model.device.type == "cuda" else []):
        for batch in batches:
            loss = objective.loss(model, batch, model.logits(batch)).sum() / count
            for name, value in zip(trained, torch.autograd.grad(loss, list(trained.values()), allow_unused=True), strict=True):
                if value is not None:
                    total[name] += value
    return total


def _at_rate(optimizer: Optimizer, rate: float) -> Optimizer:
    for group in optimizer.param_groups:
        group["lr"] = rate
    return optimizer


def _random(key: str, place: int, method: Method, verb: str) -> Random:
    """Draws that depend on the run, the experience, the method's place and name, and the verb; on nothing before."""
    return Random(f"{key}/{place}/{type(method).__name__}/{verb}")


def _planned(model: CausalModel, rows: Sequence[Row], methods: Sequence[Method], settings: Settings, key: str) -> Plan:
    mixed = [row for number in range(settings.passes) for row in Random(f"{key}/pass{number}").sample(list(rows), len(rows))]
    for place, m in enumerate(methods):
        mixed = m.mix(model, mixed, _random(key, place, m, "mix"))
    for m in methods:
        m.begin(model, mixed)
    return Plan(mixed, list(rows), settings.steps(len(rows)))


def _state(model: CausalModel, optimizer: Optimizer, plan: Plan, done: int) -> State:
    moments = {str(place): dict(kept) for place, kept in optimizer.state_dict()["state"].items()}
    return {"done": done, "plan": plan.state(), "weights": model.state(), "optimizer": moments, "torch_random": torch.get_rng_state()}


def _resumed(model: CausalModel, optimizer: Optimizer, state: Mapping[str, object]) -> tuple[Plan, int]:
    """The plan of a saved state and how many of its steps are done; weights, optimizer and random state are put back."""
    weights, moments, random = state["weights"], state["optimizer"], state["torch_random"]
    if not (isinstance(weights, dict) and isinstance(moments, dict) and isinstance(random, Tensor)):
        raise StateError(f"the saved state lacks weights, optimizer or torch_random (keys={sorted(state)[:6]!r}). Give what the checkpoint was offered.")
    model.load(weights)
    kept = {int(place): {name: value.clone() for name, value in moment.items()} for place, moment in moments.items()}
    optimizer.load_state_dict({"state": kept, "param_groups": optimizer.state_dict()["param_groups"]})
    torch.set_rng_state(random)
    return Plan.load(model.encoder, state)


def _last_tenth(losses: Sequence[Tensor]) -> float:
    """The mean of the last tenth, NaN of nothing."""
    return float(torch.stack(list(losses[-(len(losses) // 10 or 1) :])).mean()) if losses else float("nan")
