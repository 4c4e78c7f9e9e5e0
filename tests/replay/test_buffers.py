"""Buffers: fair samples, equal room, deletion."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from everlearn import Example, SettingError
from everlearn.replay.buffers import Balanced, Reservoir


def texts(count: int, source: str = "") -> list[Example]:
    return [Example(text=f"{source}{n}", source=source) for n in range(count)]


def test_early_and_late_examples_are_kept_equally_often() -> None:
    """Ten of twelve offered: each should stay 0.833 of the time (Renate's reservoir keeps late ones 0.91 of it, early ones 0.82)."""
    kept: Counter[str] = Counter()
    examples, rounds = texts(12), 3000
    for seed in range(rounds):
        buffer = Reservoir(10)
        buffer.offer(examples, Random(seed))
        kept.update(e.id for e in buffer.kept)
    assert all(abs(kept[e.id] / rounds - 10 / 12) < 0.03 for e in examples)


def test_the_sample_is_as_fair_when_examples_come_in_parts() -> None:
    kept: Counter[str] = Counter()
    examples, rounds = texts(30), 3000
    for seed in range(rounds):
        buffer = Reservoir(6)
        for part in range(3):
            buffer.offer(examples[part * 10 : part * 10 + 10], Random(f"{seed}/{part}"))
        kept.update(e.id for e in buffer.kept)
    assert all(abs(kept[e.id] / rounds - 0.2) < 0.035 for e in examples)


def test_what_is_held_is_not_taken_twice() -> None:
    buffer = Reservoir(10)
    for _ in range(3):
        buffer.offer(texts(4), Random(0))
    assert (len(buffer), buffer.seen) == (4, 4)


def test_no_capacity_keeps_everything() -> None:
    buffer = Reservoir()
    buffer.offer(texts(500), Random(0))
    assert len(buffer) == 500


def test_sources_get_equal_room_even_when_one_comes_late() -> None:
    buffer = Balanced(30)
    buffer.offer(texts(100, "a"), Random(0))
    buffer.offer(texts(100, "b"), Random(1))
    buffer.offer(texts(100, "c"), Random(2))
    assert Counter(e.source for e in buffer.examples()) == {"a": 10, "b": 10, "c": 10}


def test_a_balanced_group_stays_a_fair_sample_when_it_shrinks() -> None:
    kept: Counter[str] = Counter()
    rounds = 2000
    for seed in range(rounds):
        buffer = Balanced(10)
        buffer.offer(texts(20, "a"), Random(f"{seed}a"))
        buffer.offer(texts(5, "b"), Random(f"{seed}b"))
        kept.update(e.id for e in buffer.examples() if e.source == "a")
    assert all(abs(kept[e.id] / rounds - 5 / 20) < 0.04 for e in texts(20, "a"))


def test_deleted_examples_are_gone_from_the_state_too() -> None:
    for buffer in (Reservoir(10), Balanced(10)):
        examples = texts(8, "a")
        buffer.offer(examples, Random(0))
        assert buffer.discard({examples[0].id, "unknown"}) == 1
        assert examples[0] not in buffer.examples()
        assert examples[0].id not in str(buffer.to_json())


def test_the_newer_of_two_answers_stays() -> None:
    old, new = Example(prompt="Mayor?", completion=" Ann"), Example(prompt="Mayor?", completion=" Bo")
    for buffer in (Reservoir(10), Balanced(10)):
        buffer.offer([old], Random(0))
        buffer.offer([new], Random(0))
        assert buffer.examples() == [new]
    both = Reservoir(10)
    both.offer([old, new], Random(0))
    assert both.examples() == [new]


def test_the_sample_stays_fair_after_supersession() -> None:
    """A hundred of a thousand kept, 200 answers replaced, 200 more come: all that hold are kept equally often, a twelfth each."""
    first = [Example(prompt=f"q{n}", completion=" old") for n in range(1000)]
    second = [Example(prompt=f"q{n}", completion=" new") for n in range(200)] + [Example(prompt=f"r{n}", completion=" x") for n in range(200)]
    groups: Counter[str] = Counter()
    rounds = 200
    for seed in range(rounds):
        buffer = Reservoir(100)
        buffer.offer(first, Random(f"{seed}a"))
        buffer.offer(second, Random(f"{seed}b"))
        groups.update("early" if e.completion == " old" else "newer" if e.completion == " new" else "late" for e in buffer.kept)
    shares = {"early": groups["early"] / 800 / rounds, "newer": groups["newer"] / 200 / rounds, "late": groups["late"] / 200 / rounds}
    assert all(abs(share - 1 / 12) < 0.012 for share in shares.values()), shares


def test_more_sources_than_room_are_refused() -> None:
    buffer = Balanced(3)
    with pytest.raises(SettingError, match="balanced buffer of 3 rows cannot hold 4 sources"):
        buffer.offer([Example(text=name, source=name) for name in "abcd"], Random(0))


def test_an_emptied_source_gives_its_room_back() -> None:
    buffer = Balanced(10)
    buffer.offer(texts(10, "a"), Random(0))
    buffer.discard({e.id for e in texts(10, "a")})
    buffer.offer(texts(20, "b"), Random(0))
    assert len(buffer) == 10
