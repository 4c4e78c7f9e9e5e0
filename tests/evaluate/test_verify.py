"""Checks on answers: each holds where it should and fails where it should."""

from __future__ import annotations

import pytest

from everlearn import DataError
from everlearn.evaluate.verify import CHECKS, satisfied

CASES = [
    ({"words": [2, 3]}, ["two words", " now three words\n"], ["one", "these are four words", ""]),
    ({"characters": [2, 2]}, ["北京", "北京。", "ok!"], ["北京市", "", "a"]),
    ({"case": "upper"}, ["LOUD 7!"], ["Loud", "7!", ""]),
    ({"case": "lower"}, ["quiet"], ["Quiet", "", "7"]),
    ({"items": [3, ","]}, ["a, b, c", "a,b,c."], ["a, b", "a, b, c, d", "a,, c", "a, b, "]),
    ({"items": [2, "，,"]}, ["红，蓝", "红,蓝"], ["红、蓝"]),
    ({"pattern": "(?i)yes[.!]?"}, ["Yes", "yes."], ["Yes, it is", "no", ""]),
    ({"any": ["Paris", "Lyon"]}, ["in PARIS", "lyon"], ["Nice", ""]),
    ({"all": ["lamp", "window"]}, ["A lamp, a Window."], ["A lamp.", ""]),
    ({"without": ["12"]}, ["twelve"], ["12 months"]),
    ({"starts": ["If "]}, ["If so."], ["if so", "What if "]),
    ({"ends": ["blue", "blue."]}, ["It is blue.", "blue"], ["blue it is", ""]),
    ({"script": "han"}, ["绿色", "7天吧"], ["green", "ok 绿", "", "7"]),
    ({"script": "latin"}, ["Cats like fish.", "Ça va"], ["猫", "cats 猫", "7", ""]),
    ({"json": ["a", "b"]}, ['{"b": 1, "a": [2]}'], ['{"a": 1}', "[1]", "a", "", "[" * 100_000]),
    (
        {"number": 1234},
        ["1234", "1,234.", "It is 12 and 34, so 1234", "= 1234 apples", "2000 − 766 = 1234"],
        ["12345", "1234.5", "1,2345", "0.1234", "-1234", "1234 and 5", ""],
    ),
    ({"number": -3}, ["-3", "It is −3."], ["3", "5-3"]),
]


@pytest.mark.parametrize(("checks", "good", "bad"), CASES, ids=[f"{next(iter(checks))}-{at}" for at, (checks, _, _) in enumerate(CASES)])
def test_a_check_holds_where_it_should_and_nowhere_else(checks: dict[str, object], good: list[str], bad: list[str]) -> None:
    assert [text for text in good if not satisfied(text, checks)] == []
    assert [text for text in bad if satisfied(text, checks)] == []


def test_every_check_is_covered() -> None:
    assert {name for checks, _, _ in CASES for name in checks} == set(CHECKS)


def test_all_checks_must_hold() -> None:
    assert satisfied("RED", {"case": "upper", "words": [1, 1]})
    assert not satisfied("RED CAR", {"case": "upper", "words": [1, 1]})


def test_an_unknown_check_is_refused() -> None:
    with pytest.raises(DataError, match="check='word'.*Did you mean 'words'"):
        satisfied("x", {"word": [1, 1]})
