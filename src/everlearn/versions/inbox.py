"""What a home has taken from a watched folder: each file under a number of its own, in one place of four."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from everlearn.disk import flush_folder, writable, write_whole
from everlearn.errors import DataError, SettingError, StateError, did_you_mean
from everlearn.versions.home import Home, now

INBOX, DONE, REJECTED, QUARANTINE = PLACES = ("inbox", "done", "rejected", "quarantine")
RECORD, REASON = "claim.json", "reason.txt"
TESTS = "tests"  # the folder of a claim that holds its test file, so that no two names meet
LONGEST = 200  # bytes of a file's name: its folder puts its number before it, and 255 is the limit
CHUNK = 1 << 20
LOOKS = 2  # at a folder that another process is moving claims out of


@dataclass(frozen=True, slots=True)
class Original:
    """A file as it was copied. path: where it lay.   time: of its last change, nanoseconds.   sha256: of its bytes."""

    path: str
    size: int
    time: int
    sha256: str

    def is_at(self, path: Path) -> bool:
        """The file there is still this one. Its bytes are read only where its size and time leave a doubt."""
        about = path.lstat()
        return stat.S_ISREG(about.st_mode) and about.st_size == self.size and (about.st_mtime_ns == self.time or _copied(path, None).sha256 == self.sha256)


@dataclass(frozen=True, slots=True)
class Claim:
    """A file, and its test file, that a home took. name: of the file.   test: of its test file, "" for none.   taken: the originals are out of the
    watched folder.   approved: its sources need not be trusted.   place: the folder it lies in, not part of its record.
    """

    number: int
    name: str
    test: str
    originals: tuple[Original, ...]
    taken: bool = False
    approved: bool = False
    time: str = ""
    place: Path = Path()

    @property
    def label(self) -> str:
        return self.place.name

    @property
    def data(self) -> Path:
        return self.place / self.name

    @property
    def tests(self) -> Path | None:
        return self.place / TESTS / self.test if self.test else None

    def save(self) -> None:
        about = {key: value for key, value in asdict(self).items() if key != "place"}
        write_whole(self.place / RECORD, (json.dumps(about, indent=1) + "\n").encode())

    @classmethod
    def load(cls, place: Path) -> Claim:
        """The claim in this folder. Raises StateError for one that is cut off, edited, or names files elsewhere."""
        path = place / RECORD
        try:
            saved = json.loads(path.read_text(encoding="utf-8"))
            found = cls(**{**saved, "originals": tuple(Original(**of) for of in saved["originals"]), "place": place})
            if not isinstance(found.number, int) or not place.name.startswith(f"{found.number:06}-"):
                raise ValueError(f"its number is not its folder's (number={found.number!r})")
            for name in (found.name, found.test or "none"):
                if not _plain(name):
                    raise ValueError(f"a name in it leads elsewhere (name={name!r})")
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as problem:
            raise StateError(f"what was taken cannot be read (file={str(path)!r}): {problem}. Restore it from a copy of the home.") from problem
        return found


class Inbox:
    """The four folders of a home that hold what was taken: inbox, done, rejected, quarantine; in them a folder for each file, NNNNNN-NAME.

    A file is copied into a folder aside, which is renamed into its place; only then the original goes. From place to place a claim moves by one rename. So
    at any moment a file lies in the watched folder or in the home or, for a moment, in both, and then its record says that it is the same one; and what is
    taken into quarantine was never in the inbox. Whoever calls what changes something holds the home's lock.
    """

    def __init__(self, home: Home) -> None:
        self.home = home

    def at(self, place: str) -> list[Claim]:
        """The claims in one of the four places, by number. One that is moved meanwhile, by who holds the home's lock, is in the place that it came to."""
        folder, found, moved = self.home.folder / place, list[Claim](), True
        for _ in range(LOOKS):
            if not moved or not folder.is_dir():
                break
            found, moved = [], False
            for path in sorted(folder.iterdir(), key=_number):
                try:
                    found += [Claim.load(path)] if _number(path) else []
                except StateError:
                    if path.exists():
                        raise
                    moved = True
        return found

    def next(self) -> int:
        """A number that no claim and no version has had, from 1."""
        claimed = [_number(path) for place in PLACES if (self.home.folder / place).is_dir() for path in (self.home.folder / place).iterdir()]
        learned = [v.arrived.inbox for v in self.home.versions() if v.arrived is not None and v.arrived.inbox is not None]
        return max([0, *claimed, *learned]) + 1

    def claim(self, data: Path, test: Path | None, place: str = INBOX, why: str = "") -> Claim | None:
        """Take a file, and its test file, under the next number; None where it changed meanwhile, and is left. Raises StateError for a full disk.

        place: INBOX, or QUARANTINE with the reason, which is written beside it before it is there.
        """
        folder, number = self.home.folder / INBOX, self.next()
        name, aside = _readable(data.name), folder / ".taking"
        with writable(folder):
            shutil.rmtree(aside, ignore_errors=True)
            (aside / TESTS).mkdir(parents=True) if test is not None else aside.mkdir(parents=True)
            try:
                originals = [_copied(data, aside / name)]
                if test is not None:
                    originals.append(_copied(test, aside / TESTS / _readable(test.name)))
                    flush_folder(aside / TESTS)
            except FileNotFoundError:
                return None
        found = Claim(number, name, "" if test is None else _readable(test.name), tuple(originals), time=now(), place=aside)
        found.save()
        if why:
            _give_reason(found, why)
        found = self._moved(found, self.home.folder / place / f"{number:06}-{name}")
        self.home.log("take", inbox=number, name=name, test=found.test, **({} if place == INBOX else {"to": place, "why": why}))
        return self.take_away(found)

    def recover(self, place: str = INBOX) -> None:
        """Finish what a crash left half done of what was taken into this place; done twice it does no harm."""
        with writable(self.home.folder / INBOX):
            if (self.home.folder / INBOX / ".taking").exists():
                shutil.rmtree(self.home.folder / INBOX / ".taking")
        for claim in self.at(place):
            self.take_away(claim)

    def take_away(self, claim: Claim) -> Claim | None:
        """Remove the originals of a claim from their folder; None, with the claim given up, where one was changed since it was copied."""
        begun = any(aside.exists() for _, _, aside in _asides(claim))
        if not claim.taken:
            if not begun and any(os.path.lexists(path) and not original.is_at(path) for original, path, _ in _asides(claim)):
                self._give_up(claim)
                return None
            for original, path, aside in _asides(claim):
                with writable(path):
                    _set_aside(original, path, aside)
            claim = replace(claim, taken=True)
            claim.save()
        for _, path, aside in _asides(claim):
            with writable(path):
                aside.unlink(missing_ok=True)
        return claim

    def move(self, claim: Claim, place: str, why: str = "") -> Claim:
        """Into another of the four places, with the reason beside it. In done, nothing of it but its record stays where the home keeps no data."""
        if why:
            _give_reason(claim, why)
        if place == DONE and not self.home.settings.keep.data:
            for path in (claim.data, claim.tests):
                if path is not None:
                    with writable(path):
                        path.unlink(missing_ok=True)
        moved = self._moved(claim, self.home.folder / place / claim.label)
        self.home.log("move", inbox=claim.number, name=claim.name, to=place, why=why)
        return moved

    def approve(self, claim: Claim) -> Claim:
        """Back into the inbox, with its number; its sources are not asked for again."""
        claim = replace(claim, approved=True)
        claim.save()
        return self.move(claim, INBOX)

    def waiting(self, name: str) -> Claim:
        """The claim in quarantine with this name: its file's, its folder's, or its number. Raises SettingError for none, or several."""
        known = self.at(QUARANTINE)
        found = [c for c in known if name in (c.label, str(c.number), f"{c.number:06}")] or [c for c in known if name == c.name]
        if len(found) != 1:
            told = did_you_mean(name, [c.label for c in known]) if not found else f"Meant are {', '.join(c.label for c in found)}: name one of them."
            raise SettingError(f"{'no' if not found else 'more than one'} such file waits in quarantine (name={name!r}). {told}")
        return found[0]

    def _moved(self, claim: Claim, to: Path) -> Claim:
        with writable(to):
            to.parent.mkdir(exist_ok=True)
            flush_folder(claim.place)
            os.rename(claim.place, to)
        flush_folder(to.parent)
        flush_folder(claim.place.parent)
        return replace(claim, place=to)

    def _give_up(self, claim: Claim) -> None:
        aside = claim.place.with_name(".taking")
        with writable(claim.place):
            os.rename(claim.place, aside)
            shutil.rmtree(aside)
        self.home.log("leave", inbox=claim.number, name=claim.name, why="it changed while it was taken")


def _give_reason(claim: Claim, why: str) -> None:
    write_whole(claim.place / REASON, f"{why}\n".encode("utf-8", "replace"))


def _asides(claim: Claim) -> list[tuple[Original, Path, Path]]:
    """Each original, where it lay, and the hidden name it has for the moment between there and nowhere."""
    paths = [Path(original.path) for original in claim.originals]
    return [
        (original, path, path.with_name(f".everlearn-{claim.number:06}-{place}"))
        for place, (original, path) in enumerate(zip(claim.originals, paths, strict=True))
    ]


def _set_aside(original: Original, path: Path, aside: Path) -> None:
    """Rename it: whatever has this name afterwards is another file. One that is not what was copied goes back."""
    if not aside.exists():
        if not os.path.lexists(path):
            return
        os.rename(path, aside)
    if not original.is_at(aside):
        back, again = path, 1
        while os.path.lexists(back):
            back, again = path.with_name(f"again{again}-{path.name}"), again + 1
        os.rename(aside, back)


def _copied(path: Path, to: Path | None) -> Original:
    """Copy a file, flushed to disk, or only read it. Raises DataError for what is no file, or a link."""
    try:
        opened = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    except FileNotFoundError:
        raise
    except OSError as problem:
        raise DataError(
            f"this file cannot be read (file={str(path)!r}): {problem.strerror}. Links are not followed. Give access, or the file itself."
        ) from problem
    digest, about = hashlib.sha256(), os.fstat(opened)
    if not stat.S_ISREG(about.st_mode):
        os.close(opened)
        raise DataError(f"this is no file (file={str(path)!r}). Give a file.")
    with os.fdopen(opened, "rb") as source:
        if to is None:
            while part := source.read(CHUNK):
                digest.update(part)
        else:
            with to.open("wb") as target:
                while part := source.read(CHUNK):
                    digest.update(part)
                    target.write(part)
                target.flush()
                os.fsync(target.fileno())
    return Original(str(path.absolute()), about.st_size, about.st_mtime_ns, digest.hexdigest())


def _number(path: Path) -> int:
    """Of a claim's folder; 0 for what is none."""
    digits = path.name.partition("-")[0]
    return int(digits) if len(digits) >= 6 and digits.isascii() and digits.isdecimal() and not path.is_symlink() else 0


def _plain(name: str) -> bool:
    """A name that is no path."""
    return isinstance(name, str) and name not in ("", ".", "..") and not set(name) & set("/\\\0") and name != RECORD


def _readable(name: str, most: int = LONGEST) -> str:
    """The name in characters and a length (bytes of UTF-8) that every file system takes, with its suffix, and none of our own names."""
    text = "".join("_" if c in '/\\:*?"<>|' or not c.isprintable() else c for c in os.fsencode(name).decode("utf-8", "replace"))
    if len(text.encode()) > most:
        end = text[-20:]
        text = text[:-20].encode()[: most - len(end.encode())].decode("utf-8", "ignore") + end
    return f"_{text}" if text in (RECORD, REASON, TESTS) or text.startswith(".") else text
