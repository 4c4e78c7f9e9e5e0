"""What every learner around the loop must hold: it does something, the same seed is the same run, resume is the uninterrupted run, the start stays."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from everlearn.checks.methods import SETTINGS, Stopped, small_stream, whole
from everlearn.errors import SettingError, did_you_mean
from everlearn.learn.base import Around, Learner
from everlearn.learn.bounds import Frozen
from everlearn.learn.gradient import Gradient
from everlearn.learn.registry import LEARNERS
from everlearn.methods.base import State, Step
from everlearn.methods.replay import Replay
from everlearn.models.language import LanguageModel
from everlearn.models.load import load_model
from everlearn.models.state import load_state, save_state
from everlearn.models.weights import TrainedModel
from everlearn.types import Experience

Load = Callable[[], TrainedModel]
LearnerCheck = Callable[[type[Around], Load], None]


def made(learner: type[Around]) -> Learner:
    """The learner at its `active` settings around the loop with a method that keeps rows, so that what is inside must be kept too."""
    return learner(**learner.active).around(Gradient([Replay(share=0.5, rows=20)], SETTINGS))


def run(learner: Learner, model: TrainedModel) -> tuple[dict[str, Tensor], State, list[float]]:
    """All weights, the learner's state and what the served model says, after the base was remembered and two experiences were learned."""
    base, experiences = small_stream()
    served = learner.prepare(model)
    learner.remember(model, base)
    for experience in experiences:
        learner.learn(model, experience)
    return whole(model), learner.state(), answers(served)


def answers(served: LanguageModel) -> list[float]:
    """Nats of some rows of the base and of both experiences."""
    base, experiences = small_stream()
    rows = [*base[:4], *experiences[0].train[:4], *experiences[1].train[:4]]
    return [nats[0] for nats in served.score(rows, [[row.completion or row.text or ""] for row in rows])]


def it_does_something(learner: type[Around], load: Load) -> None:
    """Its answers are not those of what is inside it alone: the loop, or frozen weights where it needs no training."""

    def inside() -> Learner:
        return Gradient([Replay(share=0.5, rows=20)], SETTINGS) if learner.trains else Frozen()

    alone = run(inside(), load())[2]
    assert run(learner(**learner.active).around(inside()), load())[2] != alone, f"{learner.__name__}({_shown(learner)}) does nothing"


def same_run_twice(learner: type[Around], load: Load) -> None:
    """The same seed gives the same weights, state and answers bit for bit."""
    _equal(run(made(learner), load()), run(made(learner), load()), f"{learner.__name__} differs between two runs of one seed")


def resume_is_uninterrupted(learner: type[Around], load: Load) -> None:
    """Stopped between experiences, inside one, or at its last step, saved, loaded into a fresh model: the uninterrupted run bit for bit."""
    _, experiences = small_stream()
    uninterrupted = run(made(learner), load())
    for stopped in ((1, 0.0), (0, 0.5), (1, 1.0)):
        with tempfile.TemporaryDirectory() as folder:
            _stop(made(learner), load(), *stopped, folder)
            model, again = load(), made(learner)
            served = again.prepare(model)
            _take_up(again, model, load_state(folder))
        for experience in experiences[stopped[0] :]:
            again.learn(model, experience)
        found = whole(model), again.state(), answers(served)
        _equal(found, uninterrupted, f"{learner.__name__}: stop, save, load, continue is not the uninterrupted run (stopped={stopped!r})")


def the_start_stays(learner: type[Around], load: Load) -> None:
    """What is not trained at the end is bit for bit what was loaded."""
    start, model = whole(load()), load()
    run(made(learner), model)
    trained = {value.data_ptr() for value in model.trained().values()}  # by place: a tied weight has two names
    for name, value in model.module.state_dict().items():
        known = name.removeprefix("base_model.model.").replace(".base_layer.", ".")  # as PEFT names what lies beneath adapters
        assert value.data_ptr() in trained or known not in start or torch.equal(value, start[known]), f"{learner.__name__} changed a frozen weight: {known}"


def asking_changes_nothing(learner: type[Around], load: Load) -> None:
    """What is served says the same twice, and asking it moves neither weights nor the random state."""
    _, experiences = small_stream()
    model, made_one = load(), made(learner)
    served = made_one.prepare(model)
    made_one.learn(model, experiences[0])
    before, random, first = whole(model), torch.get_rng_state(), answers(served)
    assert answers(served) == first, f"{learner.__name__}: what is served says another thing the second time"
    assert torch.equal(torch.get_rng_state(), random), f"{learner.__name__}: asking what is served moved the random state"
    _same(whole(model), before, f"{learner.__name__}: asking what is served changed weights")


LEARNER_CHECKS: tuple[LearnerCheck, ...] = (
    it_does_something,
    same_run_twice,
    resume_is_uninterrupted,
    the_start_stays,
    asking_changes_nothing,
)


def check_learner(learner: type[Around] | str, load: Load = load_model) -> list[str]:
    """Run every check on a learner, or on the one of that name, at its `active` settings; the names of those that ran.

    load: makes a fresh copy of a small model, always the same. Raises AssertionError that says what does not hold.
    """
    if isinstance(learner, str):
        if learner not in LEARNERS:
            raise SettingError(f"there is no learner {learner!r}. {did_you_mean(learner, LEARNERS)}")
        learner = LEARNERS[learner]
    for check in LEARNER_CHECKS:
        check(learner, load)
    return [check.__name__ for check in LEARNER_CHECKS]


def _stop(learner: Learner, model: TrainedModel, at: int, share: float, folder: str) -> None:
    """Learn up to this share of the experience `at` (0: only those before it), save there as a comparison does, and break off as a kill would."""
    base, experiences = small_stream()
    learner.prepare(model)
    learner.remember(model, base)
    for experience in experiences[:at]:
        learner.learn(model, experience)
    if share:
        _break_off(learner, model, experiences[at], share, folder)
    else:
        save_state({"learner": learner.state(), "weights": dict(model.state())}, folder)
    torch.rand(7)  # a new process has another random state


def _break_off(learner: Learner, model: TrainedModel, experience: Experience, share: float, folder: str) -> None:
    def stop(step: Step, state: Callable[[], State]) -> None:
        if step.number >= share * step.total:
            save_state({"learner": state()}, folder)
            raise Stopped

    try:
        learner.learn(model, experience, stop)
    except Stopped:
        return
    raise AssertionError(f"{type(learner).__name__} never offered the checkpoint at a share of {share} of its steps")


def _take_up(learner: Learner, model: TrainedModel, state: State) -> None:
    weights, kept = state.get("weights"), state.get("learner")
    if isinstance(weights, dict):
        model.load(weights)
    learner.load(kept if isinstance(kept, dict) else {})


def _equal(found: tuple[object, ...], wanted: tuple[object, ...], what: str) -> None:
    for part, of in zip(found, wanted, strict=True):
        _same(part, of, what)


def _same(found: object, wanted: object, what: str, place: str = "") -> None:
    """Raise AssertionError unless both hold the same, bit for bit."""
    if isinstance(wanted, Mapping) and isinstance(found, Mapping):
        assert found.keys() == wanted.keys(), f"{what}: {place or 'the whole'} has other parts: {sorted(map(str, found.keys() ^ wanted.keys()))[:3]}"
        for key, value in wanted.items():
            _same(found[key], value, what, f"{place}/{key}")
    elif isinstance(wanted, Tensor) and isinstance(found, Tensor):
        assert torch.equal(found, wanted), f"{what}: {place} differs"
    else:
        assert _plain(found) == _plain(wanted), f"{what}: {place} is {found!r}, not {wanted!r}"


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


def _shown(learner: type[Around]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in learner.active.items())
