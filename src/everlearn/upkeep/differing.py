"""The difference between two versions of a home, from what was kept or, where it was not, by asking them."""

from __future__ import annotations

from pathlib import Path

from everlearn.evaluate.scores import Answer
from everlearn.upkeep.arriving import TestSet, load_tests
from everlearn.upkeep.measuring import ask
from everlearn.upkeep.opening import open_version
from everlearn.versions.answers import answers_of, kept_difference
from everlearn.versions.difference import VersionDifference, compare_answers
from everlearn.versions.home import Home
from everlearn.versions.record import Version


def diff(home: Home | str | Path, before: str | int, after: str | int = "head", *, ask_again: bool = False) -> VersionDifference:
    """Which test rows flipped between two versions, with both answers, by task.

    By default from the answers each gave when it was measured, over the rows both were asked; nothing is loaded. ask_again: load them and ask every row
    of either's tests that is missing. Raises SettingError for no such version, StateError for one that was withdrawn.
    """
    place = home if isinstance(home, Home) else Home(home)
    one, other = place.version(before), place.version(after)
    for version in (one, other):
        place.usable(version)
    if not ask_again:
        return kept_difference(place, one, other)
    tests = {**load_tests(place, one.kept.tests), **load_tests(place, other.kept.tests)}
    known = [_all(place, version, tests, answers_of(place, version)) for version in (one, other)]
    found = {task: compare_answers(task, of.rows, known[0].get(task, {}), known[1].get(task, {})) for task, of in tests.items()}
    numbers = (one.number, one.id), (other.number, other.id)
    return VersionDifference(*numbers, tuple(d for d in found.values() if d is not None), tuple(task for task, d in found.items() if d is None))


def _all(home: Home, version: Version, tests: dict[str, TestSet], known: dict[str, dict[str, Answer]]) -> dict[str, dict[str, Answer]]:
    """The version's answers to all these rows."""
    if all(e.id in known.get(task, {}) for task, of in tests.items() for e in of.rows):
        return known
    return ask(open_version(home, version).served, tests, known)
