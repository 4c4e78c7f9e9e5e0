"""Answers that hold now and are learned elsewhere: no method rehearses what they supersede."""

from __future__ import annotations

import json
from random import Random

import pytest

from everlearn import Example, GenerativeReplay, Gradient, Settings, load_model
from everlearn.methods import BY_NAME
from everlearn.replay.buffers import Balanced, Reservoir
from everlearn.replay.surprise import Surprising

ASKED = tuple(
    Example(prompt=f"Question: What is the river of {town}?\nAnswer:", completion=" Brue", source=town) for town in ("Penwick", "Ashford", "Hartbury")
)
NEWER = (ASKED[0].answered(" Tamar"), ASKED[1])
KEEPS = {"agem", "der", "la_maml", "merge", "mir", "on_policy_replay", "replay"}


def held(name: str, **given: object) -> tuple[str, str]:
    """A method's state after it was shown the rows, and after it was told what supersedes one of them."""
    learner, model = Gradient([BY_NAME[name](**(given or BY_NAME[name].active))], Settings(batch=4)), load_model("tiny")
    learner.prepare(model)
    learner.remember(model, ASKED)
    before = json.dumps(learner.state(), default=lambda tensor: None)
    learner.supersede(NEWER)
    return before, json.dumps(learner.state(), default=lambda tensor: None)


@pytest.mark.parametrize("name", BY_NAME)
def test_what_is_superseded_leaves_every_memory_and_the_rest_stays(name: str) -> None:
    before, after = held(name, **({"kind": "wise"} if name == "merge" else {}))
    assert (ASKED[0].id in before) == (name in KEEPS)
    assert ASKED[0].id not in after
    assert all((row.id in after) == (row.id in before) for row in ASKED[1:])


def test_every_kind_of_buffer_drops_it_and_says_how_many_there_were() -> None:
    first, last = Reservoir(), Surprising()
    first.offer(ASKED, Random(0))
    last.offer(ASKED, {e.id: 1.0 for e in ASKED})
    parts = Balanced(parts={"a": first})
    for buffer in (last, parts):
        assert buffer.supersede(NEWER) == 1
        assert buffer.examples() == list(ASKED[1:])
        assert buffer.supersede(NEWER) == 0


def test_of_own_samples_those_go_that_say_otherwise() -> None:
    method = GenerativeReplay()
    method.load({"teacher": method.teacher.state(), "kept": {e.id: e.to_json() for e in ASKED}, "due": {ASKED[0].id: ASKED[0].to_json()}})
    method.supersede(NEWER)
    assert list(method.state()["kept"]) == [e.id for e in ASKED[1:]]  # type: ignore[call-overload]
    assert method.state()["due"] == {}
