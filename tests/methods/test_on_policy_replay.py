"""On-policy replay: whose answer is rehearsed."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from everlearn import Almanac, CausalModel, Example, OnPolicyReplay, SettingError, Step, almanac_stream

BASE = almanac_stream(Almanac(), periods=1, skills=3).base[:12]
NEW = [Example(prompt=f"Question: Who is the mayor of city {n}?\nAnswer:", completion=" Bo") for n in range(12)]


def rehearsed(model: CausalModel, method: OnPolicyReplay, old: list[Example]) -> dict[str, str]:
    """By prompt: the answer that is rehearsed."""
    method.end(model, Step(0, 0, 0.0, model.encoder.rows(old), lambda rows: {}), Random(0))
    rows = method.mix(model, model.encoder.rows(NEW), Random(1))
    return {row.example.prompt or "": row.example.completion or "" for row in rows if row.from_memory}


def test_an_answer_equal_to_the_stored_one_is_the_models_own(shared_tiny: CausalModel) -> None:
    marked = [replace(e, completion=f"{(e.completion or '').rstrip('.')} .", id="") for e in BASE]  # equal but for the mark
    found = rehearsed(shared_tiny, OnPolicyReplay(share=2), marked)
    said = dict(zip([e.prompt or "" for e in BASE], shared_tiny.generate(BASE, 12), strict=True))
    assert found == said
    assert found != {e.prompt: e.completion for e in marked}


def test_a_wrong_answer_gives_way_to_the_stored_one(shared_tiny: CausalModel) -> None:
    wrong = [replace(e, completion=" Nobody", id="") for e in BASE]
    assert set(rehearsed(shared_tiny, OnPolicyReplay(share=2), wrong).values()) == {" Nobody"}


def test_a_likely_answer_is_learned_right_or_not_and_an_unlikely_one_is_not(shared_tiny: CausalModel) -> None:
    wrong = [replace(e, completion=" Nobody", id="") for e in BASE]
    asked = [*wrong, Example(prompt="Question: Who is the tea of 9?\nAnswer:", completion=" Nobody")]
    found = rehearsed(shared_tiny, OnPolicyReplay(share=3, keep="likely", confidence=0.95), asked)
    assert [e.prompt for e in asked if found[e.prompt or ""] == " Nobody"] == ["Question: Who is the tea of 9?\nAnswer:"]


def test_texts_and_long_conversations_stay_as_they_are(shared_tiny: CausalModel) -> None:
    turns = tuple({"role": role, "content": "7 plus 5?"} for role in ("user", "assistant", "user", "assistant"))
    old = [Example(text="The mayor is Ann."), Example(messages=turns)]
    method = OnPolicyReplay(share=1, keep="likely", confidence=0)
    method.end(shared_tiny, Step(0, 0, 0.0, shared_tiny.encoder.rows(old), lambda rows: {}), Random(0))
    rows = method.mix(shared_tiny, shared_tiny.encoder.rows(NEW), Random(1))
    assert {row.id for row in rows if row.from_memory} == {e.id for e in old}


def test_a_conversation_of_one_answer_is_answered(shared_tiny: CausalModel) -> None:
    chat = Example(messages=({"role": "user", "content": "What is 7 plus 5?"}, {"role": "assistant", "content": " 99"}))
    method = OnPolicyReplay(share=0.2, keep="likely", confidence=0)
    method.end(shared_tiny, Step(0, 0, 0.0, shared_tiny.encoder.rows([chat]), lambda rows: {}), Random(0))
    own = [row for row in method.mix(shared_tiny, shared_tiny.encoder.rows(NEW), Random(1)) if row.from_memory]
    assert {row.example.messages[-1]["content"] for row in own if row.example.messages} == {" 12"}


def test_settings_outside_their_range_are_refused() -> None:
    with pytest.raises(SettingError, match="on_policy_replay keep must be 'equal' or 'likely', got 'best'"):
        OnPolicyReplay(keep="best")  # type: ignore[arg-type]
    with pytest.raises(SettingError, match="on_policy_replay confidence must be between 0 and 1, got 2"):
        OnPolicyReplay(confidence=2)
