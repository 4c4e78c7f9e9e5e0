"""Rows of examples that many objects hold, each stored once: a list of rows is written as places in packs of rows."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from everlearn.disk import write_whole
from everlearn.errors import StateError
from everlearn.versions.names import digest, plain_name, unpacked

PLACES = "\0rows"  # the key under which a list of rows says where they are
FEWEST = 16  # rows in a list that is worth it
Row = dict[str, Any]


class RowPacks:
    """The packs in a home's folder of objects: gzipped JSON lines, named by what they hold; a row that was taken back leaves `null` in its place.

    What learners remember changes little from version to version, and what was learned is kept beside it: only new rows take new space.
    """

    def __init__(self, folder: Path, replaced: Callable[[], Mapping[str, str]]) -> None:
        self.folder, self.replaced = folder, replaced
        self._read = dict[str, list[str]]()

    def put(self, value: Any) -> Any:
        """The JSON value with its lists of rows as places; rows that lie nowhere yet are written in one new pack. Raises StateError for our own key."""
        lists = list(_lists(value))
        if not lists:
            return value
        known, fresh = self._known(), dict[str, None]()
        for rows in lists:
            fresh |= {line: None for row in rows if (line := _line(row)) not in known}
        pack = self._store(list(fresh)) if fresh else ""
        known |= {line: (pack, at) for at, line in enumerate(fresh)}
        return _with_places(value, known)

    def whole(self, value: Any) -> Any:
        """The value with its rows again. Raises StateError for a pack that is missing or broken, or a row that was taken back."""
        if isinstance(value, list):
            return [self.whole(part) for part in value]
        if not isinstance(value, dict):
            return value
        if PLACES not in value:
            return {name: self.whole(part) for name, part in value.items()}
        lines = {pack: self.lines(pack) for pack, _ in _runs(value[PLACES])}
        return [json.loads(self._at(pack, lines[pack], at)) for pack, run in _runs(value[PLACES]) for at in run]

    def held_by(self, value: Any, found: dict[str, set[int]]) -> None:
        """Add, by pack as it is called now, which of its lines the value needs."""
        if isinstance(value, dict) and PLACES in value:
            now = self.replaced()
            for pack, run in _runs(value[PLACES]):
                found.setdefault(now.get(pack, pack), set()).update(run)
        elif isinstance(value, dict | list):
            for part in value.values() if isinstance(value, dict) else value:
                self.held_by(part, found)

    def paths(self) -> list[Path]:
        """Every pack there."""
        return sorted(path for path in self.folder.glob("*.jsonl.gz") if not path.name.startswith("."))

    def only(self, pack: str, live: set[int]) -> str:
        """Store the pack with `null` for every other line; its name, which is its own where there is nothing to leave out."""
        lines = [line if at in live else "null" for at, line in enumerate(self.lines(pack))]
        return pack if lines == self.lines(pack) else self._store(lines)

    def lines(self, pack: str) -> list[str]:
        """The rows of a pack as lines of JSON."""
        pack = self.replaced().get(pack, pack)
        if pack not in self._read:
            path = self._path(pack)
            data = unpacked(path)
            if digest(data) != pack:
                raise StateError(
                    f"a file of the home was changed (file={str(path)!r}): its content is not what its name says. Restore it from a copy of the home."
                )
            self._read[pack] = data.decode("utf-8", "surrogatepass").rstrip(" ").removesuffix("\n").split("\n")
        return self._read[pack]

    def _known(self) -> dict[str, tuple[str, int]]:
        """By line, where it lies: in the first of the packs that nothing was taken from under their name."""
        old, found = self.replaced(), dict[str, tuple[str, int]]()
        for path in self.paths():
            if (pack := path.name.partition(".")[0]) not in old:
                found = {line: (pack, at) for at, line in enumerate(self.lines(pack)) if line != "null"} | found
        return found

    def _store(self, lines: Sequence[str]) -> str:
        data, taken = ("\n".join(lines) + "\n").encode("utf-8", "surrogatepass"), self.replaced()
        while (pack := digest(data)) in taken:
            data += b" "
        if not self._path(pack).exists():
            write_whole(self._path(pack), gzip.compress(data, 6, mtime=0))
        return pack

    def _at(self, pack: str, lines: Sequence[str], at: int) -> str:
        if at >= len(lines) or lines[at] == "null":
            raise StateError(f"a row that a version needs is not in its pack (file={str(self._path(pack))!r}, row={at}). Restore it from a copy of the home.")
        return lines[at]

    def _path(self, pack: str) -> Path:
        return self.folder / f"{plain_name(pack)}.jsonl.gz"


def _are_rows(value: object) -> bool:
    return isinstance(value, list) and len(value) >= FEWEST and all(isinstance(row, dict) and "id" in row for row in value)


def _lists(value: Any) -> list[list[Row]]:
    """The lists of rows in a value."""
    if _are_rows(value):
        return [value]
    if isinstance(value, dict) and PLACES in value:
        raise StateError(f"a version's state may not use this key (key={PLACES!r}): it says where rows lie. Call it something else.")
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [rows for part in parts for rows in _lists(part)]


def _with_places(value: Any, known: Mapping[str, tuple[str, int]]) -> Any:
    if _are_rows(value):
        return {PLACES: _places([known[_line(row)] for row in value])}
    if isinstance(value, dict):
        return {name: _with_places(part, known) for name, part in value.items()}
    return [_with_places(part, known) for part in value] if isinstance(value, list) else value


def _places(found: Sequence[tuple[str, int]]) -> dict[str, Any]:
    """Packs, and runs (pack, first line, how many) in the order of the list."""
    packs, runs = list(dict.fromkeys(pack for pack, _ in found)), list[list[int]]()
    numbers = {pack: number for number, pack in enumerate(packs)}
    for pack, at in found:
        if runs and runs[-1][0] == numbers[pack] and sum(runs[-1][1:]) == at:
            runs[-1][2] += 1
        else:
            runs.append([numbers[pack], at, 1])
    return {"packs": packs, "runs": runs}


def _runs(places: Mapping[str, Any]) -> list[tuple[str, range]]:
    return [(places["packs"][number], range(first, first + count)) for number, first, count in places["runs"]]


def _line(row: Row) -> str:
    return json.dumps(row, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
