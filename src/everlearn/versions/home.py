"""A home: the folder of one model's versions, and which of them is in service."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from everlearn.disk import launched, one_writer, writable, write_whole
from everlearn.errors import Busy, SettingError, StateError, did_you_mean
from everlearn.version import VERSION
from everlearn.versions.migrations import FORMAT, migrated, read_about, write_about
from everlearn.versions.objects import Objects
from everlearn.versions.record import Version
from everlearn.versions.settings import FILE, HomeSettings

FORGETTING = "forgetting.json"  # what is being taken back, until it is gone
PATIENCE = 30.0  # seconds that what clients brought is waited for: it is held for one write at a time
BUSY = "another process is writing to this home (home={!r}). Wait for it; reading is allowed at any time."


class Home:
    """A model's versions on disk. Every change of it is one rename, so a crash at any moment leaves the old state or the new one.

    everlearn.toml the settings; home.json the format; head.json which version is in service; versions/ one JSON each; objects/ what they hold;
    bases/ the starting models; work/ an update that is not finished; forgotten.json what was taken back; log.jsonl what happened.

    Make one with `create_home`, open it with `Home(path)`. Raises StateError where there is none, or a broken one.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        read_about(self.folder)
        self._versions: dict[str, Version] = {}
        if self.about["format"] != FORMAT:
            with self.writing():
                migrated(self.folder)

    @property
    def about(self) -> Mapping[str, Any]:
        return read_about(self.folder)

    @property
    def settings(self) -> HomeSettings:
        """What everlearn.toml says now."""
        return HomeSettings.load(self.folder / FILE)

    @cached_property
    def objects(self) -> Objects:
        return Objects(self.folder / "objects", self.folder / "forgotten.json")

    @property
    def bases(self) -> Path:
        return self.folder / "bases"

    @property
    def work(self) -> Path:
        return self.folder / "work"

    @contextmanager
    def writing(self, forgetting: bool = False) -> Iterator[None]:
        """Only one process at a time changes a home; StateError in the second.

        forgetting: this is what finishes a deletion that was stopped half way; nothing else may change the home before, and StateError says so.
        Raises SettingError under a launcher of several processes.
        """
        if launched() > 1:
            raise SettingError(f"a home is changed by one process (WORLD_SIZE={launched()!r}). Start it without a launcher; `compare` learns in several.")
        with one_writer(self.folder, BUSY):
            if not forgetting and (self.folder / FORGETTING).exists():
                raise StateError(
                    f"something is being forgotten here, and that was stopped (home={str(self.folder)!r}). Finish it with `everlearn forget HOME`."
                )
            yield

    @contextmanager
    def arriving(self, forgetting: bool = False) -> Iterator[None]:
        """Only one at a time changes what clients brought (documents, feedback); the others wait. StateError while something is being forgotten.

        It is held for one write, not for as long as an update learns, so it is not the lock of `writing`; who holds both takes that one first. What forgets
        holds `writing`, says so in forgetting.json, and then takes this one with `forgetting`: from there on nothing comes in until that file is gone.
        """
        until = time.monotonic() + PATIENCE
        with ExitStack() as held:
            while True:
                try:
                    held.enter_context(one_writer(self.folder, BUSY, ".arriving.lock"))
                    break
                except Busy:
                    if time.monotonic() > until:
                        raise
                    time.sleep(0.005)
            if not forgetting and (self.folder / FORGETTING).exists():
                raise StateError(f"something is being forgotten here (home={str(self.folder)!r}). Send it again when that is done.")
            yield

    def versions(self) -> list[Version]:
        """All of them in the order they were made."""
        paths = sorted((self.folder / "versions").glob("[0-9]*.json"))
        for path in paths:
            if path.stem not in self._versions:
                self._versions[path.stem] = Version.load(path)
        return [self._versions[path.stem] for path in paths]

    def version(self, name: str | int = "head") -> Version:
        """By "head", a number, or the beginning of an id. Raises SettingError where none or several are meant."""
        text, known = str(name), self.versions()
        if text == "head":
            return self.head
        number = text.removeprefix("v")
        found = [v for v in known if v.number == int(number)] if number.isdecimal() and len(number) < 7 else []
        found = found or [v for v in known if v.id.startswith(text) and len(text) >= 4]
        if len(found) != 1:
            told = (
                did_you_mean(text, [f"v{v.number}" for v in known][-8:]) if not found else f"Meant are {', '.join(v.id for v in found)}: give more of the id."
            )
            raise SettingError(f"this home has {'no' if not found else 'more than one'} such version (version={text!r}). {told}")
        return found[0]

    @property
    def head(self) -> Version:
        """The version in service."""
        wanted = self._head()["version"]
        for version in self.versions():
            if version.id == wanted:
                return version
        raise StateError(f"the version in service is missing (home={str(self.folder)!r}, version={wanted!r}). Restore versions/ from a copy of the home.")

    @property
    def moves(self) -> list[dict[str, str]]:
        """Every promotion and rollback: version, why, time; the last one holds."""
        return list(self._head()["moves"])

    def commit(self, version: Version) -> None:
        """Keep a version; it is in service only once `serve` says so."""
        version.save(self.folder / "versions")

    def serve(self, version: Version, why: str) -> None:
        """Put a version into service. Raises StateError for one that was withdrawn."""
        self.usable(version)
        moves = [*(self.moves if (self.folder / "head.json").exists() else []), {"version": version.id, "why": why, "time": now()}]
        write_whole(self.folder / "head.json", (json.dumps({"version": version.id, "moves": moves}, ensure_ascii=False, indent=1) + "\n").encode())
        self.log("serve", version=version.id, number=version.number, why=why)

    def promote(self, name: str | int) -> Version:
        """Put a version into service by hand, whatever the gate said of it. Raises SettingError for no such version, StateError for a withdrawn one."""
        version = self.version(name)
        with self.writing():
            if version.id != self.head.id:
                self.serve(version, "accepted" if version.accepted else "by hand, against the gate")
        return version

    def rollback(self, name: str | int | None = None, only_from: str = "") -> Version:
        """Put an earlier version back into service, by default the one before; what is served is bit for bit what was.

        Without a name again and again it goes back step by step. only_from: an id; where another version came into service meanwhile nothing is changed, and
        that one is returned. Raises SettingError where there is nothing to go back to.
        """
        with self.writing():
            if only_from and self.head.id != only_from:
                return self.head
            version = self._before() if name is None else self.version(name)
            if version.id != self.head.id:
                self.serve(version, "rollback")
        return version

    def _before(self) -> Version:
        """What was in service before the head came: of the lineage, or of the moves where a rebase began a new one."""
        head, gone = self.head, self.objects.withdrawn()
        came = next(at for at, move in enumerate(self.moves) if move["version"] == head.id)
        earlier = [move["version"] for move in self.moves[:came] if move["version"] not in gone and move["version"] != head.id]
        if not earlier:
            raise SettingError(f"there is no version before this one to go back to (version={head.id!r}). `everlearn history` shows them all.")
        return self.version(earlier[-1])

    def usable(self, version: Version) -> None:
        """Raise StateError for a version whose weights are gone, or were never kept."""
        if not version.kept.learner:
            raise StateError(f"learning broke this version, so it was not kept (version={version.id!r}). Choose another; `everlearn history` shows them.")
        if (gone := self.objects.withdrawn().get(version.id)) is not None:
            raise StateError(f"this version was withdrawn (version={version.id!r}): {gone}. Choose another; `everlearn history` shows them.")

    def lineage(self, version: Version) -> list[Version]:
        """The version and what it grew from, the start last."""
        by_id, found = {v.id: v for v in self.versions()}, [version]
        while (parent := found[-1].parent) is not None:
            if parent not in by_id:
                raise StateError(f"a version is missing (home={str(self.folder)!r}, version={parent!r}). Restore versions/ from a copy of the home.")
            found.append(by_id[parent])
        return found

    def log(self, event: str, **about: object) -> None:
        """Add one line to log.jsonl: time, event, and what it is about."""
        line = json.dumps({"time": now(), "event": event, **about}, ensure_ascii=False, default=str)
        path = self.folder / "log.jsonl"
        with writable(path), path.open("a", encoding="utf-8", errors="replace") as file:
            file.write(line + "\n")

    def _head(self) -> dict[str, Any]:
        path = self.folder / "head.json"
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            return {"version": str(found["version"]), "moves": list(found["moves"])}
        except (OSError, ValueError, KeyError, TypeError) as problem:
            raise StateError(
                f"which version is in service cannot be read (file={str(path)!r}): {problem}. Restore the file from a copy of the home."
            ) from problem


def free(folder: Path) -> None:
    """Raise StateError where a home cannot be made: something but its settings is there already."""
    if folder.exists() and (not folder.is_dir() or any(entry.name != FILE for entry in folder.iterdir())):
        raise StateError(f"there is something here already (home={str(folder)!r}). Name a new folder, or one with {FILE} alone.")


def finish_folder(folder: Path) -> None:
    """Write home.json, the last thing that makes a folder a home."""
    write_about(folder, {"format": FORMAT, "everlearn": VERSION, "created": now()})


def now() -> str:
    """The time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
