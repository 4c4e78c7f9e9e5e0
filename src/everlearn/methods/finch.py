"""FINCH: small steps while the loss is high, so that what is learned hard costs less of the old."""

from __future__ import annotations

from math import sqrt
from random import Random
from statistics import median

import torch
from torch import Tensor
from torch.nn import functional

from everlearn.errors import StateError
from everlearn.methods.at_once import batches
from everlearn.methods.base import Method, State, Step, at_least
from everlearn.methods.ewc import sampled
from everlearn.methods.per_example import log_likelihood
from everlearn.models.processes import Processes
from everlearn.models.weights import TrainedModel, as_found
from everlearn.types import Batch, Out

SEEN = 256  # rows of a known past whose loss is taken for what the model is used to


class Finch(Method):
    """Divide the rate by the square root of the loss: eta_t = eta * max(floor, min(1, sqrt(reference / L_t))).

    What a step makes the model forget is bounded by the rate times sqrt(L). L_t is the step's mean loss, remembered rows too, smoothed over past
    steps by `smooth`; the reference is the median loss over the last tenth of the last experience's steps, or over the rows of a known past.
    Prashant et al. 2026, arXiv:2605.20005. Differs: the paper's constants were not at hand; this reference, floor and bound of 1 are ours. With no
    past known the first experience is plain.

    floor: the least factor, in [0, 1]; 1 is exactly plain training.   smooth: weight of the past steps' mean loss, in [0, 1); 0 takes each step's own.
    reference: nats a token from which on the rate falls, > 0; None for the past's, which is near 0 where the past was learned by heart, so that
    every step is taken at the floor.

    >>> Finch(floor=0.2).floor
    0.2
    """

    neutral = {"floor": 1.0}
    active = {"floor": 0.1}
    family = "schedules"
    paper = "Prashant et al. 2026, arXiv:2605.20005"
    stores = "the losses of an experience's steps"
    cost = "the loss once more, under 1 % of a step"

    def __init__(self, floor: float = 0.1, smooth: float = 0.0, reference: float | None = None) -> None:
        at_least("finch floor", floor, 0, 1)
        at_least("finch smooth", smooth, 0, 0.9999)
        at_least("finch reference", 1.0 if reference is None else reference, 1e-9)
        self.floor, self.smooth, self.fixed = floor, smooth, reference is not None
        self.reference = reference
        self.losses: list[float] = []
        self.mean: float | None = None
        self._sum: Tensor | None = None
        self._count = 0

    def begin(self, model: TrainedModel, rows: object) -> None:
        self.losses, self.mean = [], None

    def observe(self, model: TrainedModel, batch: Batch, out: Out) -> None:
        fresh = out.each(lambda logits, targets: functional.cross_entropy(logits.float(), targets, reduction="none"), batch.targets).sum()
        self._sum = fresh if self._sum is None else self._sum + fresh
        self._count += len(batch.targets)

    def gathered(self, processes: Processes) -> None:
        seen = torch.tensor([0.0 if self._sum is None else float(self._sum), float(self._count)], dtype=torch.double)
        total, count = processes.add(seen).tolist()
        self._sum, self._count = torch.tensor(total), int(count)

    def gradients(self, model: TrainedModel, step: Step) -> None:
        """The step's loss is known now, and the rate not yet used: `step.rate` is lowered here."""
        if self._sum is None or not self._count:
            return
        loss = float(self._sum) / self._count
        self._sum, self._count = None, 0
        self.mean = loss if self.mean is None else self.smooth * self.mean + (1 - self.smooth) * loss
        self.losses.append(loss)
        step.rate *= self.factor()

    def factor(self) -> float:
        """The factor on the rate at the present mean loss."""
        if self.reference is None or self.mean is None:
            return 1.0
        return max(self.floor, min(1.0, sqrt(self.reference / max(self.mean, 1e-12))))

    def end(self, model: TrainedModel, step: Step, random: Random) -> None:
        if self.fixed:
            return
        if step.number:
            self.reference = median(self.losses[-(len(self.losses) // 10 or 1) :]) if self.losses else self.reference  # rollouts may leave no loss
        elif step.rows:
            self.reference = self._known(model, step, random)

    def state(self) -> State:
        return {"reference": self.reference, "losses": list(self.losses), "mean": self.mean}

    def load(self, state: State) -> None:
        losses, reference, mean = (state.get(name) for name in ("losses", "reference", "mean"))
        if not isinstance(losses, list):
            raise StateError(f"the saved state has no losses (losses={losses!r}). Load the state of a finch.")
        self.losses = [float(loss) for loss in losses]
        self.reference, self.mean = (None if value is None else float(str(value)) for value in (reference, mean))

    def _known(self, model: TrainedModel, step: Step, random: Random) -> float:
        """The median over batches of the mean loss on rows of a known past."""
        losses = []
        with as_found(model.module), torch.no_grad():
            for part in batches([[row] for row in sampled(step.rows, SEEN, random)]):
                batch = model.batch([row for group in part for row in group])
                losses.append(-float(log_likelihood(batch, model.logits(batch).logits).mean()))
        return median(losses)
