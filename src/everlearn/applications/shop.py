"""The generated default of the service desk: what the almanac's world answers on prices, heads and seats, asked in many ways, changing every year."""

from __future__ import annotations

from random import Random

from everlearn.applications.service import Policy, Question, Service
from everlearn.streams.almanac import FIRST_YEAR, Almanac, Fact
from everlearn.streams.skills import arithmetic
from everlearn.streams.words import BY_NAME, SEEN, UNSEEN, phrased

# Of each matter's ways to ask: four are known, one is asked on the way, one is for the threshold; those for tests are taught to no model.
PARTS = ("train", "train", "train", "train", "live", "valid")
STRANGE = 8  # of each part, questions that are nobody's: sums, and matters without a policy


def shop(seed: int = 0, years: int = 3, changes: int = 8, news: int = 4, stays: int = 12) -> Service:
    """Every year after the first `changes` policies are replaced and `news` begin; `stays` never change. Every run the same."""
    world, random = Almanac(future=seed, changed=changes, appeared=news), Random(f"shop/{seed}")
    events = [fact for year in range(1, years + 1) for fact in world.events(year)]
    keys, first = {fact.key for fact in events}, world.truth(0)
    never = [fact for fact in first.values() if fact.key not in keys]
    facts = [*(first[key] for key in sorted(keys) if key in first), *random.sample(never, stays), *events]
    elsewhere = [fact for fact in Almanac(seed=seed + 1000, facts=60).truth(0).values() if fact.key not in first and fact.key not in keys]
    policies = tuple(Policy(fact.key, fact.answer, _since(fact), f"almanac {FIRST_YEAR + fact.since}") for fact in facts)
    begun = {fact.key: fact for fact in reversed(facts)}  # the first of each matter
    questions = [question for fact in begun.values() for question in _asked(fact, random)]
    strange = zip(("live", "valid", "test") * STRANGE, random.sample(elsewhere, 3 * STRANGE), strict=True)
    questions += [Question(text, "", part) for part, fact in strange for text in _strange(fact, random)]
    about = f"{len(begun)} matters of a made-up world, {len(policies) - len(begun)} of their answers replaced in {years} years"
    return Service("generated", policies, tuple(questions), "Question: {question}\nAnswer:", True, about)


def _since(fact: Fact) -> str:
    return f"{FIRST_YEAR + fact.since}-01-01"


def _asked(fact: Fact, random: Random) -> list[Question]:
    relation, since = BY_NAME[fact.relation], _since(fact)
    ways = [(form, part) for form, part in zip(random.sample(SEEN, len(PARTS)), PARTS, strict=True)] + [(form, "test") for form in UNSEEN]
    return [Question(phrased(form, relation, fact.subject), fact.key, part, since) for form, part in ways]


def _strange(fact: Fact, random: Random) -> list[str]:
    """What no policy answers: a matter of the same kind, and a sum."""
    total = arithmetic(random)[0].removeprefix("Question: ").removesuffix("\nAnswer:")
    return [phrased(random.choice(UNSEEN), BY_NAME[fact.relation], fact.subject), total]
