"""What comes to a home: rows to learn, and rows to be tested on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from everlearn.errors import DataError
from everlearn.evaluate.scores import right
from everlearn.streams.files import read_examples
from everlearn.streams.folder import load_stream
from everlearn.types import Example, Experience, Score, superseded
from everlearn.versions.home import Home
from everlearn.versions.record import Arrived
from everlearn.versions.settings import HomeSettings, TestTable

Data = str | Path | Sequence[Example] | Experience
SHORT = 40  # characters up to which an answer is expected word for word
TAUGHT, HELD_OUT = "taught", "held out"


@dataclass(frozen=True, slots=True)
class TestSet:
    """A task's rows in a home. score: how they are scored.   chance: the score of a guess, where that is known."""

    __test__ = False
    score: Score
    rows: tuple[Example, ...]
    chance: float | None = None


@dataclass(frozen=True, slots=True)
class Arrival:
    """An update's rows and tests. told: what the tests cannot show, in sentences."""

    name: str
    rows: tuple[Example, ...]
    tests: Mapping[str, TestSet]
    told: tuple[str, ...] = ()

    @property
    def hash(self) -> str:
        """Of the rows and the tests."""
        rows = [[e.to_json() for e in self.rows], {name: [of.score, [e.to_json() for e in of.rows]] for name, of in self.tests.items()}]
        return hashlib.sha256(json.dumps(rows, sort_keys=True).encode()).hexdigest()[:32]


def arrival(data: Data, test: str | Path | Mapping[str, TestSet] | None, table: TestTable, name: str = "", most_bad: float = 0.0) -> Arrival:
    """Read what arrived; without test rows some of it is held out, by question. Raises DataError, with file and line."""
    rows, called = _rows(data, most_bad)
    rows = superseded(rows, rows)  # of two answers to one question the later one
    if not rows:
        raise DataError(f"there is nothing to learn (data={called!r}, rows=0). Give at least one row.")
    tests = read_tests(test, table) if test is not None else _experience_tests(data) if isinstance(data, Experience) else {}
    if tests:
        return Arrival(name or called, tuple(rows), {task: replace(of, rows=_most(of.rows, table.most_rows)) for task, of in tests.items()})
    kept, out = _held_out(rows, table.held_out)
    asked = [e for e in kept if e.chosen is None]
    made = _grouped([*((e.task or TAUGHT, e) for e in asked), *((e.task or HELD_OUT, e) for e in out)], table)
    again = {e.id for e in asked}
    return Arrival(name or called, tuple(kept), made, _cannot_show(len(out), sum(e.id in again for of in made.values() for e in of.rows)))


def read_tests(test: str | Path | Mapping[str, TestSet], table: TestTable) -> dict[str, TestSet]:
    """Tests as they are given: tasks, a stream's folder, or a file, by the rows' `task` or the file's name."""
    if isinstance(test, Mapping):
        return dict(test)
    path = Path(test)
    if path.is_dir():
        return {task: of for e in load_stream(path) for task, of in _experience_tests(e).items()}
    return as_tests(read_examples(path), table, path.name.partition(".")[0])


def as_tests(rows: Iterable[Example], table: TestTable, name: str) -> dict[str, TestSet]:
    """Rows as tasks: by their `task`, else `name`; those that need different scores apart."""
    return _grouped([(row.task or name, row) for row in rows], table)


def _grouped(rows: Iterable[tuple[str, Example]], table: TestTable) -> dict[str, TestSet]:
    groups: dict[tuple[str, Score], list[Example]] = {}
    for task, row in rows:
        groups.setdefault((task, table.score or _score(row)), []).append(row)
    twice = [task for task, _ in groups]
    return {
        task if twice.count(task) == 1 else f"{task} ({score})": TestSet(score, _most(tuple(found), table.most_rows)) for (task, score), found in groups.items()
    }


def merged(old: Mapping[str, TestSet], new: Mapping[str, TestSet], most: int) -> dict[str, TestSet]:
    """Earlier tests and new ones as one set a task, at most `most` rows of each."""
    found = dict(old)
    for task, of in new.items():
        before = found.get(task)
        if before is not None and before.score != of.score:
            raise DataError(f"a task has two scores (task={task!r}, before {before.score!r}, now {of.score!r}). Rename the new task, or score it alike.")
        rows = {e.id: e for e in (*(before.rows if before else ()), *of.rows)}
        found[task] = replace(of, rows=_most(tuple(rows.values()), most))
    return found


def still_true(old: Mapping[str, TestSet], arrived: Arrival) -> dict[str, TestSet]:
    """The earlier tests without rows that what arrived answers differently, or asks again."""
    now = [*arrived.rows, *(e for of in arrived.tests.values() for e in of.rows)]
    asked = {(task, e.id) for task, of in arrived.tests.items() for e in of.rows}  # again: as new rows, not as earlier ones
    left = {task: replace(of, rows=tuple(e for e in superseded(of.rows, now) if (task, e.id) not in asked)) for task, of in old.items()}
    return {task: of for task, of in left.items() if of.rows}


def with_old_answers(new: Mapping[str, TestSet], old: Mapping[str, TestSet]) -> dict[str, TestSet]:
    """The new tests, each row told what its question's answer was before, so that staleness can be seen."""
    said = {e.question: right(e) for of in old.values() for e in of.rows if e.question is not None}

    def told(e: Example) -> Example:
        before = said.get(e.question or "")
        return e if e.old_completion is not None or before is None or before == right(e) else replace(e, old_completion=before)

    return {task: replace(of, rows=tuple(told(e) for e in of.rows)) for task, of in new.items()}


def store_tests(home: Home, tests: Mapping[str, TestSet]) -> str:
    """Keep the tests; their object's name."""
    rows = {task: home.objects.put_json([e.to_json() for e in of.rows]) for task, of in tests.items()}
    return home.objects.put_json({task: {"score": of.score, "chance": of.chance, "rows": rows[task]} for task, of in tests.items()})


def noted(home: Home, arrived: Arrival, settings: HomeSettings, inbox: int | None = None) -> Arrived:
    """What a version's record says of its rows: what they are called, and by themselves only where the home keeps data."""
    ids = home.objects.put_json([[e.id, e.source] for e in arrived.rows])
    rows = home.objects.put_json([e.to_json() for e in arrived.rows]) if settings.keep.data else ""
    return Arrived(arrived.name, arrived.hash, ids, rows, len(arrived.rows), inbox)


def load_tests(home: Home, name: str) -> dict[str, TestSet]:
    """The tests that `store_tests` kept, without any that were taken back."""
    found = {
        task: TestSet(of["score"], tuple(Example.from_json(row) for row in home.objects.get_json(of["rows"])), of["chance"])
        for task, of in home.objects.get_json(name).items()
    }
    return {task: of for task, of in found.items() if of.rows}


def _rows(data: Data, most_bad: float) -> tuple[list[Example], str]:
    if isinstance(data, Experience):
        return list(data.train), data.name
    if isinstance(data, str | Path):
        return read_examples(data, most_bad=most_bad), Path(data).name
    return list(data), "rows"


def _experience_tests(experience: Experience) -> dict[str, TestSet]:
    # when a row ends to be true a home finds out by what arrives
    return {
        task: TestSet(experience.scores[task], tuple(replace(e, until=None) for e in rows), experience.chance.get(task))
        for task, rows in experience.tests.items()
    }


def _held_out(rows: Sequence[Example], share: float) -> tuple[list[Example], list[Example]]:
    """(to learn, to test): whole questions, chosen by their hash, so that the same rows are always parted the same way."""
    groups: dict[str, list[Example]] = {}
    for row in rows:
        groups.setdefault(_key(row), []).append(row)
    count = min(round(share * len(groups)), len(groups) - 1)
    out = set(sorted(groups)[:count])
    return [row for key, of in groups.items() if key not in out for row in of], [row for key in out for row in groups[key] if row.chosen is None]


def _most(rows: tuple[Example, ...], most: int) -> tuple[Example, ...]:
    """At most this many, always the same ones, in their order."""
    if len(rows) <= most:
        return rows
    chosen = set(sorted((_key(row), row.id) for row in rows)[:most])
    return tuple(row for row in rows if (_key(row), row.id) in chosen)


def _key(row: Example) -> str:
    return hashlib.sha256((row.question or row.id).encode(errors="surrogatepass")).hexdigest()


def _score(row: Example) -> Score:
    answer = right(row)
    if answer is None:
        return "loss"
    return "choice" if len(row.choices) > 1 else "exact" if len(answer.strip()) <= SHORT and "\n" not in answer.strip() else "chrf"


def _cannot_show(out: int, taught: int) -> tuple[str, ...]:
    if not out:
        return (f"No test rows came with this update, and it is too small to hold any out: {taught} taught rows were asked again.", *_LIMITS)
    return (f"No test rows came with this update: {out} of its rows were held out, and {taught} taught ones were asked again.", *_LIMITS)


_LIMITS = (
    "That cannot show whether what was taught is true, nor whether it is known in other words than the taught ones; give --test with rows that you trust.",
)
