"""Shapes of prompts: what is rare in them, and what they are near to."""

from __future__ import annotations

from random import Random

import pytest

from everlearn.replay.shapes import Prompts, crossed, words

TOWNS = ["Ashford", "Oakwick", "Penbury", "青溪"]
PEOPLE = ["Nora Ingram", "Hugo Marsh", "王伟"]
MAYORS = [(form.format(town), f" Ann {n}") for n, town in enumerate(TOWNS) for form in ("Who is the mayor of {}?", "Name the mayor of {}.")]
HOMES = [(form.format(name), f" Home {n}") for n, name in enumerate(PEOPLE) for form in ("What is {}'s home town?", "Please name {}'s home town.")]
GIVEN = Prompts([*MAYORS, *HOMES], rare=0.15)


@pytest.mark.parametrize("text", ["Who is 王伟's boss?\nAnswer:", "", "naïve cafés, 3 of them", "どこ 어디"])
def test_words_together_are_the_text(text: str) -> None:
    assert "".join(words(text)) == text


def test_a_run_of_rare_words_is_one_hole() -> None:
    forms = ("Who is the mayor of _?", "Name the mayor of _.", "What is _'s home town?", "Please name _'s home town.")
    assert [shape.filled("_") for shape in GIVEN.shapes] == list(forms)


def test_a_kind_of_question_weighs_as_the_root_of_how_often_it_comes() -> None:
    many = Prompts([(f"Who is the mayor of T{n}?", "") for n in range(27)] + [(f"What is P{n}'s home?", "") for n in range(3)], rare=0.05)
    assert {shape.before: shape.weight for shape in many.shapes} == pytest.approx({"Who is the mayor of ": 27**0.5, "What is ": 3**0.5})


def test_a_question_is_what_all_its_phrasings_share() -> None:
    assert GIVEN.questions["What is Nora Ingram's home town?"] == {"Nora", "Ingram", "home", "town", "s"}
    assert GIVEN.questions["Name the mayor of Ashford."] == {"Ashford"}  # most prompts ask for mayors, so that word tells nothing


def test_overlap_is_of_the_question_in_whatever_phrasing() -> None:
    assert GIVEN.overlap("Is Nora Ingram's home a town?") == 1.0
    assert GIVEN.overlap("Who is Nora Ingram's boss?") == 0.6
    assert GIVEN.overlap("Who is 王's boss in his home town?") == 0.8
    assert GIVEN.overlap("I like Wolfgate") == 0.0


def test_leads_stop_before_what_a_prompt_is_about() -> None:
    assert GIVEN.leads() == ["Who is the mayor of ", "Name the mayor of ", "What is ", "Please name "]


def test_phrases_cross_only_where_they_are_equally_long() -> None:
    assert {crossed("Nora Ingram", "Hugo Marsh", Random(n)) for n in range(9)} == {"Nora Marsh"}
    assert crossed("Ashford", "Oakwick", Random(0)) == "Ashford"
    assert crossed("Nora Ingram", "王伟", Random(0)) == "Nora Ingram"


def test_no_prompts_have_no_shapes() -> None:
    nothing = Prompts([])
    assert (nothing.shapes, nothing.leads(), nothing.overlap("anything")) == ([], [], 0.0)
