"""Rows taken out of everything a home holds; what is left stands in the same places."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from everlearn.disk import put_whole, write_whole
from everlearn.errors import DataError
from everlearn.streams.files import LONGEST_LINE
from everlearn.streams.lines import lines_of
from everlearn.streams.tables import csv_rows, needed, plain
from everlearn.types import Example
from everlearn.upkeep.collecting import delete
from everlearn.upkeep.decoding import called
from everlearn.upkeep.opening import known_tensors, recipe_of, rows_of, started, store_state
from everlearn.upkeep.proof import files_of, holds
from everlearn.upkeep.wanted import Wanted, rows_in
from everlearn.versions.home import Home
from everlearn.versions.record import Version
from everlearn.versions.settings import HomeSettings
from everlearn.versions.stored import learner_state

# What `watch` took, and what waits for the inbox: in each a folder for a file, its test file, and notes of it.
OURS = ("inbox", "done", "rejected", "quarantine", "uploads")
BROUGHT = ("documents.jsonl", "feedback")  # what a server took from its clients
DONE, CLAIM = "done", "claim.json"
Rewrite = Callable[[Path, Wanted], bool]


def scrub_objects(home: Home, wanted: Wanted) -> None:
    """Put what is left in the place of every kept row, list of ids, test and answer. The old objects are still there, and nothing reads them."""
    objects, left, dropped = home.objects, dict[str, str](), dict[str, dict[str, set[str]]]()
    gone = objects.withdrawn()
    for version in home.versions():
        if version.arrived is not None:
            ids = objects.get_json(version.arrived.ids)
            left[version.arrived.ids] = _left(home, version.arrived.ids, ids, [pair for pair in ids if not wanted.takes_pair(*pair)])
            if version.arrived.rows:
                left[version.arrived.rows] = _rows_left(home, version.arrived.rows, wanted)[0]
        for task, of in objects.get_json(version.kept.tests).items():
            left[of["rows"]], out = _rows_left(home, of["rows"], wanted)
            if version.id not in gone:
                dropped.setdefault(version.kept.answers, {}).setdefault(task, set()).update(out)
    for name, tasks in dropped.items():
        answers = objects.get_json(name)
        left[name] = _left(home, name, answers, {task: _unasked(of, tasks.get(task, set())) for task, of in answers.items()})
    objects.take_back({old: new for old, new in left.items() if old != new}, {})


def scrub_learner(home: Home, version: Version, wanted: Wanted) -> None:
    """Make a start's learner anew, from the rows it may still remember: as if it had never been shown the others."""
    settings, recipe = HomeSettings.of(dict(version.settings), f"the settings of version {version.number}"), recipe_of(version.recipe)
    kept = rows_of(home, version) or _remembered(learner_state(home, version))
    past = [row for e in kept if (row := wanted.without(e)) is not None]
    opened = started(home, version.base, settings, recipe)
    if past:
        opened.learner.remember(opened.model, past)
    name, _, _ = store_state(home, opened.learner.state(), {}, known_tensors(home))
    home.objects.take_back({version.kept.learner: name}, {})


def scrub_files(home: Home, wanted: Wanted) -> None:
    """Rewrite the files outside the objects without the rows; one with nothing left goes, and so does a note or an unfinished update that quotes them."""
    if home.work.exists():
        delete(home.work)
    for path in files_of(home):
        place = path.relative_to(home.folder).parts
        if place[0] in ("objects", "versions", home.bases.name) or not path.exists():
            continue
        if not holds(path, wanted)[0]:
            continue
        rewrite = next((how for suffix, how in REWRITES.items() if called(path).endswith(suffix)), None)
        if rewrite is not None and rewrite(path, wanted):
            continue
        claim = home.folder.joinpath(*place[:2])
        if place[0] in OURS and place[0] != DONE and len(place) == 3 and not path.name.endswith((".txt", ".json")):
            delete(claim)  # with nothing to learn there is nothing to take from the inbox
        elif place[0] in (*OURS, *BROUGHT) or path.name.startswith("."):
            delete(path)
            _without_tests(claim) if len(place) == 4 else None


def _without_tests(claim: Path) -> None:
    """A file in the inbox whose test rows are all gone comes without any."""
    record = claim / CLAIM
    if record.exists():
        about = json.loads(record.read_text(encoding="utf-8"))
        write_whole(record, (json.dumps({**about, "test": ""}, indent=1) + "\n").encode())


def _left(home: Home, name: str, before: object, after: object) -> str:
    """The name of what is left; the same where that is everything."""
    return home.objects.replaced().get(name, name) if after == before else home.objects.put_json(after)


def _rows_left(home: Home, name: str, wanted: Wanted) -> tuple[str, set[str]]:
    """The name of the rows that are left, and the ids of those that are not."""
    rows, kept, out = home.objects.get_json(name), list[dict[str, Any]](), set[str]()
    for row in rows:
        example = Example.from_json(row)
        rest = wanted.without(example)
        if rest is None:
            out.add(example.id)
        else:
            kept.append(row if rest is example else rest.to_json())
    return _left(home, name, rows, kept), out


def _unasked(of: Mapping[str, list[Any]], out: set[str]) -> dict[str, list[Any]]:
    """A task's answers without those to these rows."""
    stays = [key not in out for key in of["ids"]]
    return {field: [value for value, keep in zip(values, stays, strict=True) if keep] for field, values in of.items()}


def _remembered(state: Mapping[str, object]) -> list[Example]:
    """The rows that a learner's state holds, each once."""
    plain_state = json.loads(json.dumps(state, default=lambda tensor: None))
    return list({row.id: row for row in rows_in(plain_state)}.values())


def _lines(path: Path, wanted: Wanted) -> bool:
    """Drop lines of JSON; the others stay byte for byte. False where none is left."""
    kept = [rest for line in lines_of(path, LONGEST_LINE * 100) if (rest := _line_left(line, wanted))]
    if any(line.strip() for line in kept):
        data = b"".join(kept)
        write_whole(path, gzip.compress(data, 6, mtime=0) if called(path).endswith(".gz") else data)
        return True
    return False


def _line_left(line: bytes, wanted: Wanted) -> bytes:
    """The line, without an earlier answer that it quotes; nothing for a row that is to be forgotten."""
    text = line.decode("utf-8", "replace")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return b"" if wanted.said_in(text) else line
    if not wanted.found_in(value):
        return line
    rest = {name: part for name, part in value.items() if name != "old_completion"} if isinstance(value, dict) else value
    return b"" if wanted.found_in(rest) else (json.dumps(rest, ensure_ascii=False) + "\n").encode("utf-8", "surrogatepass")


def _table(path: Path, wanted: Wanted) -> bool:
    """Drop records of CSV; the others stay byte for byte."""
    try:
        starts = [(number, _parsed(parse)) for number, parse in csv_rows(path, LONGEST_LINE)]
    except DataError:
        return False
    lines = list(lines_of(path, LONGEST_LINE))
    ends = [number for number, _ in starts[1:]] + [len(lines) + 1]
    out = {at for (start, row), end in zip(starts, ends, strict=True) if wanted.found_in(row) for at in range(start, end)}
    if len(out) < sum(end - start for (start, _), end in zip(starts, ends, strict=True)):
        write_whole(path, b"".join(line for at, line in enumerate(lines, 1) if at not in out))
        return True
    return False


def _parsed(parse: Callable[[], Mapping[str, object]]) -> object:
    try:
        return dict(parse())
    except DataError as problem:
        return str(problem)


def _parquet(path: Path, wanted: Wanted) -> bool:
    """Drop rows of parquet; schema and metadata stay."""
    parquet = needed("pyarrow.parquet", "a parquet file")
    table = parquet.read_table(path)
    keep = [not wanted.found_in({name: plain(cell) for name, cell in row.items() if cell is not None}) for row in table.to_pylist()]
    if any(keep):
        put_whole(path, lambda aside: parquet.write_table(table.filter(keep), aside))
        return True
    return False


REWRITES: Mapping[str, Rewrite] = {".jsonl": _lines, ".jsonl.gz": _lines, ".csv": _table, ".parquet": _parquet}
