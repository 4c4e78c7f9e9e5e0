"""Corrections and clicks from clients: kept at once, and handed to the home's inbox as files to learn from."""

from __future__ import annotations

import json
import math
import threading
import time
from functools import partial
from pathlib import Path

from everlearn.disk import flush_folder, write_whole
from everlearn.errors import DataError
from everlearn.serve.correcting import agreeing
from everlearn.serve.handing import WHY, Handing, named
from everlearn.serve.lines import add_lines, mend, rows_in
from everlearn.types import Example
from everlearn.versions.home import Home
from everlearn.versions.inbox import INBOX, QUARANTINE, Inbox
from everlearn.versions.settings import ServeTable

FOLDER = "feedback"  # in the home: rows that are not in the inbox yet
TRUSTED, OTHERS = "trusted.jsonl", "others.jsonl"
EVERY = 1.0  # seconds between looks at whether there is enough for a file of the inbox


class Feedback:
    """Rows of clients on their way to the inbox.

    A row is on disk when `add` returns. When enough have come, or the first has waited long enough ([serve] feedback_rows, feedback_minutes), they become one
    file of the inbox, as soon as no other process writes to the home; those of sources that [serve] trusted does not name go to quarantine, and
    wait for `everlearn approve`. `everlearn watch` learns the inbox.
    """

    def __init__(self, home: Home, table: ServeTable) -> None:
        self.home, self.table, self.folder = home, table, home.folder / FOLDER
        for path in (self.folder / TRUSTED, self.folder / OTHERS):
            mend(home, path)
        self._since: dict[Path, float] = {}  # when the first of the rows that wait came, in monotonic seconds; of those from before this server nobody knows
        self._lock = threading.Lock()
        self.handing = Handing(self.hand_over, EVERY, "feedback")

    @property
    def problem(self) -> str:
        """What keeps feedback from the inbox, "" for nothing."""
        return self.handing.problem

    def add(self, example: Example) -> bool:
        """Keep a row to learn from; is its source trusted? Raises StateError for a full disk, or while something is being forgotten."""
        trusted = self.trusts(example.source)
        path = self.folder / (TRUSTED if trusted else OTHERS)
        with self.home.arriving(), self._lock:
            add_lines(path, [example.to_json()])
            self._since.setdefault(path, time.monotonic())
        return trusted

    def trusts(self, source: str) -> bool:
        return named(source, self.table.trusted)

    def hand_over(self, all_of_it: bool = False) -> list[str]:
        """Put what is enough for a file, or all there is, into the inbox; the names of the claims. Raises Busy while another process writes to the home."""
        due = [path for name in (TRUSTED, OTHERS) if (path := self.folder / name).exists() and (all_of_it or self._due(path))]
        left = self.folder.is_dir() and any(path.name.startswith(("feedback-", ".everlearn-")) for path in self.folder.iterdir())  # stopped between two steps
        if not due and not left:
            return []
        with self.home.writing():
            with self.home.arriving(), self._lock:
                for path in [path for path in due if path.exists()]:  # what all of it was forgotten of is gone
                    _agree(path)
                    kind, stamp = path.name.partition(".")[0], time.strftime("%Y%m%dT%H%M%S", time.gmtime())
                    self._since.pop(path, None)
                    path.rename(self.folder / f"feedback-{kind}-{stamp}-{time.time_ns() % 10**9:09}.jsonl")
                flush_folder(self.folder)
            inbox = Inbox(self.home)
            for place in (INBOX, QUARANTINE):
                inbox.recover(place)  # one that was stopped after a claim left its file here
            return [label for path in sorted(self.folder.glob("feedback-*.jsonl")) if (label := _claimed(inbox, path))]

    def close(self) -> None:
        """Hand over what is there, where the home is free; what is left goes over when a server starts again."""
        self.handing.close(partial(self.hand_over, all_of_it=True))

    def _due(self, path: Path) -> bool:
        with path.open("rb") as file:
            rows = sum(1 for _ in file)
        waited = time.monotonic() - self._since[path] if path in self._since else math.inf
        return rows >= self.table.feedback_rows or (rows > 0 and waited >= 60 * self.table.feedback_minutes)


def _agree(path: Path) -> None:
    """Clicks on one answer among different others are equal content with unequal choices, which no file may hold: each is told all that was shown."""
    try:
        rows = [Example.from_json(row) for row in rows_in(path)]
    except (ValueError, TypeError):  # edited by hand; whoever learns it names the line
        return
    if (agreed := agreeing(rows)) != rows:
        write_whole(path, "".join(json.dumps(row.to_json()) + "\n" for row in agreed).encode("ascii"))


def _claimed(inbox: Inbox, path: Path) -> str:
    """Take a file to where its rows belong, and nowhere else on the way; its place and name, "" where it cannot be taken."""
    place, why = INBOX, ""
    if "-others-" in path.name:
        place, why = QUARANTINE, WHY.format(inbox.next())
    try:
        claim = inbox.claim(path, None, place, why)
    except DataError:
        return ""
    return "" if claim is None else f"{place}/{claim.label}"
