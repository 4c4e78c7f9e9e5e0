"""Forgetting: a source or an example out of everything a home holds, and the proof that it is gone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from everlearn.disk import flush_folder, writable, write_whole
from everlearn.errors import DataError, ModelError, SettingError, StateError
from everlearn.types import Example
from everlearn.upkeep.arriving import Arrival, TestSet, load_tests
from everlearn.upkeep.collecting import delete, sweep
from everlearn.upkeep.learning import Progress
from everlearn.upkeep.opening import rows_of
from everlearn.upkeep.planning import NewTests, Plan, planned
from everlearn.upkeep.proof import Searched, searched
from everlearn.upkeep.scrubbing import scrub_files, scrub_learner, scrub_objects
from everlearn.upkeep.telling import tell
from everlearn.upkeep.update import Again, Job
from everlearn.upkeep.wanted import Wanted
from everlearn.versions.home import FORGETTING, Home
from everlearn.versions.record import Version
from everlearn.versions.settings import HomeSettings

WHY = "it had learned from rows that were taken back"


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What was forgotten.

    removed: rows by where they were.   withdrawn: ids of the versions that had learned from them; their records stay, with scores and decision.
    rebuilt: ids of what was made in their place.   lost: of the updates that could not be.   head_before, head: the version in service.
    searched: files that were decoded to prove it.   undecoded: of these the ones whose format is not known, which were searched byte by byte.

    >>> Forgotten("news", None, {}, (), (), (), "1", "1", 12, (), ()).found
    False
    """

    source: str | None
    id: str | None
    removed: Mapping[str, int]
    withdrawn: tuple[str, ...]
    rebuilt: tuple[str, ...]
    lost: tuple[str, ...]
    head_before: str
    head: str
    searched: int
    undecoded: tuple[str, ...]
    told: tuple[str, ...]

    @property
    def found(self) -> bool:
        """Was there anything of it?"""
        return bool(self.removed or self.withdrawn)

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "traces": []}


def forget(home: Home | str | Path, *, source: str | None = None, id: str | None = None, progress: Progress | None = None) -> Forgotten:
    """Take the rows of a source, or one example and all with equal content, out of the home, and prove that no file of it holds them any more.

    Versions that learned from one, and all that grew from these, are withdrawn: weights, learner state and answers are deleted. Kept rows, tests, lists
    of ids, what `watch` took and an unfinished update are rewritten without it. A start's model is not everlearn's, so it stays; its learner is made anew
    without the row. Then the updates of the version that was in service are taught again from the last clean one, in their order, each as it was set
    then and through its gate, if the home keeps data and kept the rows of all of them; else the last clean version stays in service.

    The first thing that changes is what is in service: from then on it is a version that has learned nothing of the example. Stopped at any moment the same
    call goes on, as does one without source and id; until then nothing else can change the home, and reading it is possible. Raises SettingError where
    both or neither is named, StateError where a trace is left, with every place.
    """
    place = home if isinstance(home, Home) else Home(home)
    asked = Wanted(source, id) if source is not None or id is not None else None
    with place.writing(forgetting=True):
        plan = _begun(place)
        if plan is None and asked is None:
            raise SettingError(f"nothing is being forgotten here (source={source!r}, id={id!r}). Name a source or an id.")
        if plan is not None and (asked is None or (asked.source, asked.id) == (plan.wanted.source, plan.wanted.id)):
            return _carried_out(place, plan, progress or _silent)
        if plan is not None:
            _carried_out(place, plan, progress or _silent)
        plan = planned(place, Wanted(source, id))
        if not (plan.removed or plan.withdrawn or plan.anew) and not (proof := searched(place, plan.wanted)).places:
            return _told(place, plan, [], [], proof)
        write_whole(place.folder / FORGETTING, json.dumps(plan.to_json(), ensure_ascii=True).encode())
        return _carried_out(place, plan, progress or _silent)


def sources_of(home: Home) -> list[str]:
    """Every source that a version learned from, sorted."""
    return sorted({source for v in home.versions() if v.arrived is not None for _, source in home.objects.get_json(v.arrived.ids) if source})


def _begun(home: Home) -> Plan | None:
    """What is being forgotten already."""
    path = home.folder / FORGETTING
    if not path.exists():
        return None
    try:
        return Plan.from_json(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as problem:
        raise StateError(f"what is being forgotten cannot be read (file={str(path)!r}): {problem}. Delete the file, and ask again.") from problem


def _carried_out(home: Home, plan: Plan, report: Progress) -> Forgotten:
    """Every step, each of which may have been done already. Proved while it is still written down, so that nothing can come in before."""
    with home.arriving(forgetting=True):
        pass  # a server that was writing has written; from here on it reads that something is being forgotten
    if home.head.id in plan.withdrawn:
        home.serve(home.version(plan.clean), "what the head had learned was taken back")
    home.objects.take_back({}, dict.fromkeys(plan.withdrawn, WHY))
    scrub_objects(home, plan.wanted)
    for version in plan.anew:
        scrub_learner(home, home.version(version), plan.wanted)
    sweep(home)
    scrub_files(home, plan.wanted)
    rebuilt, problems = _rebuilt(home, plan, report)
    if home.work.exists():
        delete(home.work)
    proof = searched(home, plan.wanted)
    if (home.folder / FORGETTING).exists():
        home.log("forget", rows=sum(plan.removed.values()), withdrawn=plan.withdrawn, rebuilt=[v.id for v in rebuilt], head=home.head.id)
        with writable(home.folder / FORGETTING):
            (home.folder / FORGETTING).unlink()
        flush_folder(home.folder)
    if proof.places:
        raise StateError(
            f"it was not forgotten everywhere (source={plan.wanted.source!r}, id={plan.wanted.id!r}, places={list(proof.places)!r})."
            " Delete what is not the home's own, and forget it again."
        )
    return _told(home, plan, rebuilt, problems, proof)


def _rebuilt(home: Home, plan: Plan, report: Progress) -> tuple[list[Version], list[str]]:
    """Teach the head's later updates again, and put what came of them into service; what was made, and what could not be."""
    parent, made, problems = home.version(plan.clean), list[Version](), list[str]()
    for number, (version, tests) in enumerate(plan.again.items()):
        before = home.version(version)
        report(f"teaching update {before.number} again", number / len(plan.again))
        arrived = _as_it_came(home, before, tests)
        if not arrived.rows:
            continue
        try:
            found = _taught(home, before, arrived, parent, report)
        except (DataError, SettingError, ModelError) as problem:
            problems.append(f"Update {before.number} and those after it were not taught again: {problem}")
            break
        made += found
        parent = found[-1] if found[-1].accepted else parent
    if home.head.id == plan.clean != parent.id:
        home.serve(parent, "taught again without what was taken back")
        tell(home, parent, home.settings)
    return made, problems


def _taught(home: Home, before: Version, arrived: Arrival, parent: Version, report: Progress) -> list[Version]:
    """One update made again as it was set then; every attempt."""
    today = home.settings.model_dump(by_alias=True)
    settings = HomeSettings.of({**today, **dict(before.settings)}, f"the settings of version {before.number}")
    job = Job(home, arrived, before.arrived.inbox if before.arrived else None, report, Again(parent, settings))
    for attempt in job.attempts():
        job.attempt(attempt)
    return job.made()


def _as_it_came(home: Home, version: Version, tests: NewTests) -> Arrival:
    """An update's rows and tests, as far as they may be known."""
    asked = load_tests(home, version.kept.tests)
    own = {task: replace(of, rows=_chosen(of.rows, set(tests[task]))) for task, of in asked.items() if task in tests}
    return Arrival(version.arrived.name if version.arrived else "", tuple(rows_of(home, version)), _asked(own))


def _chosen(rows: tuple[Example, ...], ids: set[str]) -> tuple[Example, ...]:
    return tuple(e for e in rows if e.id in ids)


def _asked(tests: Mapping[str, TestSet]) -> dict[str, TestSet]:
    return {task: of for task, of in tests.items() if of.rows}


def _told(home: Home, plan: Plan, rebuilt: list[Version], problems: list[str], proof: Searched) -> Forgotten:
    numbers = {v.id: v.number for v in home.versions()}
    refused = [str(v.number) for v in rebuilt if not v.accepted]
    lines = [f"{count} in {place}" for place, count in plan.removed.items()]
    told = ["Removed: " + ", ".join(lines) + "." if lines else "Nothing here holds it."]
    if plan.withdrawn:
        told.append("Withdrawn: " + ", ".join(f"v{numbers[v]}" for v in plan.withdrawn) + ", with weights, learner state and answers; the records stay.")
    if plan.anew:
        told.append("The start had been shown it: its learner was made anew without it. What the base model itself was taught is not everlearn's to change.")
    if plan.again and rebuilt:
        made = ", ".join(f"v{v.number}" for v in rebuilt if v.accepted) or "nothing that the gate accepts"
        told.append(f"Taught again without it: {made}." + (f" Refused: {', '.join(refused)}." if refused else ""))
    if plan.lost:
        lost = ", ".join(f"v{numbers[v]}" for v in plan.lost)
        told.append(f"Not taught again, since the rows were not kept: {lost}. Version {numbers[plan.clean]} is what was there before them.")
    told += [*problems, f"In service: version {home.head.number}. Proved by decoding {proof.files - len(proof.undecoded)} files; no trace is left."]
    if proof.undecoded:
        told.append(f"Of no known format, searched byte by byte: {', '.join(proof.undecoded)}.")
    wanted = plan.wanted
    made_ids = tuple(v.id for v in rebuilt)
    return Forgotten(
        wanted.source, wanted.id, plan.removed, plan.withdrawn, made_ids, plan.lost, plan.head, home.head.id, proof.files, proof.undecoded, tuple(told)
    )


def _silent(text: str, share: float) -> None:
    """Tells nobody."""
