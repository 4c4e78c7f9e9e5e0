"""A model followed through time: what arrives is learned, then what comes next is asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Generic, TypeVar

from everlearn.config import Recipe
from everlearn.errors import SettingError
from everlearn.learn.settings import Settings
from everlearn.models.language import LanguageModel
from everlearn.models.load import load_model
from everlearn.types import Example, Experience

T = TypeVar("T")
# Told what is being done and which share of all runs is done, 0 to 1.
Progress = Callable[[str, float], None]


@dataclass(frozen=True, slots=True)
class Start:
    """What every run begins with. model: "tiny", a folder or a hub id.   base: what it was taught, for methods that may keep old data."""

    model: str | Path
    settings: Settings
    seed: int = 0
    base: Sequence[Example] = ()
    device: str | None = None

    def told(self) -> dict[str, object]:
        """What a record says of it."""
        return {"rate": self.settings.rate, "passes": self.settings.passes, "batch": self.settings.batch, "seed": self.seed}


@dataclass(frozen=True, slots=True)
class Followed(Generic[T]):
    """One run. found: what `ask` gave after each experience, in order.   seconds: wall time of learning and of asking."""

    label: str
    found: list[T]
    learn_seconds: float
    ask_seconds: float


def follow(
    recipes: Sequence[Recipe], start: Start, experiences: Sequence[Experience], ask: Callable[[LanguageModel, int], T], progress: Progress | None = None
) -> list[Followed[T]]:
    """Each recipe from the same start: every experience is learned, if it holds rows, then `ask(served, number)` with its place from 0.

    What is asked after an experience must not be in it: then each answer is one about the future (prequential evaluation: Dawid 1984, "Statistical
    theory: the prequential approach"). Raises SettingError for joint, which learns no course.
    """
    found: list[Followed[T]] = []
    if late := [recipe.label for recipe in recipes if recipe.joint]:
        raise SettingError(f"joint is trained once, at the end, and has no course over time (methods={late[0]!r}). Name others, such as plain,keep_current.")
    for place, recipe in enumerate(recipes):
        done = (place / len(recipes), 1 / len(recipes))
        found.append(_followed(recipe, start, experiences, ask, done, progress))
    return found


def _followed(
    recipe: Recipe,
    start: Start,
    experiences: Sequence[Experience],
    ask: Callable[[LanguageModel, int], T],
    done: tuple[float, float],
    progress: Progress | None,
) -> Followed[T]:
    model = load_model(start.model, "auto", device=start.device)
    learner = recipe.learner(start.settings, start.seed)
    served = learner.prepare(model)
    learner.remember(model, start.base)
    found, learning, asking = list[T](), 0.0, 0.0
    for number, experience in enumerate(experiences):
        if progress is not None:
            progress(f"{recipe.label}: {experience.name}", done[0] + done[1] * number / len(experiences))
        begun = perf_counter()
        if experience.train:
            learner.learn(model, experience)
        between = perf_counter()
        found.append(ask(served, number))
        learning, asking = learning + between - begun, asking + perf_counter() - between
    return Followed(recipe.label, found, learning, asking)
