"""What forgetting something means for a home: which versions learned from it, which of their updates can be taught again, and from where."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from everlearn.errors import SettingError
from everlearn.types import Example
from everlearn.upkeep.arriving import load_tests
from everlearn.upkeep.decoding import BROKEN, decoded, tensor_texts
from everlearn.upkeep.opening import held_by
from everlearn.upkeep.proof import files_of
from everlearn.upkeep.wanted import Wanted, is_pair, rows_in
from everlearn.versions.home import Home
from everlearn.versions.record import Version

# By task, the ids of the rows that came as new ones with an update.
NewTests = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done, written down before anything is, so that it can be finished after a crash.

    removed: rows by where they are.   withdrawn: ids of the versions that learned from it.   anew: starts whose learners were shown it.
    head, clean: the version in service, and the last one before it that has nothing of it.   again: the head's later updates, first to last, if their
    rows were kept.   lost: those of them that cannot be taught again.
    """

    wanted: Wanted
    removed: Mapping[str, int]
    withdrawn: tuple[str, ...]
    anew: tuple[str, ...]
    head: str
    clean: str
    again: Mapping[str, NewTests]
    lost: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        lists = {"withdrawn": self.withdrawn, "anew": self.anew, "lost": self.lost}
        return {"wanted": self.wanted.to_json(), "removed": self.removed, **lists, "head": self.head, "clean": self.clean, "again": self.again}

    @classmethod
    def from_json(cls, saved: Mapping[str, Any]) -> Plan:
        """What `to_json` wrote."""
        again = {version: {task: tuple(ids) for task, ids in tests.items()} for version, tests in saved["again"].items()}
        withdrawn, anew, lost = (tuple(saved[name]) for name in ("withdrawn", "anew", "lost"))
        return cls(Wanted.from_json(saved["wanted"]), saved["removed"], withdrawn, anew, saved["head"], saved["clean"], again, lost)


def planned(home: Home, wanted: Wanted) -> Plan:
    """Look through the home. Raises SettingError for nothing named."""
    if not wanted.source and not wanted.id:
        raise SettingError("there is nothing to forget. Name a source or an id.")
    pairs = [(key, source) for v in home.versions() if v.arrived is not None for key, source in home.objects.get_json(v.arrived.ids)]
    wanted = wanted.with_rows(every_row(home), pairs)
    learned = {v.id for v in home.versions() if _learned(home, v, wanted)} | _holding(home, wanted)
    anew = [v.id for v in home.versions() if v.parent is None and v.id in learned]
    tainted = set[str]()
    for version in home.versions():  # parents come first
        if version.parent is not None and (version.id in learned or version.parent in tainted or version.parent in anew):
            tainted.add(version.id)
    gone, head = home.objects.withdrawn(), home.head
    lineage = home.lineage(head)
    clean = next(v for v in lineage if v.id not in tainted and v.id not in gone and v.kept.learner)
    later = [v for v in reversed(lineage[: lineage.index(clean)]) if v.arrived is not None]
    kept = home.settings.keep.data and all(v.arrived is not None and v.arrived.rows for v in later)
    again = {v.id: new_tests(home, v) for v in later} if kept else {}
    lost = () if kept else tuple(v.id for v in later)
    withdrawn = tuple(v.id for v in home.versions() if v.id in tainted and v.id not in gone)
    return Plan(wanted, _counted(home, wanted), withdrawn, tuple(anew), head.id, clean.id, again, lost)


def every_row(home: Home) -> Iterator[Example]:
    """Every row that stands anywhere in the home, as it stands there."""
    for path in files_of(home):
        yield from (row for value in _said(path) for row in rows_in(value))


def new_tests(home: Home, version: Version) -> NewTests:
    """By task, which of the version's test rows came with its update: those its parent did not have, and those asked anew."""
    tests = load_tests(home, version.kept.tests)
    had = load_tests(home, home.version(version.parent).kept.tests) if version.parent else {}
    found = {}
    for task, of in tests.items():
        before = {e.id for e in had[task].rows} if task in had else set()
        scores = version.tasks.get(f"{task} (new rows)") or version.tasks.get(task)
        new = {e.id for e in of.rows} - before
        if scores is not None and scores.new and len(new) < scores.rows:  # rows asked again count as new, and stand last
            new |= {e.id for e in of.rows[-scores.rows :]}
        if new:
            found[task] = tuple(e.id for e in of.rows if e.id in new)
    return found


def _said(path: Path) -> Iterator[object]:
    said = decoded(path)
    try:
        yield from said or ()
    except BROKEN:
        return  # the proof searches its bytes


def _learned(home: Home, version: Version, wanted: Wanted) -> bool:
    """Do the rows it learned from include one?"""
    return version.arrived is not None and any(wanted.takes_pair(key, source) for key, source in home.objects.get_json(version.arrived.ids))


def _holding(home: Home, wanted: Wanted) -> set[str]:
    """The ids of the versions whose learner holds one, to rehearse it."""
    gone, found, known = home.objects.withdrawn(), set[str](), dict[str, bool]()
    packs = [path for path in home.objects.folder.glob("*.safetensors") if home.objects.keys(path.stem)]  # StateError for a broken one
    tensors = {key for path in packs for key, text in tensor_texts(path) if wanted.found_in(text)}
    for version in home.versions():
        name = version.kept.learner
        if version.id in gone or not name:
            continue
        if name not in known:
            known[name] = wanted.found_in(home.objects.get_json(name))
        if known[name] or any(key in tensors for _, key in held_by(home, version)):
            found.add(version.id)
    return found


def _counted(home: Home, wanted: Wanted) -> dict[str, int]:
    """How many rows are where."""
    kinds, objects, found = _kinds(home), home.objects, Counter[str]()
    there = {name: kind for name, kind in kinds.items() if name and objects.json_path(name).exists()}
    held = objects.held_rows(there)
    for path in files_of(home):
        place, name = path.relative_to(home.folder), path.name.partition(".")[0]
        kind, said = place.as_posix(), _said(path)
        if place.parts[0] == "objects":
            kind = there.get(name, "unused objects")
            if name in there:
                said = iter([objects.get_json(name)])
            elif path in objects.rows.paths():  # what lies there is counted in the objects that need it
                said = (row for at, row in enumerate(said) if at not in held.get(name, ()))
        found[kind] += sum(_rows_of(value, wanted) for value in said)
    return {kind: count for kind, count in sorted(found.items()) if count}


def _rows_of(value: object, wanted: Wanted) -> int:
    """How many of the rows, or the ids of rows, a value has."""
    pairs = [pair for pair in value if is_pair(pair)] if isinstance(value, list) else []
    return sum(wanted.takes(row) for row in rows_in(value)) + sum(wanted.takes_pair(*pair) for pair in pairs)


def _kinds(home: Home) -> dict[str, str]:
    """What an object is, by its name."""
    found, replaced = dict[str, str](), home.objects.replaced()
    for version in home.versions():
        about = {version.kept.learner: "learners", version.kept.answers: "answers"}
        about |= {str(of["rows"]): "tests" for of in home.objects.get_json(version.kept.tests).values()}
        if version.arrived is not None:
            about |= {version.arrived.ids: "lists of ids", version.arrived.rows: "kept rows"}
        found |= {replaced.get(name, name): kind for name, kind in about.items()}
    return found
