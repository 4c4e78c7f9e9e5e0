"""The inner seam: what a method may do around the one visible loop, `everlearn.learn.fit`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, ClassVar, Literal

from everlearn.errors import SettingError, StateError
from everlearn.types import Batch, Example, Out, Row

if TYPE_CHECKING:
    from torch import Tensor
    from torch.optim import Optimizer

    from everlearn.models.processes import Processes
    from everlearn.models.weights import TrainedModel

# What a method or learner keeps: tensors and JSON, nested in dicts; never pickled.
State = dict[str, object]


@dataclass(slots=True)
class Step:
    """Where the loop is.

    number: 1 to `total`; 0 when a past the model already knows is shown to `end`.   rate: this step's learning rate; where it depends on the
    step's own loss, `gradients` may lower it.
    rows: this step's rows; in `end`, the experience's new rows, once each.   before: the trained parameters before the optimizer
    moved them, kept only if a method has `wants_before`.   gradient(rows): the objective's mean gradient by name, `.grad` untouched.
    """

    number: int
    total: int
    rate: float
    rows: Sequence[Row]
    gradient: Callable[[Sequence[Row]], dict[str, Tensor]]
    optimizer: Optimizer | None = None
    before: Mapping[str, Tensor] | None = None


class Method:
    """What keeps the old. Every verb is optional and by default does nothing; methods compose in a list.

    The loop alone divides: a term's values are summed over micro-batches and divided by its `count` once a step. `loss` is pure; buffers
    fill in `observe` or `end`. A method knows only `model.trained()`, the parameters that learn.

    neutral: settings at which the method is plain training bit for bit; None for a bound.   active: settings under which it must change
    something (for the shipped checks).   stage: the order of `gradients` and `stepped`.   moves_at_begin: its `begin` changes
    weights and runs after the others', so that they see the old model.   moves_at_end: its `end` changes weights and runs before the others', so
    that they measure what is kept.   folds: an experience's adapters go into the frozen weights beneath before the next.
    shards: does it hold where each process has only a part of every weight (FSDP2): it reads and changes them value by value, or not at all.
    family, paper, stores, cost: for `everlearn methods`.
    """

    neutral: ClassVar[Mapping[str, object] | None] = None
    active: ClassVar[Mapping[str, object]] = {}
    stage: ClassVar[Literal["penalty", "projection", "mask"]] = "penalty"
    wants_before: ClassVar[bool] = False
    moves_at_begin: ClassVar[bool] = False
    moves_at_end: ClassVar[bool] = False
    folds: ClassVar[bool] = False
    shards: ClassVar[bool] = False
    family: ClassVar[str] = ""
    paper: ClassVar[str] = ""
    stores: ClassVar[str] = "nothing"
    cost: ClassVar[str] = ""

    def prepare(self, model: TrainedModel) -> None:
        """Once a run, before `load`: structure only (freeze, insert adapters, masks)."""

    def mix(self, model: TrainedModel, rows: list[Row], random: Random) -> list[Row]:
        """Once an experience, the model still old: the rows of all passes, in the order of learning."""
        return rows

    def begin(self, model: TrainedModel, rows: Sequence[Row]) -> None:
        """After every `mix`, the model still old: sees all rows. Not called on resume, so what it makes is part of `state`."""

    def draw(self, model: TrainedModel, step: Step, random: Random) -> list[Row]:
        """Extra rows of one step, before it is cut into micro-batches."""
        return []

    def count(self, batch: Batch) -> float:
        """The denominator of this method's loss, from data alone; by default the learned tokens."""
        return float(len(batch.targets))

    def loss(self, model: TrainedModel, batch: Batch, out: Out) -> Tensor:
        """The values of this method's term, of any shape; the loop sums them. Overriding it makes the method a term."""
        raise SettingError(f"{type(self).__name__} has no loss term. Override loss to add one.")

    def observe(self, model: TrainedModel, batch: Batch, out: Out) -> None:
        """After backward, `out` detached; of several processes each observes its own micro-batches."""

    def gathered(self, processes: Processes) -> None:
        """With several processes, after a step's last `observe`: bring together what each of them noted."""
        if overrides(self, "observe"):
            raise SettingError(f"{type(self).__name__} observes batches but gathers nothing from several processes. Override gathered, or start one.")

    def gradients(self, model: TrainedModel, step: Step) -> None:
        """Once a step, may change `.grad`: penalties first, then projections, then masks; clipping follows."""

    def rate(self, step: Step) -> float:
        """A factor on the learning rate."""
        return 1.0

    def stepped(self, model: TrainedModel, step: Step) -> None:
        """After the optimizer moved the weights, in the order of the stages: may rewrite the update, from `step.before`."""

    def end(self, model: TrainedModel, step: Step, random: Random) -> None:
        """After an experience, or for one learned elsewhere (`step.number` 0): importance, buffer, merge."""

    def supersede(self, newer: Sequence[Example]) -> None:
        """Between experiences: these hold now and are not learned here, so what is remembered of their questions and answers otherwise no longer holds."""

    def state(self) -> State:
        """Everything that `load` needs to go on bit for bit."""
        return {}

    def load(self, state: State) -> None:
        """Take up a saved state, after `prepare`."""
        if state:
            raise StateError(f"{type(self).__name__} keeps no state but was given some (keys={sorted(state)[:3]!r}). Load the state of the same method.")


def overrides(method: Method, verb: str) -> bool:
    """Does this method do something in this verb."""
    return getattr(type(method), verb) is not getattr(Method, verb)


def at_least(name: str, value: float, low: float, high: float = float("inf")) -> None:
    """Raise SettingError unless low <= value <= high."""
    if not low <= value <= high:
        allowed = f"at least {low:g}" if high == float("inf") else f"between {low:g} and {high:g}"
        raise SettingError(f"{name} must be {allowed}, got {value!r}.")
