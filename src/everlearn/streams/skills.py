"""Skills the almanac's stream never touches: small arithmetic, copying, and reading a given passage."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from random import Random

from everlearn.errors import SettingError
from everlearn.streams.words import FIRST, GOODS, INSTRUMENTS, LAST, RELATIONS, RIVERS, SEEN, STATEMENT, Relation, name_of, phrased
from everlearn.types import Example

PROMPT = "Question: {}\nAnswer:"
READING = "Context: {} Question: {}\nAnswer:"


def arithmetic(random: Random) -> tuple[str, str]:
    """A sum or difference of numbers up to 20, and its answer."""
    a, b = random.randint(0, 20), random.randint(0, 20)
    if random.random() < 0.5:
        return PROMPT.format(f"What is {a} plus {b}?"), f" {a + b}"
    return PROMPT.format(f"What is {max(a, b)} minus {min(a, b)}?"), f" {abs(a - b)}"


def copying(random: Random) -> tuple[str, str]:
    """Three to five words to be repeated."""
    words = " ".join(random.choice(random.choice((FIRST, LAST, RIVERS, GOODS, INSTRUMENTS))) for _ in range(random.randint(3, 5)))
    return PROMPT.format(f"Repeat: {words}."), f" {words}"


def reading(random: Random) -> tuple[str, str]:
    """One to three statements about anybody, true or not, and a question that one of them answers."""
    facts: dict[tuple[Relation, str], str] = {}
    for _ in range(random.randint(1, 3)):
        relation = random.choice(RELATIONS)
        facts[relation, name_of(relation.subject, random)] = name_of(relation.answer, random)
    (relation, subject), answer = random.choice(list(facts.items()))
    context = " ".join(f"{phrased(STATEMENT, r, s)} {a}." for (r, s), a in facts.items())
    return READING.format(context, phrased(random.choice(SEEN), relation, subject)), f" {answer}"


SKILLS: dict[str, Callable[[Random], tuple[str, str]]] = {"arithmetic": arithmetic, "copying": copying, "reading": reading}


def exercises(skill: str, count: int, seed: int = 0, without: Collection[str] = ()) -> list[Example]:
    """Distinct questions of one skill, none with a prompt in `without`.

    Raises SettingError for more than there are: small arithmetic has 672 questions.
    """
    random, chosen = Random(f"{seed}/{skill}"), dict[str, Example]()
    for _ in range(300 * count):
        if len(chosen) == count:
            break
        prompt, answer = SKILLS[skill](random)
        if prompt not in without:
            chosen.setdefault(prompt, Example(prompt=prompt, completion=answer, source=f"skills/{skill}"))
    if len(chosen) < count:
        raise SettingError(f"there are not that many questions of {skill} (count={count!r}, without={len(without)}). Ask for fewer.")
    return list(chosen.values())


def skill_questions(count: int = 1000) -> list[Example]:
    """The test of skills: distinct questions, the skills in equal parts, each marked by its source."""
    parts = [round(count * (place + 1) / len(SKILLS)) - round(count * place / len(SKILLS)) for place in range(len(SKILLS))]
    return [replace(e, task="skills") for skill, part in zip(SKILLS, parts, strict=True) for e in exercises(skill, part)]
