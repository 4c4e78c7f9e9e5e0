"""Replay: how much, what, and what never."""

from __future__ import annotations

from random import Random

import pytest

from everlearn import CausalModel, Example, Experience, Gradient, Replay, SettingError, Settings, StateError, Step
from everlearn.methods.remembered import row_losses
from everlearn.methods.replay import answer, interleaved
from everlearn.replay.surprise import Surprising

OLD = [Example(prompt=f"Question: Who is the mayor of town {n}?\nAnswer:", completion=" Ann", source=f"s{n % 2}") for n in range(40)]
NEW = [Example(prompt=f"Question: Who is the mayor of city {n}?\nAnswer:", completion=" Bo") for n in range(30)]


def filled(model: CausalModel, method: Replay, examples: list[Example]) -> None:
    method.end(model, Step(0, 0, 0.0, model.encoder.rows(examples), lambda rows: {}), Random(0))


def test_the_share_is_of_tokens(shared_tiny: CausalModel) -> None:
    method = Replay(share=0.5)
    filled(shared_tiny, method, OLD)
    rows = method.mix(shared_tiny, shared_tiny.encoder.rows(NEW), Random(1))
    tokens = {memory: sum(len(row.tokens) for row in rows if row.from_memory == memory) for memory in (True, False)}
    assert tokens[True] / tokens[False] == pytest.approx(0.5, abs=0.04)


def test_remembered_rows_are_spread_evenly_and_none_comes_twice_too_early(shared_tiny: CausalModel) -> None:
    method = Replay(share=1.0)
    filled(shared_tiny, method, OLD)
    rows = method.mix(shared_tiny, shared_tiny.encoder.rows(NEW), Random(1))
    remembered = [row.id for row in rows if row.from_memory]
    assert len(set(remembered)) == len(remembered)
    assert all(any(row.from_memory for row in rows[at : at + 4]) for at in range(len(rows) - 4))


def test_the_new_rows_keep_their_order(shared_tiny: CausalModel) -> None:
    rows = shared_tiny.encoder.rows(NEW)
    assert [row for row in interleaved(rows, shared_tiny.encoder.rows(OLD)) if row in rows] == rows


def test_a_newer_answer_is_never_contradicted(shared_tiny: CausalModel) -> None:
    method = Replay(share=2.0)
    filled(shared_tiny, method, OLD)
    changed = [Example(prompt=e.prompt, completion=" Cy") for e in OLD[:20]]
    rows = method.mix(shared_tiny, shared_tiny.encoder.rows(changed), Random(1))
    assert not {row.example.prompt for row in rows if row.from_memory} & {e.prompt for e in changed}
    filled(shared_tiny, method, changed)
    assert {e.completion for e in method.buffer.examples() if e.prompt == OLD[0].prompt} == {" Cy"}


def test_two_replays_draw_from_memories_of_their_own(shared_tiny: CausalModel) -> None:
    first, second = Replay(share=0.5), Replay(share=0.5)
    filled(shared_tiny, first, OLD[:20])
    filled(shared_tiny, second, OLD[20:])
    rows = second.mix(shared_tiny, first.mix(shared_tiny, shared_tiny.encoder.rows(NEW), Random(1)), Random(2))
    tokens = sum(len(row.tokens) for row in rows if not row.from_memory)
    for part in (OLD[:20], OLD[20:]):
        ids = {e.id for e in part}
        assert sum(len(row.tokens) for row in rows if row.id in ids) / tokens == pytest.approx(0.5, abs=0.05)


def test_a_state_brings_the_buffer_back(shared_tiny: CausalModel) -> None:
    for kind in ("reservoir", "balanced", "per_class", "surprise"):
        method, again = Replay(rows=10, kind=kind), Replay(rows=10, kind=kind)  # type: ignore[arg-type]
        filled(shared_tiny, method, OLD)
        again.load(method.state())
        assert again.buffer.examples() == method.buffer.examples()
        filled(shared_tiny, method, NEW)
        filled(shared_tiny, again, NEW)
        assert again.buffer.examples() == method.buffer.examples()


def test_settings_outside_their_range_are_refused() -> None:
    with pytest.raises(SettingError, match=r"replay share must be between 0 and 10, got 50.*set rows=50"):
        Replay(share=50)
    with pytest.raises(SettingError, match="replay share must be between 0 and 10, got -1"):
        Replay(share=-1)
    with pytest.raises(SettingError, match="replay rows must be at least 1, got 0"):
        Replay(rows=0)
    with pytest.raises(SettingError, match="one of reservoir, balanced, per_class, surprise, got 'ring'"):
        Replay(kind="ring")  # type: ignore[arg-type]
    with pytest.raises(SettingError, match="most is for kind='surprise' alone, got most=0.2 with kind='balanced'"):
        Replay(kind="balanced", most=0.2)
    with pytest.raises(SettingError, match="replay most must be between 1e-09 and 1, got 2"):
        Replay(kind="surprise", most=2)


def test_each_class_keeps_room_however_rare(shared_tiny: CausalModel) -> None:
    method = Replay(rows=6, kind="per_class")
    rare = Example(prompt="Question: Who is the mayor of town 99?\nAnswer:", completion=" Cy")
    talk = Example(messages=({"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}))
    filled(shared_tiny, method, [*OLD, rare])
    assert rare in method.buffer.examples()
    assert len(method.buffer) == 4, "equal room, the rare class's not filled"
    assert [answer(e) for e in (OLD[0], talk, Example(text="a"))] == [" Ann", "y", ""]
    with pytest.raises(SettingError, match="balanced buffer of 6 rows cannot hold 7 completions"):
        filled(shared_tiny, method, [Example(prompt=f"q{n}", completion=f" {n}") for n in range(5)])


def test_what_surprises_before_it_is_learned_is_kept(tiny: CausalModel) -> None:
    known = [Example(prompt=f"Question: What is {n} plus 2?\nAnswer:", completion=f" {n + 2}") for n in range(8)]
    strange = [Example(prompt=f"Question: What is {n} plus 3?\nAnswer:", completion=" mayor") for n in range(4)]
    method = Replay(rows=4, kind="surprise")
    learner = Gradient([method], Settings(rate=1e-3, passes=12, batch=4))
    learner.learn(tiny, Experience("e", (*known, *strange)))
    assert set(method.buffer.examples()) == set(strange)
    rows = tiny.encoder.rows([*known, *strange])
    later = dict(zip([row.id for row in rows], row_losses(tiny, rows), strict=True))
    assert isinstance(method.buffer, Surprising)
    assert all(surprise > 2 * later[key] for key, (surprise, _) in method.buffer.kept.items()), "measured after learning"
    assert method.surprise == {}


def test_a_buffer_of_another_kind_is_refused() -> None:
    with pytest.raises(StateError, match="kind 'balanced', this one 'reservoir'"):
        Replay().load(Replay(kind="balanced").state())
    with pytest.raises(StateError, match="no buffer"):
        Replay().load({"kind": "reservoir"})
