"""Average: after an experience the model is the moving average of its weights on the way."""

from __future__ import annotations

from random import Random

import torch
from torch import Tensor

from everlearn.methods.base import Method, State, Step, at_least
from everlearn.methods.tensors import tensors_of
from everlearn.models.weights import TrainedModel


class Average(Method):
    """Learn with the weights, keep their exponential moving average: mean <- decay * mean + (1 - decay) * theta after every step.

    At the end of the experience the mean becomes the model: it is what is tested, served and learned on from. Polyak and Juditsky 1992; the
    exponential form as Tarvainen and Valpola 2017, arXiv:1703.01780. Differs: the mean starts at the weights of before the experience, so decay^T
    of the old model is left in it after T steps, which holds on to the past as an interpolation of old and new weights does. Joined with
    sparse methods, name it after them.

    decay: in [0, 1); 0 is exactly plain training.   ramp: use min(decay, (1 + k) / (10 + k)) at step k, so that a short experience is learned too.

    >>> Average(decay=0.9).decay
    0.9
    """

    neutral = {"decay": 0.0}
    active = {"decay": 0.9}
    stage = "mask"
    moves_at_end = True
    family = "averaging"
    paper = "Tarvainen and Valpola 2017, arXiv:1703.01780"
    stores = "one copy of the trained weights"
    cost = "under 1 % of a step"

    def __init__(self, decay: float = 0.99, ramp: bool = False) -> None:
        at_least("average decay", decay, 0, 0.999999)
        self.decay, self.ramp = decay, ramp
        self.mean: dict[str, Tensor] = {}

    def begin(self, model: TrainedModel, rows: object) -> None:
        self.mean = model.state() if self.decay else {}

    def stepped(self, model: TrainedModel, step: Step) -> None:
        if self.mean:
            decay = min(self.decay, (1 + step.number) / (10 + step.number)) if self.ramp else self.decay
            torch._foreach_lerp_(list(self.mean.values()), [weight.detach() for weight in model.trained().values()], 1 - decay)

    def end(self, model: TrainedModel, step: Step, random: Random) -> None:
        if self.mean and step.number:
            model.load(self.mean)
            self.mean = {}

    def state(self) -> State:
        return {"mean": dict(self.mean)}

    def load(self, state: State) -> None:
        self.mean = tensors_of(state, "mean")
