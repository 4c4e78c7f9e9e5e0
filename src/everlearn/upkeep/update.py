"""One cycle: new data in, a better version out, or a clear refusal."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter

from everlearn.disk import writable
from everlearn.errors import Diverged
from everlearn.evaluate.divergence import Anchor
from everlearn.upkeep.arriving import Arrival, Data, TestSet, arrival, load_tests, merged, noted, still_true, store_tests, with_old_answers
from everlearn.upkeep.learning import Lesson, Progress
from everlearn.upkeep.measuring import Asked, Seen, anchor_of, answers_json, evidence, measured, see, task_scores
from everlearn.upkeep.opening import Opened, kept_of, known_tensors, opened_to_learn, recipe_of
from everlearn.upkeep.telling import sentences, tell
from everlearn.version import VERSION
from everlearn.versions.answers import answers_of
from everlearn.versions.gate import Decision, Evidence, Rules, decide
from everlearn.versions.home import Home, now
from everlearn.versions.record import Kept, Kind, Version
from everlearn.versions.settings import HomeSettings, RetryTable


def update(
    home: Home | str | Path,
    data: Data,
    test: str | Path | Mapping[str, TestSet] | None = None,
    *,
    name: str = "",
    most_bad: float = 0.0,
    inbox: int | None = None,
    progress: Progress | None = None,
) -> Version:
    """Learn on a copy, measure old and new, ask the gate, commit the version, and put it into service only if it was accepted.

    data: a file, examples, or an Experience.   test: a file, a stream's folder, or tasks, that say what is right; without them a share of the data is
    held out.   name: of the data, by default the file's.   most_bad: share of the file's lines that may be bad.   inbox: its number there.

    The version returned says `accepted`, `reasons` and `report`. A refused update is tried again as [retry] says; each attempt is a version. Stopped at
    any moment, the same call goes on and makes the same versions; what was decided already is not learned again. Raises DataError, SettingError or
    StateError before anything is learned.
    """
    place = home if isinstance(home, Home) else Home(home)
    with place.writing():
        return cycle(place, arrival(data, test, place.settings.test, name, most_bad), inbox, progress)


def cycle(home: Home, arrived: Arrival, inbox: int | None = None, progress: Progress | None = None) -> Version:
    """As `update`, for who holds the home's lock already."""
    job = Job(home, arrived, inbox, progress or _silent)
    if (known := job.decided_elsewhere()) is not None:
        return known
    for attempt in job.attempts():
        job.attempt(attempt)
    return job.finish()


def decided(home: Home, inbox: int) -> Version | None:
    """What became of this number of the inbox: the version that was put into service, or the last refused one; None where it is still to be learned.

    It holds whatever happened since: other updates, a rollback, other settings.
    """
    mine = [v for v in home.versions() if v.arrived is not None and v.arrived.inbox == inbox]
    served = {move["version"] for move in home.moves}
    for version in reversed(mine):
        if version.id in served:
            return version
    together = [v for v in mine if v.parent == mine[-1].parent]
    over = bool(mine) and not mine[-1].accepted and _over(together, RetryTable.model_validate(mine[-1].settings["retry"]))
    return mine[-1] if over else None


@dataclass(frozen=True, slots=True)
class Again:
    """An update that is made once more, from a version of its own and as it was learned, since something in its past was taken back."""

    parent: Version
    settings: HomeSettings


class Job:
    """An update under way: what it learns, from which version, and what it has come to."""

    def __init__(self, home: Home, arrived: Arrival, inbox: int | None, report: Progress, again: Again | None = None) -> None:
        self.home, self.inbox, self.report, self.hash = home, inbox, report, arrived.hash
        self.settings = again.settings if again else home.settings
        self.kind: Kind = "rebuilt" if again else "update"
        self.recipe = recipe_of(self.settings.learn.recipe)
        head = home.head
        self.parent = again.parent if again else home.version(head.parent) if head.parent and self._is_mine(head) else head
        old = load_tests(home, self.parent.kept.tests)
        self.arrived = replace(arrived, tests=with_old_answers(arrived.tests, old))
        self.asked = Asked(still_true(old, arrived), self.arrived.tests)
        self._before: tuple[Seen, Anchor | None] | None = None

    def decided_elsewhere(self) -> Version | None:
        """What became of it already, where that cannot be seen from the head: the head has moved since, on or back, or the settings have changed."""
        found = None if self.inbox is None else decided(self.home, self.inbox)
        return None if found in self.made() and (found == self.home.head or not found.accepted) else found

    def attempts(self) -> Iterator[int]:
        """The number of each attempt, while there is one to make."""
        while True:
            mine = self.made()
            if mine and (mine[-1].accepted or _over(mine, self.settings.retry)):
                return
            yield len(mine)

    def attempt(self, number: int) -> None:
        """Learn, measure, decide, commit."""
        began = perf_counter()
        opened = opened_to_learn(self.home, self.parent, self.settings, number)
        before, anchor = self._before = self._before or self._asked_before(opened)
        lesson = Lesson(opened, self.home.work / f"{self._key()}-{number}", self.settings.learn.save_every, self.report)
        loaded, lesson_began = perf_counter() - began, perf_counter()
        try:
            lesson.learn(self.arrived)
            testing = perf_counter()
            self.report("testing", 1.0)
            after = see(opened.served, self.asked, self.settings, anchor)
            found = evidence(before, after, self.asked, self.home.lineage(self.parent)[-1])
        except Diverged as problem:
            testing, after, found = perf_counter(), Seen(), Evidence(broken=str(problem))
        tested = perf_counter()
        decision = decide(found, self._rules())
        version = self._version(number, opened, found, after, decision)
        cost = {"load": loaded, "learn": lesson.seconds or testing - lesson_began, "test": tested - testing, "commit": perf_counter() - tested}
        self.home.commit(replace(version, created=now(), cost=cost, report=sentences(version, (*self._outdated(), *self.arrived.told))))
        self.home.log("commit", version=version.id, number=version.number, accepted=version.accepted, reasons=version.reasons, seconds=cost)

    def finish(self) -> Version:
        """Put the last attempt into service if it was accepted, tell others, clear up; done twice it does no harm."""
        version, unfinished = self.made()[-1], self.home.work.exists()
        if version.accepted and self.home.head.id != version.id:
            self.home.serve(version, "accepted")
            unfinished = True
        if unfinished:
            tell(self.home, version, self.settings)
            shutil.rmtree(self.home.work, ignore_errors=True)
        return version

    def made(self) -> list[Version]:
        """The attempts that were committed, also before an interruption."""
        gone = self.home.objects.withdrawn()  # these can be served no more, so what they learned may be learned anew
        return [v for v in self.home.versions() if v.parent == self.parent.id and self._is_mine(v) and v.id not in gone]

    def _is_mine(self, version: Version) -> bool:
        same = version.arrived is not None and (version.arrived.hash, version.arrived.inbox) == (self.hash, self.inbox)
        return same and version.recipe == self.recipe.label and dict(version.settings) == self.settings.to_json() and version.kind == self.kind

    def _rules(self) -> Rules:
        """The gate's; of an update made again whose own tests were all taken back no gain is asked."""
        rules = self.settings.gate.rules()
        return replace(rules, least_gain=None) if self.kind == "rebuilt" and not self.asked.new else rules

    def _outdated(self) -> tuple[str, ...]:
        """What no longer counts among the earlier tests, since a wrong update could hide its losses so."""
        had = load_tests(self.home, self.parent.kept.tests)
        gone = {task: len(had[task].rows) - len(self.asked.old[task].rows if task in self.asked.old else ()) for task in had}
        again = {task: len({e.id for e in had[task].rows} & {e.id for e in of.rows}) for task, of in self.asked.new.items() if task in had}
        told = [f"{count} of {task}" for task, all_gone in gone.items() if (count := all_gone - again.get(task, 0)) > 0]
        return (f"No longer tested, as this update answers the same questions otherwise: {', '.join(told)}.",) if told else ()

    def _key(self) -> str:
        """Of the folder with unfinished work: it is gone on from by this very update alone."""
        parts = [self.parent.id, self.hash, self.inbox, self.settings.to_json(), VERSION]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]

    def _asked_before(self, parent: Opened) -> tuple[Seen, Anchor | None]:
        """What the parent answers, and thinks of the anchor text; asked once for all attempts."""
        self.report("testing what was there", 0.0)
        with writable(self.home.work):
            self.home.work.mkdir(exist_ok=True)
        anchor = anchor_of(parent.served, self.settings, self.home)
        return see(parent.served, self.asked, self.settings, None, answers_of(self.home, self.parent)), anchor

    def _version(self, number: int, opened: Opened, found: Evidence, after: Seen, decision: Decision) -> Version:
        """Everything of the attempt stored, and the record of it."""
        objects, broken = self.home.objects, bool(found.broken)
        tests = merged(self.asked.old, self.asked.new, self.settings.test.most_rows)
        said = {task: {**after.old.get(task, {}), **after.new.get(task, {})} for task in tests} if not broken else {}
        answers = objects.put_json(answers_json({task: {e.id: of[e.id] for e in tests[task].rows} for task, of in said.items()}))
        names = store_tests(self.home, tests), answers
        kept = Kept({}, "", {}, *names) if broken else kept_of(self.home, opened.model, opened.learner, *names, known_tensors(self.home))
        came = replace(noted(self.home, self.arrived, self.settings, self.inbox), hash=self.hash)
        about = self.settings.to_json(), came, number, kept, task_scores(found), measured(found, after)
        last = self.home.versions()[-1].number
        return Version(
            last + 1, self.parent.id, self.parent.base, self.kind, VERSION, self.recipe.label, *about, accepted=decision.accepted, reasons=decision.reasons
        )


def _over(mine: Sequence[Version], retry: RetryTable) -> bool:
    """After these refused attempts no other one is made."""
    spent = sum(seconds for version in mine for seconds in version.cost.values()) / 60
    return len(mine) > retry.attempts or spent >= retry.minutes


def _silent(text: str, share: float) -> None:
    """Tells nobody."""
