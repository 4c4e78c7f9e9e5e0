"""How many answers feedback can name, and how much of them is held for that."""

from __future__ import annotations

from everlearn import Example
from everlearn.serve.remembered import Given, Remembered


def asked(size: int) -> Given:
    return Given("1", Example(prompt="é" * (size // 2), completion=""))


def test_the_oldest_go_by_number_and_by_bytes() -> None:
    last = Remembered(most=3, most_bytes=2000)
    for name in "abcd":
        last.add(name, asked(100))
    assert [name in last for name in "abcd"] == [False, True, True, True]
    before = last.bytes
    last.add("e", asked(1500))
    assert last.bytes <= 2000
    assert [name in last for name in "bcde"] == [False, True, True, True]
    last.add("f", asked(1900))
    assert [name in last for name in "cdef"] == [False, False, False, True]
    assert last["f"].version == "1"
    last.add("g", asked(3000))  # more than everything: it cannot be named
    assert ("g" in last, last.bytes) == (False, 0)
    assert before > 0
