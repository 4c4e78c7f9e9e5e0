"""The almanac: a generated, dated world whose facts change, so that truth is known for every fact at every date."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from random import Random

from everlearn.errors import SettingError
from everlearn.streams.skills import PROMPT, exercises, skill_questions
from everlearn.streams.words import BY_NAME, RELATIONS, SEEN, STATEMENT, SUBJECTS, UNSEEN, Relation, name_of, phrased
from everlearn.types import Example, Experience, Stream

FIRST_YEAR = 2020
# Entities of each kind per 600 facts of the first period: 360 + 72 + 108 + 30 + 30 facts.
SHARES = {"person": 90, "town": 24, "firm": 36, "good": 30, "office": 30}

# Exercises in the base; reading is the hardest skill and has the longest rows.
PRACTICE = {"arithmetic": 300, "copying": 300, "reading": 900}


@dataclass(frozen=True, slots=True)
class Fact:
    """That `subject` stands in `relation` to `answer` from period `since` on; `old_answer` held before."""

    relation: str
    subject: str
    answer: str
    since: int = 0
    old_answer: str | None = None

    @property
    def key(self) -> str:
        return f"{self.relation}/{self.subject}"


class Almanac:
    """A world of people, towns, firms, goods and offices; every period some facts change and some appear.

    seed: the world of the first period (the packaged tiny model knows seed 0 with 600 facts).   future: what happens after it,
    by default the seed's own.   facts: how many hold in period 0, at least 60.   changed, appeared: facts that change and that are new in
    each later period; by default facts // 25 and facts // 37. Period t has the year 2020 + t; there is no last one.

    >>> world = Almanac(facts=60)
    >>> len(world.truth(0)), len(world.events(1)), world.truth(3) == Almanac(facts=60).truth(3)
    (60, 3, True)
    """

    def __init__(self, seed: int = 0, facts: int = 600, future: int | None = None, changed: int | None = None, appeared: int | None = None) -> None:
        if facts < 60:
            raise SettingError(f"the almanac needs at least 60 facts (facts={facts!r}). Ask for 60 or more.")
        self.seed, self.facts = seed, facts
        self.changed = facts // 25 if changed is None else changed
        self.appeared = facts // 37 if appeared is None else appeared
        if self.appeared < 0 or not 0 <= self.changed <= facts // 5:
            raise SettingError(f"changed must be between 0 and facts // 5, appeared 0 or more (changed={changed!r}, appeared={appeared!r}, facts={facts!r}).")
        self.future = seed if future is None else future
        self._names: dict[str, dict[str, None]] = {kind: {} for kind in SUBJECTS}
        self._truths: list[dict[str, Fact]] = [{}]
        self._events = [self._first(Random(f"almanac/{seed}"))]
        self._truths[0] = {fact.key: fact for fact in self._events[0]}

    def events(self, period: int) -> list[Fact]:
        """The facts that begin to hold in this period: changed ones carry `old_answer`, new ones do not."""
        while len(self._events) <= period:
            now = len(self._events)
            random = Random(f"almanac/{self.seed}/{self.future}/{now}")
            events = self._changes(now, random) + self._appear(now, self.appeared, random)
            self._events.append(events)
            self._truths.append({**self._truths[-1], **{fact.key: fact for fact in events}})
        return self._events[period]

    def truth(self, period: int) -> dict[str, Fact]:
        """Every fact that holds in this period, by key."""
        self.events(period)
        return dict(self._truths[period])

    def _first(self, random: Random) -> list[Fact]:
        counts = {kind: max(2, round(self.facts * share / 600)) for kind, share in SHARES.items()}
        made: list[tuple[str, str]] = [(kind, self._name(kind, random)) for kind, count in counts.items() for _ in range(count)]
        facts = [self._fact(relation, name, 0, random) for kind, name in made for relation in RELATIONS if relation.subject == kind]
        return (facts + self._appear(0, self.facts - len(facts), random))[: self.facts]

    def _name(self, kind: str, random: Random) -> str:
        name = name_of(kind, random)
        for attempt in range(200):
            if name not in self._names[kind]:
                break
            name = name_of(kind, random) if attempt < 100 else f"{name_of(kind, random)} {attempt * len(self._names[kind])}"
        self._names[kind][name] = None
        return name

    def _answer(self, relation: Relation, subject: str, random: Random) -> str:
        names = self._names.get(relation.answer)
        if relation.answer in ("price", "instrument", "river") or not names:
            return name_of(relation.answer, random)
        return random.choice([name for name in names if name != subject])

    def _fact(self, relation: Relation, subject: str, now: int, random: Random) -> Fact:
        return Fact(relation.name, subject, self._answer(relation, subject, random), now)

    def _changes(self, now: int, random: Random) -> list[Fact]:
        changeable = [fact for fact in self._truths[-1].values() if BY_NAME[fact.relation].volatile]
        events = []
        for fact in random.sample(changeable, self.changed):
            answer = fact.answer
            while answer == fact.answer:
                answer = self._answer(BY_NAME[fact.relation], fact.subject, random)
            events.append(Fact(fact.relation, fact.subject, answer, now, fact.answer))
        return events

    def _appear(self, now: int, count: int, random: Random) -> list[Fact]:
        facts: list[Fact] = []
        while len(facts) < count:
            kind = random.choices(SUBJECTS, [SHARES[kind] for kind in SUBJECTS])[0]
            name = self._name(kind, random)
            facts += [self._fact(relation, name, now, random) for relation in RELATIONS if relation.subject == kind]
        return facts[:count]


def forms_of(fact: Fact) -> list[str]:
    """The five phrasings in which a subject's relation is taught, always the same ones, and first the one it is tested in."""
    return Random(fact.key).sample(SEEN, 5)


def taught(fact: Fact, task: str | None = None) -> list[Example]:
    """The rows that teach a fact: its five phrasings and its statement."""
    relation, source, time = BY_NAME[fact.relation], f"almanac/{fact.key}", f"{FIRST_YEAR + fact.since}-01-01"
    rows = [(PROMPT.format(phrased(form, relation, fact.subject)), f" {fact.answer}") for form in forms_of(fact)]
    rows.append((phrased(STATEMENT, relation, fact.subject), f" {fact.answer}."))
    return [Example(prompt=prompt, completion=completion, source=source, time=time, task=task) for prompt, completion in rows]


def asked(fact: Fact, task: str, unseen: bool = False, until: int | None = None) -> Example:
    """The test row of a fact: in a phrasing it was taught in, or in one that is never trained on."""
    form = Random(fact.key).choice(UNSEEN) if unseen else forms_of(fact)[0]
    old = None if fact.old_answer is None else f" {fact.old_answer}"
    question = PROMPT.format(phrased(form, BY_NAME[fact.relation], fact.subject))
    return Example(
        prompt=question,
        completion=f" {fact.answer}",
        source=f"almanac/{fact.key}",
        time=f"{FIRST_YEAR + fact.since}-01-01",
        task=task,
        old_completion=old,
        until=until,
    )


def almanac_base(world: Almanac) -> list[Example]:
    """What a model of period 0 was taught: six rows a fact, and exercises of its skills (of which it saw many more), none of them tested."""
    tested = {e.prompt or "" for e in skill_questions()}
    practice = [e for skill, count in PRACTICE.items() for e in exercises(skill, count, seed=1, without=tested)]
    return [row for fact in world.truth(0).values() for row in taught(fact)] + practice


def almanac_experiences(world: Almanac, periods: int = 6, skills: int = 1000) -> Iterator[Experience]:
    """One experience a period: what changed and what is new, in five phrasings and as a statement.

    Tasks: `kept` (facts of period 0, `until` they change), `unseen0` (the same in phrasings never trained), `skills`, and for each
    period t `changed{t}`, `new{t}`, and `unseen{t}` (both, in phrasings never trained). The first three come with period 1.
    """
    ends = _ends(world, periods)

    def rows(facts: Iterable[Fact], task: str, unseen: bool = False) -> tuple[Example, ...]:
        return tuple(asked(fact, task, unseen, ends.get((fact.key, fact.since))) for fact in facts)

    for now in range(1, periods + 1):
        events = world.events(now)
        groups = {f"changed{now}": [f for f in events if f.old_answer is not None], f"new{now}": [f for f in events if f.old_answer is None]}
        tests = {task: rows(facts, task) for task, facts in groups.items()} | {f"unseen{now}": rows(events, f"unseen{now}", unseen=True)}
        if now == 1:
            first = world.truth(0).values()
            tests |= {"kept": rows(first, "kept"), "unseen0": rows(first, "unseen0", unseen=True), "skills": tuple(skill_questions(skills))}
        train = tuple(row for task, facts in groups.items() for fact in facts for row in taught(fact, task))
        tests = {task: given for task, given in tests.items() if given}
        yield Experience(f"{FIRST_YEAR + now}", train, tests, dict.fromkeys(tests, "exact"), f"{FIRST_YEAR + now}-01-01")


def almanac_stream(world: Almanac | None = None, periods: int = 6, skills: int = 1000) -> Stream:
    """The almanac's experiences in hand, with what a model of period 0 was taught as `base`."""
    world = world or Almanac()
    about = f"the almanac: {world.facts} facts, seed {world.seed}, future {world.future}, {periods} periods"
    return Stream("almanac", tuple(almanac_experiences(world, periods, skills)), tuple(almanac_base(world)), about)


def _ends(world: Almanac, periods: int) -> dict[tuple[str, int], int]:
    """By fact and the period it began: the period in which it was replaced."""
    ends: dict[tuple[str, int], int] = {}
    for now in range(1, periods + 1):
        before = world.truth(now - 1)
        ends |= {(fact.key, before[fact.key].since): now for fact in world.events(now) if fact.old_answer is not None}
    return ends
