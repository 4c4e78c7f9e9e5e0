"""What a home has learned taught to another base, which takes over only if it loses nothing."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter

from everlearn.errors import Diverged, StateError
from everlearn.types import Example, superseded
from everlearn.upkeep.arriving import Arrival, TestSet, load_tests, noted, store_tests
from everlearn.upkeep.beginning import first_version
from everlearn.upkeep.collecting import delete
from everlearn.upkeep.learning import Lesson, Progress
from everlearn.upkeep.measuring import Asked, Seen, answers_json, evidence, measured, see, task_scores
from everlearn.upkeep.opening import Opened, kept_of, known_tensors, open_version, opened_to_learn, recipe_of, rows_of
from everlearn.upkeep.telling import sentences, tell
from everlearn.version import VERSION
from everlearn.versions.answers import answers_of
from everlearn.versions.bases import add_base
from everlearn.versions.gate import Decision, Evidence, Rules, decide
from everlearn.versions.home import Home, now
from everlearn.versions.record import Kept, Version
from everlearn.versions.settings import HomeSettings

DATED = {"retrieval", "consolidate"}  # learners that keep what was true when
STEP = "A step of a rebase, which only its last version decides."


def rebase(home: Home | str | Path, model: str | Path, *, progress: Progress | None = None) -> Version:
    """Teach the kept rows of every update in service, in order, to another base or with today's recipe, and serve it only if the gate lets it.

    model: as for `create_home`; the base that the home has is allowed too, which teaches it anew with today's settings. Rows that a later update answers
    otherwise are left out.

    The gate compares with the version in service on all of its tests, by most_loss, and most_skill_loss where probes are on. No gain is asked for: a
    base that is as good is taken. Distance and perplexity are not asked about either, as they compare a model with itself. Without any tests it is refused:
    nothing would show what was lost.

    Every update taught is a version, so that a rebase that was stopped goes on; done again, it returns what was decided. Raises StateError where rows
    were not kept, ModelError for a model that cannot be used.
    """
    place = home if isinstance(home, Home) else Home(home)
    with place.writing():
        found = Rebase(place, str(model), progress or _silent).carried_out()
        if found.accepted and place.head.id != found.id:
            place.serve(found, "rebase")
            tell(place, found, place.settings)
        if place.work.exists():
            delete(place.work)
        return found


@dataclass(frozen=True, slots=True)
class _Taught:
    """One of the home's updates, as it is taught to the base."""

    arrived: Arrival
    of: Version


class Rebase:
    """A rebase under way: what is to be taught, and the versions that were made of it already."""

    def __init__(self, home: Home, model: str, report: Progress) -> None:
        self.home, self.model, self.report, self.settings, self.head = home, model, report, home.settings, home.head
        self.recipe = recipe_of(self.settings.learn.recipe)
        self.updates, self.past = taught_so_far(home)
        self.base = add_base(home.bases, model)
        self.tests = load_tests(home, self.head.kept.tests)

    def carried_out(self) -> Version:
        """The last version, decided."""
        current = self._first()
        for number, update in enumerate(self.updates, 1):
            last = number == len(self.updates)
            self.report(f"teaching update {number} of {len(self.updates)}", number / (len(self.updates) + 1))
            current = self._known(current, update.arrived, last) or self._step(current, update, last)
            if not current.kept.learner:
                return current
        return current

    def _first(self) -> Version:
        """The base as it is; decided only where nothing is to be taught to it."""
        names = store_tests(self.home, self.tests)
        for version in self._mine():
            if version.parent is None and version.base == self.base and version.kept.tests == names and (version.reasons == (STEP,)) == bool(self.updates):
                return version
        self.report("testing the base", 0.0)
        found = first_version(self.home, self.base, self.settings, self.tests, self.past, self._number(), "rebase")
        if self.updates:
            found = replace(found, accepted=False, reasons=(STEP,))
        else:
            seen = self._seen(Seen(old=answers_of(self.home, found)), found)
            found = self._decided(replace(found, tasks=task_scores(seen)), self._decision(seen))
        return self._committed(found)

    def _step(self, current: Version, update: _Taught, last: bool) -> Version:
        """One update taught, and with the last one the whole measured."""
        began = perf_counter()
        opened = opened_to_learn(self.home, current, self.settings, 0)
        after, seen = Seen(), Evidence()
        try:
            Lesson(opened, self.home.work / self._key(current, update.arrived), self.settings.learn.save_every, self.report).learn(update.arrived)
            learned = perf_counter()
            if last:
                after = see(opened.served, Asked(self.tests, {}), self.settings, None)
                seen = self._seen(after, self.home.lineage(current)[-1])
        except Diverged as problem:
            learned, seen = perf_counter(), Evidence(broken=str(problem))
        found = self._version(current, update, opened, after, seen)
        if last or seen.broken:
            found = self._decided(found, self._decision(seen))
        return self._committed(replace(found, cost={"learn": learned - began, "test": perf_counter() - learned}))

    def _version(self, current: Version, update: _Taught, opened: Opened, after: Seen, seen: Evidence) -> Version:
        """What was made, not decided yet."""
        names = current.kept.tests, self.home.objects.put_json(answers_json(after.old) if not seen.broken else {})
        kept = Kept({}, "", {}, *names) if seen.broken else kept_of(self.home, opened.model, opened.learner, *names, known_tensors(self.home))
        came = noted(self.home, update.arrived, self.settings, update.of.arrived.inbox if update.of.arrived else None)
        about = self.settings.to_json(), came, 0, kept, task_scores(seen), measured(seen, after)
        return Version(self._number(), current.id, self.base, "rebase", VERSION, self.recipe.label, *about, accepted=False, reasons=(STEP,), report=(STEP,))

    def _seen(self, after: Seen, start: Version) -> Evidence:
        """The head and the new version on all of the head's tests."""
        before = see(open_version(self.home, self.head).served, Asked(self.tests, {}), self.settings, None, answers_of(self.home, self.head))
        return evidence(before, after, Asked(self.tests, {}), start)

    def _decision(self, seen: Evidence) -> Decision:
        if not seen.broken and not seen.old:
            return Decision(False, ("Nothing shows what was lost: the version in service has no tests.",))
        return decide(seen, rules_of(self.settings))

    def _decided(self, version: Version, decision: Decision) -> Version:
        found = replace(version, accepted=decision.accepted, reasons=decision.reasons)
        rows = sum(len(update.arrived.rows) for update in self.updates)
        told = f"Version {found.number} is what this home kept, {rows} rows of {len(self.updates)} updates, taught to {Path(self.model).name}."
        return replace(found, report=(told, *sentences(found)[1:]))

    def _committed(self, version: Version) -> Version:
        found = replace(version, created=now())
        self.home.commit(found)
        self.home.log("commit", version=found.id, number=found.number, accepted=found.accepted, reasons=found.reasons, seconds=found.cost)
        return found

    def _known(self, current: Version, arrived: Arrival, last: bool) -> Version | None:
        """The version that was made of this update already, by a rebase that was stopped, or is done again."""
        made = [v for v in self._mine() if v.parent == current.id and v.arrived is not None and v.arrived.hash == arrived.hash]
        return next((v for v in made if not (last and v.reasons == (STEP,))), None)

    def _mine(self) -> list[Version]:
        gone = self.home.objects.withdrawn()
        settings, recipe = self.settings.to_json(), self.recipe.label
        return [v for v in self.home.versions() if v.kind == "rebase" and v.id not in gone and (dict(v.settings), v.recipe) == (settings, recipe)]

    def _key(self, current: Version, arrived: Arrival) -> str:
        parts = [current.id, arrived.hash, self.settings.to_json(), VERSION]
        return "rebase-" + hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]

    def _number(self) -> int:
        return self.home.versions()[-1].number + 1


def taught_so_far(home: Home) -> tuple[list[_Taught], list[Example]]:
    """The updates that the head grew from, first to last, each with its rows that are still true; and what its start was shown.

    A store keeps what was true when, so where the recipe has one, every row comes as it came. Raises StateError where the home did not keep them.
    """
    *updates, start = home.lineage(home.head)
    updates.reverse()
    missing = [v.number for v in updates if v.arrived is not None and not v.arrived.rows]
    if missing:
        raise StateError(
            f"the rows of these versions were not kept, so they cannot be taught to another base (versions={missing!r})."
            " With [keep] data = true the rows of later updates are. Make a new home of this base, and give it the data."
        )
    rows, found = [rows_of(home, version) for version in updates], list[_Taught]()
    dated = {part.name for part in recipe_of(home.settings.learn.recipe).parts} & DATED
    for at, version in enumerate(updates):
        left = rows[at] if dated else superseded(rows[at], [row for later in rows[at + 1 :] for row in later])
        if left and version.arrived is not None:
            found.append(_Taught(Arrival(version.arrived.name, tuple(left), dict[str, TestSet]()), version))
    return found, superseded(rows_of(home, start), [row for later in rows for row in later])


def rules_of(settings: HomeSettings) -> Rules:
    """The gate's rules that make sense between two bases."""
    return replace(settings.gate.rules(), least_gain=None, most_kl=None, most_perplexity=None, most_stale=None)


def _silent(text: str, share: float) -> None:
    """Tells nobody."""
