"""Codes: radii split and widen as in the paper, deleting one leaves what would be there without it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from everlearn import Example, StateError
from everlearn.memory.codes import Codes, answer_of, nearest_keys, settled


def edit(question: str, answer: str = " a") -> Example:
    return Example(prompt=question, completion=answer)


def keys(*places: float) -> Tensor:
    return torch.tensor([[place, 0.0] for place in places])


def filled(*edits: tuple[str, str, float], radius: float = 0.1) -> Codes:
    codes = Codes(radius)
    for question, answer, place in edits:
        codes.add([edit(question, answer)], keys(place), torch.tensor([[place]]))
    return codes


def test_a_code_holds_within_its_radius_and_nowhere_else() -> None:
    codes = filled(("one", " a", 10.0), ("two", " b", 20.0))
    assert codes.find(keys(10.0, 10.99, 11.1, 18.1, 17.9, 100.0)).tolist() == [0, 0, -1, 1, -1, -1]
    assert Codes(0.1).find(keys(1.0, 2.0)).tolist() == [-1, -1]
    assert codes.find(torch.empty(0, 2)).tolist() == []


def test_two_of_different_answers_end_half_way_and_no_point_is_claimed_by_both() -> None:
    codes = filled(("one", " a", 10.0), ("two", " b", 11.0), radius=0.2)
    assert codes.find(keys(10.4, 10.6, 12.0)).tolist() == [0, 1, -1]
    assert float(codes.radii.sum()) < 1.0


def test_one_of_the_same_answer_widens_the_older() -> None:
    codes = filled(("one", " a", 10.0), ("two", " a", 11.5), radius=0.1)
    assert codes.radii.tolist() == [1.5, pytest.approx(1.15)]
    assert filled(("one", " a", 10.0), ("two", " a", 13.0), radius=0.1).radii.tolist() == [1.0, pytest.approx(1.3)]


def test_what_is_taken_away_leaves_what_would_be_there_without_it() -> None:
    every = [("one", " a", 10.0), ("two", " b", 11.0), ("three", " a", 10.2), ("one", " c", 10.0)]
    for gone in range(len(every)):
        rest = [one for at, one in enumerate(every) if at != gone]
        codes, without = filled(*every, radius=0.2), filled(*rest, radius=0.2)
        assert codes.remove({edit(*every[gone][:2]).id}) == 1
        assert torch.equal(codes.radii, without.radii)
        grid = torch.stack([torch.linspace(7, 14, 200), torch.zeros(200)], 1)
        assert codes.find(grid).tolist() == without.find(grid).tolist()
    assert filled(*every).remove({"unknown"}) == 0


def test_of_one_question_the_newest_holds_and_the_older_returns_without_it() -> None:
    codes = filled(("mayor", " Ann", 10.0), ("other", " x", 20.0), ("mayor", " Bo", 10.0))
    assert codes.holding() == [1, 2]
    assert codes.find(keys(10.0)).tolist() == [2]
    codes.remove({edit("mayor", " Bo").id})
    assert codes.find(keys(10.0)).tolist() == [0]
    codes.add([edit("mayor", " Ann")], keys(10.0), torch.tensor([[1.0]]))
    assert len(codes) == 2, "made again, not twice"


def test_the_nearest_key_is_exact_where_squares_are_large() -> None:
    queries = torch.tensor([[10_000.0, 0.001], [10_000.0, 0.009]])
    distance, at = nearest_keys(queries, torch.tensor([[10_000.0, 0.0], [10_000.0, 0.01], [0.0, 0.0]]))
    assert at.tolist() == [0, 1]
    assert distance.tolist() == pytest.approx([0.001, 0.001], rel=1e-3)


def test_radii_of_a_thousand_are_those_one_by_one() -> None:
    draw = torch.Generator().manual_seed(0)
    places, answers = torch.randn(60, 3, generator=draw), [f" {n % 4}" for n in range(60)]
    radii = 0.3 * places.norm(dim=1)
    for at in range(1, 60):
        gaps = (places[:at] - places[at]).norm(dim=1)
        near = int(gaps.argmin())
        if gaps[near] <= radii[near] + radii[at]:
            if answers[near] == answers[at]:
                radii[near] = max(radii[near], gaps[near])
            else:
                radii[near], radii[at] = min(radii[near], gaps[near] / 2 * (1 - 1e-5)), min(radii[at], gaps[near] / 2)
    torch.testing.assert_close(settled(places, answers, 0.3), radii)


def test_a_state_comes_back_and_another_is_refused() -> None:
    codes, again = filled(("one", " a", 10.0), ("two", " b", 11.0)), Codes(0.1)
    again.load(codes.state())
    assert (again.edits, again.radii.tolist(), again.find(keys(10.2)).tolist()) == (codes.edits, codes.radii.tolist(), [0])
    with pytest.raises(StateError, match=r"holds no codes .keys=.'keys'"):
        again.load({"keys": 1})


def test_an_answer_is_what_is_said_last() -> None:
    assert answer_of(Example(prompt="a", completion=" b")) == " b"
    assert answer_of(Example(prompt="a", chosen=" c", rejected=" d")) == " c"
    assert answer_of(Example(messages=({"role": "user", "content": "a"}, {"role": "assistant", "content": "e"}))) == "e"
