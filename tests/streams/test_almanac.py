"""The almanac: endless, seeded, and true at every date."""

from __future__ import annotations

from pathlib import Path

import pytest

from everlearn import Almanac, SettingError, almanac_stream, load_stream, save_stream
from everlearn.evaluate.tasks import tasks_of
from everlearn.streams.almanac import almanac_base, forms_of, taught
from everlearn.streams.almanac_shares import Asked, almanac_shares, share
from everlearn.streams.skills import SKILLS, exercises, skill_questions
from everlearn.streams.words import RELATIONS, SEEN, UNSEEN
from everlearn.types import Example


def test_the_same_seed_is_the_same_world_and_another_is_another() -> None:
    assert Almanac(seed=3).truth(2) == Almanac(seed=3).truth(2)
    assert Almanac(seed=3).truth(0) != Almanac(seed=4).truth(0)


def test_two_futures_share_their_first_period_alone() -> None:
    assert Almanac(future=0).truth(0) == Almanac(future=1).truth(0)
    assert Almanac(future=0).truth(1) != Almanac(future=1).truth(1)


def test_every_period_some_facts_change_some_appear_and_most_stay() -> None:
    world = Almanac()
    for now in range(1, 7):
        before, after = world.truth(now - 1), world.truth(now)
        changed = [fact for fact in world.events(now) if fact.old_answer is not None]
        assert len(changed) == 24
        assert len(after) - len(before) == 16
        assert all(before[fact.key].answer == fact.old_answer != fact.answer for fact in changed)
        assert all(after[key] == fact for key, fact in before.items() if key not in {f.key for f in changed})


@pytest.mark.parametrize("facts", [60, 600, 3000])
def test_it_has_any_size_and_never_ends(facts: int) -> None:
    world = Almanac(facts=facts)
    assert len(world.truth(0)) == facts
    later = world.truth(150)
    assert len(later) == facts + 150 * world.appeared
    assert len({(fact.relation, fact.subject) for fact in later.values()}) == len(later)


def test_names_are_english_and_chinese() -> None:
    names = {fact.subject for fact in Almanac().truth(0).values()}
    assert any("一" <= name[0] <= "鿿" for name in names)
    assert any(name.isascii() for name in names)


def test_no_test_phrasing_is_ever_taught() -> None:
    stream = almanac_stream()
    taught_prompts = {e.prompt for e in (*stream.base, *(e for experience in stream for e in experience.train))}
    for experience in stream:
        for task, rows in experience.tests.items():
            if task.startswith(("unseen", "skills")):
                assert not {e.prompt for e in rows} & taught_prompts
            else:
                assert {e.prompt for e in rows} <= taught_prompts
    assert not set(SEEN) & set(UNSEEN)


def test_a_fact_is_taught_in_five_phrasings_and_a_statement_always_the_same(almanac: Almanac) -> None:
    fact = almanac.events(1)[0]
    assert len(forms_of(fact)) == len(set(forms_of(fact))) == 5
    assert [row.completion for row in taught(fact)] == [f" {fact.answer}"] * 5 + [f" {fact.answer}."]
    old = almanac.truth(0)[fact.key]
    assert [row.prompt for row in taught(old)] == [row.prompt for row in taught(fact)]


def test_a_replaced_fact_counts_until_its_period(almanac: Almanac) -> None:
    stream = almanac_stream(almanac)
    changed = {fact.key for fact in almanac.events(1) if fact.old_answer}
    for row in stream.experiences[0].tests["kept"]:
        if row.source.removeprefix("almanac/") in changed:
            assert row.until == 1
    assert sum(row.until is None for row in stream.experiences[0].tests["kept"]) > 400


def test_every_task_has_its_place(almanac: Almanac) -> None:
    tasks = {task.name: task for task in tasks_of(almanac_stream(almanac).experiences)}
    assert {name: task.learned for name, task in tasks.items() if task.learned} == {f"{kind}{t}": t for kind in ("changed", "new") for t in range(1, 7)}
    assert len(tasks["skills"].examples) == 1000


def test_all_relations_and_skills_occur() -> None:
    assert {fact.relation for fact in Almanac().truth(0).values()} == {relation.name for relation in RELATIONS}
    assert {e.source for e in skill_questions(30)} == {f"skills/{name}" for name in SKILLS}


def test_arithmetic_is_right_and_reading_is_in_its_passage() -> None:
    for example in skill_questions(300):
        prompt, answer = example.prompt or "", (example.completion or "").strip()
        if example.source == "skills/arithmetic":
            words = prompt.removeprefix("Question: What is ").removesuffix("?\nAnswer:").split()
            assert int(answer) == (int(words[0]) + int(words[2]) if words[1] == "plus" else int(words[0]) - int(words[2]))
        elif example.source == "skills/reading":
            assert f" is {answer}." in prompt
        else:
            assert prompt == f"Question: Repeat: {answer}.\nAnswer:"


def test_it_survives_a_folder(tmp_path: Path, almanac: Almanac) -> None:
    stream = almanac_stream(almanac, periods=2, skills=30)
    save_stream(stream, tmp_path / "almanac")
    assert load_stream(tmp_path / "almanac") == stream


def test_the_base_holds_six_rows_a_fact_and_exercises(almanac: Almanac) -> None:
    base = almanac_base(almanac)
    assert len(base) == 600 * 6 + 1500
    assert all(e.task is None for e in base)


def test_too_small_a_world_is_refused() -> None:
    with pytest.raises(SettingError, match="facts=10"):
        Almanac(facts=10)
    with pytest.raises(SettingError, match="changed=99"):
        Almanac(facts=100, changed=99)


def test_more_arithmetic_than_there_is_is_refused() -> None:
    with pytest.raises(SettingError, match="questions of arithmetic .count=700"):
        exercises("arithmetic", 700)


def test_the_shares_are_what_they_say() -> None:
    def asked(value: float, source: str = "s", until: int | None = None, old: bool = False, learned: float = 1.0) -> Asked:
        return Asked(Example(prompt=f"{value}{source}{until}{old}", completion=" x", source=source, until=until), value, old, learned)

    rows = {
        "kept": [asked(1, "a"), asked(0, "b"), asked(0, "c"), asked(0, "d", until=1)],
        "changed1": [asked(0, old=True), asked(1), asked(0, until=2, learned=0.0)],
        "new1": [asked(1)],
        "unseen0": [asked(1), asked(0)],
        "skills": [asked(0, learned=1.0), asked(1, learned=1.0)],
    }
    numbers = almanac_shares(rows, rehearsed={"b"})
    assert numbers["kept"] == {"kept": [1, 0, 0, None]}
    found = {metric: share(of) for metric, of in numbers.items()}
    assert found["kept"] == pytest.approx(1 / 3)
    assert found["kept_never_rehearsed"] == 0.5
    assert found["changed"] == pytest.approx(2 / 3)
    assert found["changed_at_end"] == 0.5
    assert found["stale"] == 0.5
    assert found["seen_phrasing"] == 0.5
    assert found["unseen_phrasing"] == 0.5
    assert (found["skills"], found["skills_before"]) == (0.5, 1.0)
    assert share(almanac_shares({}, ())["kept"]) is None


@pytest.fixture
def almanac() -> Almanac:
    return Almanac()
