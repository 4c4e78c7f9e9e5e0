"""What a version was asked and what it answered, as it was kept; nothing is loaded to read it."""

from __future__ import annotations

from everlearn.evaluate.scores import Answer
from everlearn.types import Example
from everlearn.versions.difference import VersionDifference, compare_answers
from everlearn.versions.home import Home
from everlearn.versions.record import Version


def answers_of(home: Home, version: Version) -> dict[str, dict[str, Answer]]:
    """What a version answered when it was measured."""
    saved = home.objects.get_json(version.kept.answers)
    return {
        task: {key: Answer(value, said, bool(old)) for key, value, said, old in zip(of["ids"], of["values"], of["said"], of["old"], strict=True)}
        for task, of in saved.items()
    }


def rows_asked(home: Home, version: Version) -> dict[str, tuple[Example, ...]]:
    """The version's test rows by task, without any that were taken back."""
    found = {task: tuple(Example.from_json(row) for row in home.objects.get_json(of["rows"])) for task, of in home.objects.get_json(version.kept.tests).items()}
    return {task: rows for task, rows in found.items() if rows}


def kept_difference(home: Home, before: Version, after: Version) -> VersionDifference:
    """Which answers flipped between two versions, over the rows that both were asked when they were measured."""
    rows = {**rows_asked(home, before), **rows_asked(home, after)}
    said = answers_of(home, before), answers_of(home, after)
    found = {task: compare_answers(task, of, said[0].get(task, {}), said[1].get(task, {})) for task, of in rows.items()}
    numbers = (before.number, before.id), (after.number, after.id)
    return VersionDifference(*numbers, tuple(d for d in found.values() if d is not None), tuple(task for task, d in found.items() if d is None))
