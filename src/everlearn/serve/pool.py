"""A home's versions in memory: the one in service, others as they are asked for, and what a promotion or rollback changes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from everlearn.errors import Busy, EverlearnError
from everlearn.serve.canary import Tally, Trial
from everlearn.serve.opening import Served, open_served
from everlearn.versions.home import Home
from everlearn.versions.record import Version

LATEST = "latest"
EVERY = 0.1  # seconds between looks at which version is in service: a stat of two small files
AGAIN = 1.0  # seconds after which what failed is tried again


@dataclass(frozen=True, slots=True)
class Standing:
    """Which versions answer `latest`: one, and while one is on trial a share of it."""

    served: Served
    trial: Served | None = None


class Pool:
    """Versions of a home, opened when first asked for, the last used of them kept.

    Which one is `latest` changes in one step, after the new one is in memory: a request gets one version and keeps it. A version that was withdrawn
    leaves memory at the next look. Where a version cannot be opened the one before goes on serving, and `problem` says why.

    most: versions in memory beside what is under way.   device: as `load_model` takes it.   trial: of newly promoted versions.
    """

    def __init__(self, home: Home, most: int = 3, device: str | None = None, trial: Trial | None = None) -> None:
        self.home, self.most, self.device, self.trial = home, most, device, trial or Trial()
        self.problem, self.swaps = "", 0
        self.tallies: dict[str, Tally] = {}
        self._kept: OrderedDict[str, Served] = OrderedDict()
        self._opening, self._keeping, self._changing = threading.Lock(), threading.Lock(), threading.Lock()
        self._refused = ""  # of a trial that failed, until the home is rolled back
        self._needed: set[str] = set()
        self._seen = self._stamp()
        self._stand(Standing(self.opened(home.head)))
        self._stop = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="everlearn-watcher", daemon=True)
        self._watcher.start()

    def chosen(self, key: str) -> Served:
        """What answers `latest`. key: requests with the same one get the same version while one is on trial."""
        standing = self.standing
        return standing.trial if standing.trial is not None and self.trial.takes(key) else standing.served

    def named(self, name: str) -> Served:
        """A version by number ("v3" or "3"), or the beginning of its id. Raises SettingError for none, StateError for one that was withdrawn."""
        return self.opened(self.found(name))

    def found(self, name: str) -> Version:
        """The same, not opened."""
        version = self.home.version(name)
        self.home.usable(version)
        return version

    def warm(self, version: Version) -> Served | None:
        """The version where it is in memory; nothing is waited for."""
        with self._keeping:
            if version.id in self._kept:
                self._kept.move_to_end(version.id)
            return self._kept.get(version.id)

    def opened(self, version: Version) -> Served:
        """The version in memory, opened now where it was not; one after another."""
        if (served := self.warm(version)) is not None:
            return served
        with self._opening:
            served = self.warm(version) or open_served(self.home, version, self.device)
            with self._keeping:
                self._kept[version.id] = served
                self._kept.move_to_end(version.id)
                for old in [name for name in self._kept if name not in self._needed | {version.id}][: max(0, len(self._kept) - self.most)]:
                    del self._kept[old]
        return served

    def judge(self, version: str, answers: int = 0, bad: int = 0) -> None:
        """Count answers of a version, by its id, and those that failed or were corrected."""
        with self._changing:
            tally = self.tallies.setdefault(version, Tally())
            tally.answers += answers
            tally.bad = min(tally.answers, tally.bad + bad)  # an answer from before the trial may be corrected in it

    def held(self) -> list[Served]:
        """The versions in memory."""
        return list(self._kept.values())

    def close(self) -> None:
        self._stop.set()
        self._watcher.join()

    def _watch(self) -> None:
        while not self._stop.wait(EVERY):
            try:
                self.look()
            except Exception as problem:  # a broken version, a file that is being changed, a disk that is gone: what serves goes on serving
                self.problem = str(problem) if isinstance(problem, EverlearnError) else f"{type(problem).__name__}: {problem}"
                self._stop.wait(AGAIN)

    def look(self) -> None:
        """Take up a promotion or rollback, and decide a trial."""
        stamp = self._stamp()
        if stamp != self._seen:
            self._follow()
            self._seen, self.problem = stamp, ""
        trial = self.standing.trial
        if trial is not None:
            old, new = (self.tallies.setdefault(one.version.id, Tally()) for one in (self.standing.served, trial))
            verdict = self.trial.verdict(old, new)
            if verdict == "passed":
                self._swap(Standing(trial))
                self.home.log("canary", version=trial.version.id, number=trial.version.number, became="passed", answers=new.answers, bad=new.bad)
            elif verdict == "failed":
                self._refused = trial.version.id
                self._swap(Standing(self.standing.served))
                self.home.log("canary", version=trial.version.id, number=trial.version.number, became="failed", answers=new.answers, bad=new.bad)
        if self._refused:
            self._roll_back()

    def _follow(self) -> None:
        """What the home says now."""
        gone = self.home.objects.withdrawn()
        head, standing = self.home.head, self.standing
        if head.id == self._refused:
            return
        self._refused = ""
        if head.id != standing.served.version.id and (standing.trial is None or head.id != standing.trial.version.id):
            served = self.opened(head)
            tried = self.trial.share > 0 and self.home.moves[-1]["why"] != "rollback" and standing.served.version.id not in gone
            if tried:
                self.tallies[head.id] = Tally()
            self._swap(Standing(standing.served, served) if tried else Standing(served))
        elif head.id == standing.served.version.id and standing.trial is not None:
            self._swap(Standing(standing.served))  # rolled back by hand while on trial
        with self._opening, self._keeping:
            for name in [name for name in self._kept if name in gone]:
                del self._kept[name]

    def _roll_back(self) -> None:
        """The home too goes back to what serves, unless another version came into service meanwhile; tried again while another process writes to it."""
        if self.home.head.id == self._refused:
            with suppress(Busy):
                self.home.rollback(self.standing.served.version.id, only_from=self._refused)
        if self.home.head.id != self._refused:
            self._refused = ""

    def _swap(self, standing: Standing) -> None:
        self._stand(standing)
        self.swaps += 1

    def _stand(self, standing: Standing) -> None:
        self.standing = standing
        self._needed = {one.version.id for one in (standing.served, standing.trial) if one is not None}

    def _stamp(self) -> tuple[tuple[int, int, int], ...]:
        """Changes whenever another version is put into service, or one is withdrawn."""
        return tuple(_about(self.home.folder / name) for name in ("head.json", "forgotten.json"))


def _about(path: Path) -> tuple[int, int, int]:
    try:
        about = path.stat()
    except FileNotFoundError:
        return (0, 0, 0)
    return about.st_mtime_ns, about.st_ino, about.st_size
