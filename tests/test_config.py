"""Text to learners, and every mistake with its place."""

from __future__ import annotations

import pytest

from everlearn import EWC, GRPO, Gradient, Replay, SettingError, Settings
from everlearn.config import RECIPES, parse_methods
from everlearn.learn.base import Around
from everlearn.learn.bounds import Frozen, Joint
from everlearn.learn.registry import LEARNERS


def test_commas_separate_runs_and_plus_joins_methods() -> None:
    recipes = parse_methods("plain, replay(share=0.5, rows=100)+ewc(strength=1e1)")
    assert [[part.name for part in recipe.parts] for recipe in recipes] == [["plain"], ["replay", "ewc"]]
    learner = recipes[1].learner(Settings(), seed=3)
    assert isinstance(learner, Gradient)
    replay, ewc = learner.methods
    assert isinstance(replay, Replay)
    assert isinstance(ewc, EWC)
    assert (replay.share, ewc.strength, learner.seed) == (0.5, 10.0, 3)


def test_the_same_method_may_be_joined_to_itself() -> None:
    assert len(parse_methods("replay(share=0.1)+replay(kind=balanced)")[0].parts) == 2


def test_settings_go_over_the_loops_for_one_run() -> None:
    learner = parse_methods("l2+settings(rate=1e-3, schedule=linear)")[0].learner(Settings(passes=7), 0)
    assert isinstance(learner, Gradient)
    assert (learner.settings.rate, learner.settings.schedule, learner.settings.passes) == (1e-3, "linear", 7)


def test_a_recipe_is_its_parts_under_its_own_label() -> None:
    recipe = parse_methods("keep_current")[0]
    assert recipe.label == "keep_current"
    assert [part.name for part in recipe.parts] == [piece.split("(")[0] for piece in RECIPES["keep_current"].split("+")]


class Beside(Around):
    trains = False


@pytest.mark.parametrize(
    ("text", "inner"),
    [
        ("beside", Frozen),
        ("beside+settings(rate=1e-3)", Frozen),
        ("beside+plain", Gradient),
        ("beside+replay", Gradient),
        ("beside+rejection", Gradient),
    ],
)
def test_a_learner_that_needs_no_training_stands_on_frozen_weights_unless_something_trains_them(
    text: str, inner: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(LEARNERS, "beside", Beside)
    (recipe,) = parse_methods(text)
    learner = recipe.learner(Settings(), 0)
    assert isinstance(learner, Beside)
    assert type(learner.inner) is inner
    with pytest.raises(SettingError, match="plain is a bound and stands alone"):
        parse_methods("beside+plain+replay")
    with pytest.raises(SettingError, match="joint is a bound and stands alone"):
        parse_methods("beside+joint")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("repaly", "no method 'repaly'. Did you mean 'replay'"),
        ("replay(shar=1)", "replay has no setting 'shar'. Did you mean 'share'"),
        ("replay(share=abc)", "replay share: .*got 'abc'"),
        ("replay(share=2", "cannot be read"),
        ("replay(share=1+)", "cannot be read"),
        ("replay(1, 2, 'balanced', 4, 5)", "replay has 4 settings, got 5 values. They are share, rows, kind, most"),
        ("ewc(strength=[i for i in x])", "is no value"),
        ("ewc(strength=-1)", "ewc strength must be at least 0, got -1"),
        ("plain(rate=1)", "plain has no settings of its own"),
        ("plain+replay", "plain is a bound and stands alone"),
        ("plain,plain", "'plain' is named twice"),
        ("frozen+settings(passes=2)", "frozen never learns"),
        ("distill(on=memory)", "needs remembered rows. Join replay"),
        ("settings(rate=1)", "needs something to be joined to"),
        ("plain+settings(rate=-1, passes=0)", "rate must be above 0, got -1.0; passes must be at least 1, got 0"),
        ("", "no method is named, got ''"),
        ("repaly, ewc(strength=-1)", "repaly.*; in 'ewc.strength=-1.': ewc strength"),
    ],
)
def test_a_mistake_says_what_where_and_what_is_allowed(text: str, words: str) -> None:
    with pytest.raises(SettingError, match=words):
        parse_methods(text)


def test_an_objective_is_joined_like_a_method() -> None:
    learner = parse_methods("replay(share=1)+grpo(group=4,reward=contains)")[0].learner(Settings(), 0)
    assert isinstance(learner, Gradient)
    assert isinstance(learner.objective, GRPO)
    assert learner.objective.group == 4
    assert isinstance(parse_methods("joint+dpo")[0].learner(Settings(), 0), Joint)
    assert isinstance(parse_methods("dpo")[0].learner(Settings(), 0), Gradient)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("dpo+grpo", "dpo and grpo are both objectives, and a run has one"),
        ("grpo(group=1)", "grpo group must be at least 2, got 1"),
        ("grpo(reward=nothing)", "there is no reward 'nothing'"),
        ("frozen+dpo", "frozen never learns"),
        ("replay+distill(on=memory)+grpo", "grpo learns answers of its own, and distill covers given ones alone"),
        ("packnet+recover", "recover moves weights after these methods have set theirs for good"),
    ],
)
def test_mistakes_with_objectives(text: str, words: str) -> None:
    with pytest.raises(SettingError, match=words):
        parse_methods(text)
