"""The bounds: frozen changes nothing, joint sees everything and the newest answer."""

from __future__ import annotations

import torch

from everlearn import CausalModel, Example, Experience
from everlearn.learn.bounds import Frozen, union


def test_frozen_changes_nothing(tiny: CausalModel) -> None:
    before = tiny.state()
    learner = Frozen()
    assert learner.prepare(tiny) is tiny
    learner.remember(tiny, [])
    assert learner.learn(tiny, Experience("1", (Example(text="x"),))).steps == 0
    learner.load(learner.state())
    assert all(torch.equal(value, before[name]) for name, value in tiny.state().items())


def test_the_union_holds_every_row_once_and_the_newest_answer() -> None:
    base = [Example(prompt="a?", completion=" 1"), Example(prompt="b?", completion=" 1")]
    first = Experience("1", (Example(prompt="a?", completion=" 2"), Example(text="news")))
    second = Experience("2", (Example(prompt="a?", completion=" 3"), Example(text="news"), base[1]))
    assert {(e.prompt, e.completion, e.text) for e in union(base, [first, second]).train} == {("b?", " 1", None), ("a?", " 3", None), (None, None, "news")}


def test_an_answer_that_comes_back_is_the_newest() -> None:
    a, b = Example(prompt="Mayor?", completion=" Ann"), Example(prompt="Mayor?", completion=" Bo")
    assert [e.completion for e in union([a], [Experience("1", (b,)), Experience("2", (a,))]).train] == [" Ann"]
