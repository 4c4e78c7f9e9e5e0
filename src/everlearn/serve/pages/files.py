"""The files that came to a home, by page, folder or feedback: where each stands, and why."""

from __future__ import annotations

from dataclasses import dataclass

from everlearn.serve.uploads import Upload, Uploads, called
from everlearn.versions.home import Home
from everlearn.versions.inbox import DONE, INBOX, QUARANTINE, REASON, REJECTED, Claim, Inbox
from everlearn.versions.record import Version
from everlearn.versions.watching import Watched, watched

SETTLED = ("promoted", "by_hand", "refused", "rejected", "done")  # nothing changes any more by itself
# In which order the places are read. A file moves on meanwhile: it is found in one that it comes to, also where it goes back to the inbox.
ORDER = (INBOX, QUARANTINE, INBOX, DONE, REJECTED)
STEPS = ("step_came", "step_learning", "step_testing", "step_decided")


@dataclass(frozen=True, slots=True)
class Filed:
    """A file. id: its number in the inbox, or what it is called before it has one.   state: received, waiting, learning, quarantine, promoted (the gate
    accepted it), by_hand (it did not, and it was put into service), refused, rejected or done.   step: of STEPS, how many are behind it.   share: of
    learning, 0 to 1, None where it is not being learned.   why: sentences, of the gate or of what went wrong.   attempts: the versions that it led to, the
    one that counts last.
    """

    id: str
    name: str
    test: str
    time: str
    state: str
    step: int
    share: float | None = None
    why: tuple[str, ...] = ()
    attempts: tuple[Version, ...] = ()

    @property
    def settled(self) -> bool:
        return self.state in SETTLED

    @property
    def number(self) -> int:
        """In the inbox; 0 before."""
        return int(self.id) if self.id.isdecimal() else 0

    @property
    def says(self) -> str:
        """The key of the sentence that tells where it stands."""
        return "says_testing" if self.state == "learning" and self.step == 2 else f"says_{self.state}"


class Files:
    """What came to a home, as it stands at this moment."""

    def __init__(self, home: Home, uploads: Uploads) -> None:
        self.home, self.uploads = home, uploads
        self.watched, self._waiting = watched(home), uploads.waiting()
        inbox = Inbox(home)
        self._claims = {claim.number: (claim, place) for place in ORDER for claim in inbox.at(place)}
        self._numbers = {id: claim.number for claim, _ in self._claims.values() for id in called(claim)}
        self._served, self._made = {move["version"] for move in home.moves}, home.versions()  # last: what is done has its version

    def every(self) -> list[Filed]:
        """The newest first."""
        received = [self._received(upload) for upload in reversed(self._waiting) if upload.id not in self._numbers]
        return received + [self._filed(*self._claims[number]) for number in sorted(self._claims, reverse=True)]

    def one(self, id: str) -> Filed | None:
        """By its number, or by what it was called before; None for none."""
        number = int(id) if id.isascii() and id.isdecimal() and len(id) < 10 else self._numbers.get(id, 0)
        if number in self._claims:
            return self._filed(*self._claims[number])
        return next((self._received(upload) for upload in self._waiting if upload.id == id), None)

    def _received(self, upload: Upload) -> Filed:
        return Filed(upload.id, upload.name, upload.test, upload.time, "received", 1)

    def _filed(self, claim: Claim, place: str) -> Filed:
        about = str(claim.number), claim.name, claim.test, claim.time
        mine = tuple(version for version in self._made if version.arrived is not None and version.arrived.inbox == claim.number)
        if place == INBOX:
            return self._in_inbox(about, claim, mine, self.watched)
        if place in (QUARANTINE, REJECTED):
            return Filed(*about, place if place == QUARANTINE else "rejected", 1 if place == QUARANTINE else 4, None, _reason(claim))
        assert place == DONE
        counts = next((version for version in reversed(mine) if version.id in self._served), mine[-1] if mine else None)
        if counts is None:
            return Filed(*about, "done", 4)
        attempts = (*(version for version in mine if version is not counts), counts)
        state = "promoted" if counts.accepted else "by_hand" if counts.id in self._served else "refused"
        return Filed(*about, state, 4, None, counts.reasons, attempts)

    def _in_inbox(self, about: tuple[str, str, str, str], claim: Claim, mine: tuple[Version, ...], seen: Watched | None) -> Filed:
        if seen is None or seen.inbox != claim.number:
            return Filed(*about, "waiting", 1, None, (), mine)
        testing = seen.what == "testing"
        return Filed(*about, "learning", 2 if testing else 1, None if testing else seen.share if seen.what == "learning" else 0.0, (), mine)


def _reason(claim: Claim) -> tuple[str, ...]:
    """What was written beside it."""
    try:
        text = (claim.place / REASON).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ()
    return (text,) if text else ()
