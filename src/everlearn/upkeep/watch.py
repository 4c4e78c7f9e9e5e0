"""A folder whose files are learned as they come: in order, exactly once, also across crashes."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal

from everlearn.errors import Busy, DataError, SettingError, Unsuited
from everlearn.streams.files import read_examples
from everlearn.types import Example
from everlearn.upkeep.arriving import TestSet, arrival, read_tests
from everlearn.upkeep.dropped import Dropped, Found
from everlearn.upkeep.gathering import Gathering
from everlearn.upkeep.learning import Progress
from everlearn.upkeep.update import cycle, decided
from everlearn.versions.home import Home
from everlearn.versions.inbox import DONE, INBOX, QUARANTINE, REJECTED, Claim, Inbox
from everlearn.versions.record import Version
from everlearn.versions.watching import Watcher

Say = Callable[[str], None]
SHORTEST = 0.02  # seconds between two looks at files that are still written
SHOWN = 3  # sources named in a sentence


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of a file. number: in the inbox.   place: the folder it lies in now.   why: one sentence or more.   version: the last one it led to.

    >>> Taken(7, "monday.jsonl", "rejected", Path("home/rejected/000007-monday.jsonl"), "It has no rows.").to_json()["became"]
    'rejected'
    """

    number: int
    name: str
    became: Literal["promoted", "refused", "rejected", "waiting"]
    place: Path
    why: str
    version: Version | None = None

    def to_json(self) -> dict[str, Any]:
        version = None if self.version is None else self.version.id
        number = None if self.version is None else self.version.number
        return {"inbox": self.number, "name": self.name, "became": self.became, "place": str(self.place), "why": self.why, "id": version, "version": number}


def watch(
    home: Home | str | Path, folder: str | Path | None = None, *, once: bool = False, say: Say | None = None, progress: Progress | None = None
) -> Iterator[Taken]:
    """Learn what is dropped into a folder, file by file; tells what became of each as soon as that is decided.

    Taken are .jsonl, .jsonl.gz, .csv and .parquet in the order of their names, each once it has not changed for [watch] settle seconds; `Dropped` says more.
    Every file is an update of its own, with NAME.test.SUFFIX as its test rows if that lies beside it. A file is copied into the home's inbox under a
    number that its version records, then removed from the folder: stopped at any moment and started again, each is learned exactly once. Promoted and
    refused ones go to done/, those that cannot be read or learned to rejected/ with the reason beside them, and those with a row or test row of a source
    that is not in [watch] trusted wait in quarantine/ for `approve`.

    folder: None looks at the home's inbox alone, where a server puts feedback and files.
    once: stop when nothing is left to take, instead of looking every [watch] every seconds; a file that goes on changing for twice `settle` seconds is
    left for the next time.   say: is told what it waits for, and what it leaves alone.   Another process that writes to the home is waited for. Raises
    SettingError and StateError for a home that cannot be used or written, DataError where there is no such folder; nothing is lost by it.

    >>> from everlearn import create_home
    >>> from tempfile import mkdtemp
    >>> top = Path(mkdtemp())
    >>> (top / "new").mkdir()
    >>> written = (top / "new" / "monday.jsonl").write_text("this is no JSON")
    >>> [(taken.name, taken.became) for taken in watch(create_home(top / "home"), top / "new", once=True)]
    [('monday.jsonl', 'rejected')]
    """
    place = home if isinstance(home, Home) else Home(home)
    return _watched(place, None if folder is None else _outside(place, Path(folder)), once, _Once(say or (lambda text: None)), progress)


def approve(home: Home | str | Path, name: str, *, reject: bool = False) -> Claim:
    """Let a file that waits in quarantine be learned, in its turn, at the next look of `watch`; or reject it.

    name: the file's, or its number in the inbox.   Raises SettingError where no such file waits, or several do.
    """
    place = home if isinstance(home, Home) else Home(home)
    with place.writing():
        inbox = Inbox(place)
        claim = inbox.waiting(name)
        return inbox.move(claim, REJECTED, "The owner of the home rejected it.") if reject else inbox.approve(claim)


def waiting(home: Home | str | Path) -> list[Claim]:
    """The files that wait in quarantine, by number; each folder has the reason beside it."""
    return Inbox(home if isinstance(home, Home) else Home(home)).at(QUARANTINE)


def _watched(home: Home, folder: Dropped | None, once: bool, say: _Once, progress: Progress | None) -> Iterator[Taken]:
    watcher = Watcher(home, "" if folder is None else str(folder.folder.absolute()))
    try:
        yield from _looked(home, folder, once, say, watcher, progress or _silent)
    finally:
        watcher.close()


def _looked(home: Home, folder: Dropped | None, once: bool, say: _Once, watcher: Watcher, progress: Progress) -> Iterator[Taken]:
    patience, gathering = time.monotonic(), Gathering(home)
    while True:
        watcher.say()
        table = home.settings.watch
        try:
            with home.writing():
                found, taken = _step(home, folder, gathering, say, watcher, progress)
        except Busy:
            say("Another process is writing to this home; waiting for it.")
            time.sleep(min(table.every, 1.0))
            continue
        except DataError as problem:
            if once:
                raise
            say(f"Waiting: {problem}")  # a folder of another machine comes back
            time.sleep(table.every)
            continue
        if taken is not None:
            patience = time.monotonic()
            yield taken
            continue
        if found.changing:
            say(f"Still being written, so not taken yet: {', '.join(found.changing)}.")
        if once and (not found.changing or time.monotonic() - patience > 2 * table.settle):
            return
        time.sleep(max(SHORTEST, min(table.every, table.settle / 4)) if found.changing else table.every)


def _step(home: Home, folder: Dropped | None, gathering: Gathering, say: _Once, watcher: Watcher, progress: Progress) -> tuple[Found, Taken | None]:
    """Take what is there, and learn the first file that was taken, if it is due. The home is locked."""
    inbox = Inbox(home)
    inbox.recover()
    found = Found() if folder is None else folder.look(home.settings.watch.settle)
    for drop in found.ready:
        try:
            inbox.claim(drop.data, drop.test)
        except DataError as problem:
            say(f"Left: {problem}")
    for name, why in found.left.items():
        say(f"Left: {name!r}, {why}.")
    claims = inbox.at(INBOX)
    due = gathering.due(claims)
    if due.why:
        say(due.why)
    if not due.files:
        return found, None
    watcher.say(claims[0].number, "reading")
    return found, _handled(home, inbox, claims[0], watcher.about(claims[0].number, progress))


def _handled(home: Home, inbox: Inbox, claim: Claim, progress: Progress) -> Taken:
    """Learn a claim, or find out why not; then put it where it belongs."""
    version = None if claim.data.exists() else decided(home, claim.number)
    if version is None:
        table = home.settings.watch
        try:
            rows, tests = _read(home, claim, table.most_bad)
            if not claim.approved and (strange := _untrusted(rows, tests, table.trusted)):
                shown = ", ".join(map(repr, strange[:SHOWN])) + (f" and {len(strange) - SHOWN} more" if len(strange) > SHOWN else "")
                why = f"It has rows from {shown}, and [watch] trusted is {table.trusted!r}. Let it in with `everlearn approve HOME {claim.number}`."
                return _taken(inbox.move(claim, QUARANTINE, why), "waiting", why)
            version = cycle(home, arrival(rows, tests, home.settings.test, claim.name), claim.number, progress)
        except (DataError, Unsuited) as problem:
            why = str(problem).replace(f"{claim.place}/", "")
            return _taken(inbox.move(claim, REJECTED, why), "rejected", why)
    return _taken(inbox.move(claim, DONE), "promoted" if version.accepted else "refused", " ".join(version.reasons), version)


def _read(home: Home, claim: Claim, most_bad: float) -> tuple[list[Example], Mapping[str, TestSet] | None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a share of bad lines is allowed, and nobody sits before the screen
        rows = read_examples(claim.data, most_bad=most_bad)
    return rows, None if claim.tests is None else read_tests(claim.tests, home.settings.test)


def _untrusted(rows: Sequence[Example], tests: Mapping[str, TestSet] | None, trusted: Sequence[str]) -> list[str]:
    """The sources of rows and test rows that match none of the patterns."""
    sources = {row.source for row in (*rows, *(row for of in (tests or {}).values() for row in of.rows))}
    return sorted(source for source in sources if not any(fnmatchcase(source, pattern) for pattern in trusted))


def _taken(claim: Claim, became: Literal["promoted", "refused", "rejected", "waiting"], why: str, version: Version | None = None) -> Taken:
    return Taken(claim.number, claim.name, became, claim.place, why, version)


def _outside(home: Home, folder: Path) -> Dropped:
    if folder.resolve().is_relative_to(home.folder.resolve()):
        raise SettingError(f"a folder in the home cannot be watched (folder={str(folder)!r}). Name one outside it.")
    found = Dropped(folder)
    found.look(0.0)
    return found


def _silent(what: str, share: float) -> None:
    """Tells nobody."""


class _Once:
    """Says the same thing once."""

    def __init__(self, say: Say) -> None:
        self.say, self.said = say, set[str]()

    def __call__(self, text: str) -> None:
        if text not in self.said:
            self.said.add(text)
            self.say(text)
