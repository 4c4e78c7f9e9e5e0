"""What a home no longer needs: found and deleted, nothing else."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from everlearn.disk import flush_folder, writable
from everlearn.upkeep.opening import held_by
from everlearn.versions.home import Home
from everlearn.versions.record import Version

STALE = 7 * 24 * 3600.0  # seconds after which an interrupted update is not expected to be gone on with


@dataclass(frozen=True, slots=True)
class Collected:
    """freed: bytes.   let_go: ids of the versions whose weights went; their records stay.   bases: starting models that no version in use is made of.

    >>> Collected(0, (), ()).told()
    'Freed 0 bytes.'
    """

    freed: int
    let_go: tuple[str, ...]
    bases: tuple[str, ...]

    def told(self) -> str:
        """In one sentence."""
        parts = [f"Freed {self.freed:,} bytes."]
        if self.let_go:
            parts.append(f"{len(self.let_go)} {'version' if len(self.let_go) == 1 else 'versions'} let the weights go: {', '.join(self.let_go)}.")
        if self.bases:
            parts.append(f"Deleted {'a base' if len(self.bases) == 1 else 'bases'} that no version in use is made of: {', '.join(self.bases)}.")
        return " ".join(parts)


def gc(home: Home | str | Path) -> Collected:
    """Delete what no version needs, and the weights of old versions beyond what [keep] says; the head, and what kept versions share, always stay.

    keep.refused and keep.promoted count the newest. A version whose weights go is withdrawn: its record, scores, tests and kept rows stay, and
    `forget` and `rebase` can still teach its rows. Starts stay, and a newer base's as long as any of its versions does. Done twice, or stopped and done
    again, it ends the same. Raises StateError where another process writes.

    >>> import tempfile
    >>> from everlearn.upkeep.beginning import create_home
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     gc(create_home(folder)).let_go
    ()
    """
    place = home if isinstance(home, Home) else Home(home)
    with place.writing():
        before = size_of(place.folder)
        gone = _beyond(place)
        place.objects.take_back({}, gone)
        sweep(place)
        bases = _unused_bases(place)
        for name in bases:
            delete(place.bases / name)
        _stale_work(place)
        found = Collected(before - size_of(place.folder), tuple(gone), tuple(bases))
        place.log("gc", freed=found.freed, versions=found.let_go, bases=found.bases)
    return found


def sweep(home: Home) -> None:
    """Delete what crashes left beside, objects that no version refers to, and of packs the rows and tensors that none needs."""
    for aside in home.folder.rglob(".*.writing"):
        delete(aside)
    names, packs = _needed(home)
    for path in sorted(home.objects.folder.glob("*.json.gz")):
        if path.name.partition(".")[0] not in names:
            delete(path)
    _sweep_rows(home, names)
    for path in sorted(home.objects.folder.glob("*.safetensors")):
        pack = path.name.partition(".")[0]
        live = packs.get(pack, set())
        if live and live < set(home.objects.keys(pack)):
            left = home.objects.get_tensors({pack: {key: key for key in sorted(live)}})
            home.objects.take_back({pack: home.objects.put_pack(left)}, {})
            live = set()
        if not live:
            delete(path)


def _sweep_rows(home: Home, names: set[str]) -> None:
    """Delete packs of rows, and of those that stay the rows, that none of these objects needs."""
    rows, held = home.objects.rows, home.objects.held_rows(names)
    for path in rows.paths():
        pack = path.name.partition(".")[0]
        left = rows.only(pack, held[pack]) if pack in held else ""
        if left and left != pack:
            home.objects.take_back({pack: left}, {})
        if left != pack:
            delete(path)


def size_of(folder: Path) -> int:
    """Bytes of all files in it."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file())


def delete(path: Path) -> None:
    """A file or folder, if it is there; StateError where that is not allowed."""
    with writable(path):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    flush_folder(path.parent)


def _needed(home: Home) -> tuple[set[str], dict[str, set[str]]]:
    """The JSON objects, and by pack the tensors, that versions refer to; of withdrawn ones what their record shows, and the rows."""
    gone, replaced = home.objects.withdrawn(), home.objects.replaced()
    names, packs = set[str](), dict[str, set[str]]()
    for version in home.versions():
        names |= {version.kept.tests, *(str(of["rows"]) for of in home.objects.get_json(version.kept.tests).values())}
        if version.arrived is not None:
            names |= {version.arrived.ids, version.arrived.rows}
        if version.id not in gone:
            names |= {version.kept.answers, version.kept.learner}
        for pack, key in held_by(home, version):
            packs.setdefault(pack, set()).add(key)
    return {replaced.get(name, name) for name in names}, packs


def _beyond(home: Home) -> dict[str, str]:
    """Why, by version, the weights go."""
    keep, head, gone = home.settings.keep, home.head.id, home.objects.withdrawn()
    served = {move["version"] for move in home.moves}
    there = [v for v in reversed(home.versions()) if v.id not in gone and v.kept.learner]
    learned = [v for v in there if v.parent is not None]
    promoted = [v for v in learned if v.accepted or v.id in served]
    refused = [v for v in learned if not (v.accepted or v.id in served)]
    why = {v.id: f"gc let its weights go (keep.promoted = {keep.promoted})" for v in promoted[keep.promoted :]}
    why |= {v.id: f"gc let its weights go (keep.refused = {keep.refused})" for v in refused[keep.refused :]}
    why.pop(head, None)
    grown = {home.lineage(v)[-1].id for v in there if v.parent is not None and v.id not in why}
    rebased = [v for v in there if v.kind == "rebase" and v.parent is None and v.id not in {head, *grown}]
    return why | {v.id: "gc let it go: nothing in use grew from it" for v in rebased if _has_children(home, v)}


def _has_children(home: Home, version: Version) -> bool:
    """One that has none may be a rebase that is not finished."""
    return any(v.parent == version.id for v in home.versions())


def _unused_bases(home: Home) -> list[str]:
    gone = home.objects.withdrawn()
    used = {v.base for v in home.versions() if v.id not in gone}
    return sorted(path.name for path in home.bases.iterdir() if path.name not in used) if home.bases.is_dir() else []


def _stale_work(home: Home) -> None:
    if not home.work.is_dir():
        return
    newest = max((path.stat().st_mtime for path in (home.work, *home.work.rglob("*"))), default=0.0)
    if time.time() - newest > STALE:
        delete(home.work)
