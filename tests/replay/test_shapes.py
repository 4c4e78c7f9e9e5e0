"""Shapes of prompts: what is rare in them, and what they are near to."""

from __future__ import annotations

from random import Random

import pytest

from everlearn.replay.shapes import Prompts, crossed, words

TOWNS = ["Ashford", "Oakwick", "Penbury", "青溪"]
PEOPLE = ["Nora Ingram", "Hugo Marsh", "王伟"]
GIVEN = Prompts([f"Who is the mayor of {town}?" for town in TOWNS] + [f"What is {person}'s home town?" for person in PEOPLE], rare=0.1)


@pytest.mark.parametrize("text", ["Who is 王伟's boss?\nAnswer:", "", "naïve cafés, 3 of them", "どこ 어디"])
def test_words_together_are_the_text(text: str) -> None:
    assert "".join(words(text)) == text


def test_a_run_of_rare_words_is_one_hole() -> None:
    assert {(s.before, s.after) for s in GIVEN.shapes} == {("Who is the mayor of ", "?"), ("What is ", "'s home town?")}


def test_the_rarer_kind_of_question_weighs_more() -> None:
    many = Prompts([f"Who is the mayor of T{n}?" for n in range(30)] + [f"What is P{n}'s home?" for n in range(10)], rare=0.05)
    weights = {shape.before: shape.weight for shape in many.shapes}
    assert weights["What is "] == pytest.approx(3 * weights["Who is the mayor of "])


def test_overlap_is_the_largest_share_of_a_prompts_rare_words() -> None:
    assert GIVEN.overlap("Nora's home") == 0.5
    assert GIVEN.overlap("王's home") == 0.5
    assert GIVEN.overlap("Hugo Marsh of Oakwick") == 1.0
    assert GIVEN.overlap("Who is the mayor of Wolfgate?") == 0.0


def test_leads_stop_before_what_a_prompt_is_about() -> None:
    assert GIVEN.leads() == ["Who is the mayor of ", "What is "]


def test_phrases_cross_only_where_they_are_equally_long() -> None:
    assert {crossed("Nora Ingram", "Hugo Marsh", Random(n)) for n in range(9)} == {"Nora Marsh"}
    assert crossed("Ashford", "Oakwick", Random(0)) == "Ashford"
    assert crossed("Nora Ingram", "王伟", Random(0)) == "Nora Ingram"


def test_no_prompts_have_no_shapes() -> None:
    nothing = Prompts([])
    assert (nothing.shapes, nothing.leads(), nothing.overlap("anything")) == ([], [], 0.0)
