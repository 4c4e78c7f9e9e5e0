"""The loop, in sight: one experience, one objective, any methods around it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial
from math import prod
from random import Random
from time import perf_counter

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import GradientAccumulationPlugin
from torch import Tensor
from torch.optim import Optimizer

from everlearn.errors import SettingError, StateError
from everlearn.learn.objectives.base import Objective
from everlearn.learn.plan import Plan
from everlearn.learn.settings import Settings
from everlearn.methods.base import Method, State, Step, overrides
from everlearn.models.processes import Processes, processes
from everlearn.models.recompute import blocks_of, recomputed
from everlearn.models.weights import TrainedModel
from everlearn.types import Batch, Row

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


@dataclass(slots=True)
class Course:
    """How far the loop has come: steps done, each step's loss, learned tokens, the seconds before a resume, and ids of remembered rows drawn at a step."""

    done: int = 0
    losses: list[Tensor] = field(default_factory=list)
    learned_tokens: int = 0
    seconds: float = 0.0
    drawn: set[str] = field(default_factory=set)


def fit(
    model: TrainedModel,
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
    Of several processes each does its share of a step's micro-batches; gradients are summed over them before the methods see them.
    """
    started, share, accelerator = perf_counter(), processes(), accelerator_for(model, settings)
    gradient = partial(objective_gradient, model, objective=objective, settings=settings)
    plan, so_far = _resumed(model, optimizer, resume) if resume else (_planned(model, rows, objective, methods, settings, key), Course())
    terms: list[Objective | Method] = [objective, *(m for m in methods if overrides(m, "loss"))]
    in_order = sorted(methods, key=lambda m: STAGES.index(m.stage))
    trained, blocks = list(model.trained().values()), blocks_of(model.module) if settings.activation_checkpointing else ()
    model.module.train()
    step = Step(so_far.done, plan.total, settings.rate, plan.new, gradient, optimizer)
    for number in range(so_far.done + 1, plan.total + 1):
        step = Step(number, plan.total, settings.rate * settings.factor(number, plan.total), plan.step(number), gradient, optimizer)
        step.rate *= prod(m.rate(step) for m in methods)
        drawn = [row for place, m in enumerate(methods) for row in m.draw(model, step, _random(key, place, m, f"draw{number}"))]
        so_far.drawn |= {row.id for row in drawn if row.from_memory}
        step.rows = objective.rows(model, [*step.rows, *drawn], step, Random(f"{key}/objective/{number}"))
        batches = _micro_batches(model, objective, step.rows, settings)
        counts = [[term.count(batch) for batch in batches] for term in terms]
        optimizer.zero_grad(set_to_none=True)
        so_far.losses.append(torch.zeros((), device=model.device))
        for place in share.mine([batch.tokens.numel() for batch in batches]):
            with accelerator.autocast(), recomputed(blocks):
                out = model.outputs(batch := batches[place])
            parts = [term.loss(model, batch, out).sum() / sum(of) for term, of in zip(terms, counts, strict=True) if of[place]]
            accelerator.backward(torch.stack(parts).sum())
            so_far.losses[-1] += parts[0].detach()
            for m in methods:
                m.observe(model, batch, out.detached())
        so_far.losses[-1] = _together(share, model, methods, batches, so_far.losses[-1], step)
        for m in in_order if batches else ():  # rollouts may leave nothing to learn
            m.gradients(model, step)
        if settings.clip:
            share.clip(trained, settings.clip) if share.sharded else accelerator.clip_grad_norm_(trained, settings.clip)
        step.before = model.state() if any(m.wants_before for m in methods) else None
        _at_rate(optimizer, step.rate).step()
        for m in in_order:
            m.stepped(model, step)
        so_far.done, so_far.learned_tokens = number, so_far.learned_tokens + int(sum(counts[0]))
        if checkpoint is not None:
            checkpoint(step, partial(_state, model, optimizer, plan, so_far, perf_counter() - started))
    ending = perf_counter()
    _ended(model, methods, replace(step, rows=plan.new), key)
    now = perf_counter()
    seconds, rehearsed = so_far.seconds + now - started, plan.rehearsed | so_far.drawn
    return FitLog(plan.total, so_far.learned_tokens, _last_tenth(so_far.losses), seconds, now - ending, rehearsed)


def _micro_batches(model: TrainedModel, objective: Objective, rows: Sequence[Row], settings: Settings) -> list[Batch]:
    most = processes().most(rows, settings.micro_tokens)
    return [model.batch(part) for part in objective.cut(rows, most, model.tokens_a_pass(settings.precision))]


def accelerator_for(model: TrainedModel, settings: Settings) -> Accelerator:
    """An Accelerator of the wanted precision and the model's device, also where another was made before in this process.

    Only the loop divides: whatever a launcher configured, it accumulates nothing.
    """
    AcceleratorState._reset_state(reset_partial_state=True)
    once = GradientAccumulationPlugin(num_steps=1)
    return Accelerator(mixed_precision=settings.precision, cpu=model.device.type == "cpu", gradient_accumulation_plugin=once)


def objective_gradient(model: TrainedModel, rows: Sequence[Row], objective: Objective, settings: Settings) -> dict[str, Tensor]:
    """The objective's mean gradient over some rows, by name; `.grad` and the random state stay as they are. All processes ask together."""
    if model.shared_out:
        raise SettingError("a gradient of some rows is asked for where weights are shared out (model.shared_out=True). Launch without FSDP.")
    trained, objective, share = model.trained(), objective.still(), processes()
    given = objective.rows(model, rows, Step(0, 0, 0.0, rows, lambda _: {}), Random("gradient"))
    batches = _micro_batches(model, objective, given, settings)
    count, blocks = sum(objective.count(batch) for batch in batches), blocks_of(model.module) if settings.activation_checkpointing else ()
    total = {name: torch.zeros_like(weight) for name, weight in trained.items()}
    with torch.random.fork_rng([model.device] if model.device.type == "cuda" else []):
        for batch in (batches[place] for place in share.mine([batch.tokens.numel() for batch in batches])):
            with recomputed(blocks):
                loss = objective.loss(model, batch, model.outputs(batch)).sum() / count
            for name, value in zip(trained, torch.autograd.grad(loss, list(trained.values()), allow_unused=True), strict=True):
                if value is not None:
                    total[name] += value
    for value in total.values():
        share.add(value)
    return total


def _ended(model: TrainedModel, methods: Sequence[Method], step: Step, key: str) -> None:
    for place, m in sorted(enumerate(methods), key=lambda placed: not placed[1].moves_at_end):
        m.end(model, step, _random(key, place, m, "end"))


def _together(share: Processes, model: TrainedModel, methods: Sequence[Method], batches: Sequence[Batch], loss: Tensor, step: Step) -> Tensor:
    """Of several processes: gradients, what methods noted, and the loss returned become the whole step's."""
    if not (share.several or share.sharded):
        return loss
    for _ in range(share.idle([batch.tokens.numel() for batch in batches])):
        (0 * model.outputs(batches[0]).logits.sum()).backward()  # type: ignore[no-untyped-call]
    model.collect()
    loss = share.add_gradients(list(model.trained().values()), loss, step.rows)
    for m in methods if share.several else ():
        m.gathered(share)
    return loss


def _at_rate(optimizer: Optimizer, rate: float) -> Optimizer:
    for group in optimizer.param_groups:
        group["lr"] = rate
    return optimizer


def _random(key: str, place: int, method: Method, verb: str) -> Random:
    """Draws that depend on the run, the experience, the method's place and name, and the verb; on nothing before."""
    return Random(f"{key}/{place}/{type(method).__name__}/{verb}")


def _planned(model: TrainedModel, rows: Sequence[Row], objective: Objective, methods: Sequence[Method], settings: Settings, key: str) -> Plan:
    mixed = [row for number in range(settings.passes) for row in Random(f"{key}/pass{number}").sample(list(rows), len(rows))]
    for place, m in enumerate(methods):
        mixed = m.mix(model, mixed, _random(key, place, m, "mix"))
    objective.begin(model, mixed)
    for m in sorted(methods, key=lambda m: m.moves_at_begin):
        m.begin(model, mixed)
    return Plan(mixed, list(rows), settings.steps(len(rows)))


def _state(model: TrainedModel, optimizer: Optimizer, plan: Plan, so_far: Course, seconds: float) -> State:
    moments = {str(place): {name: value.clone() for name, value in kept.items()} for place, kept in optimizer.state_dict()["state"].items()}
    course = {"done": so_far.done, "learned_tokens": so_far.learned_tokens, "seconds": so_far.seconds + seconds, "losses": torch.stack(so_far.losses)}
    course["drawn"] = sorted(so_far.drawn)
    random = {"cpu": torch.get_rng_state()} | ({"cuda": torch.cuda.get_rng_state(model.device)} if model.device.type == "cuda" else {})
    return {"course": course, "plan": plan.state(), "weights": model.state(), "optimizer": moments, "random": random}


def _resumed(model: TrainedModel, optimizer: Optimizer, state: Mapping[str, object]) -> tuple[Plan, Course]:
    """The plan of a saved state and how far it had come; weights, optimizer and random state are put back."""
    course, weights, moments, random = (state.get(name) for name in ("course", "weights", "optimizer", "random"))
    if not (isinstance(course, dict) and isinstance(weights, dict) and isinstance(moments, dict) and isinstance(random, dict)):
        raise StateError(f"this is no state of a run inside an experience (keys={sorted(state)[:6]!r}). Give what the checkpoint was offered.")
    lost = [f"course.{part.name}" for part in fields(Course) if part.name not in course] + ["random.cpu"] * ("cpu" not in random)
    if lost:
        raise StateError(f"this state of a run inside an experience is of another version (missing={lost!r}). Start the experience again, without it.")
    plan = Plan.load(model.encoder, state)  # the last that may be refused: what cannot be resumed leaves the model as it is
    model.load(weights)
    kept = {int(place): {name: value.clone() for name, value in moment.items()} for place, moment in moments.items()}
    optimizer.load_state_dict({"state": kept, "param_groups": optimizer.state_dict()["param_groups"]})
    torch.set_rng_state(random["cpu"].cpu())
    if model.device.type == "cuda" and "cuda" in random:
        torch.cuda.set_rng_state(random["cuda"].cpu(), model.device)
    so_far = Course(course["done"], list(course["losses"].clone()), course["learned_tokens"], course["seconds"], set(course["drawn"]))
    return plan, so_far


def _last_tenth(losses: Sequence[Tensor]) -> float:
    """The mean of the last tenth, NaN of nothing."""
    return float(torch.stack(list(losses[-(len(losses) // 10 or 1) :])).mean()) if losses else float("nan")
