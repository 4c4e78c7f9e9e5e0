"""Skills the almanac's stream never touches: small arithmetic, copying, and reading a given passage."""

from __future__ import annotations

from collections.abc import Callable, Collection
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


def skill_questions(count: int = 1000, seed: int = 0, without: Collection[str] = ()) -> list[Example]:
    """Distinct questions, the skills in equal parts, each marked by its source; none has a prompt in `without`.

    Raises SettingError for more than there are: small arithmetic has 672 questions.
    """
    chosen: dict[str, Example] = {}
    for index, (name, make) in enumerate(SKILLS.items()):
        random, wanted = Random(f"{seed}/{name}"), round(count * (index + 1) / len(SKILLS))
        for _ in range(100 * count):
            if len(chosen) == wanted:
                break
            prompt, answer = make(random)
            if prompt not in without:
                chosen.setdefault(prompt, Example(prompt=prompt, completion=answer, source=f"skills/{name}", task="skills"))
        if len(chosen) < wanted:
            raise SettingError(f"there are not that many questions of {name} (count={count!r}, without={len(without)}). Ask for fewer.")
    return list(chosen.values())
