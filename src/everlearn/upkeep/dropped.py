"""What lies in a watched folder, and what of it has been written to its end."""

from __future__ import annotations

import stat
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from everlearn.errors import DataError
from everlearn.streams.files import SUFFIXES

UNFINISHED = (".tmp", ".part", ".crdownload", "~")
TEST = ".test"


@dataclass(frozen=True, slots=True)
class Drop:
    """A file to learn, and the file beside it with its test rows, if there is one."""

    data: Path
    test: Path | None = None

    @property
    def paths(self) -> tuple[Path, ...]:
        return (self.data,) if self.test is None else (self.data, self.test)


@dataclass(frozen=True, slots=True)
class Found:
    """ready: in the order in which they are learned.   changing: names that are still written, and those that wait for them.   left: by name, why."""

    ready: tuple[Drop, ...] = ()
    changing: tuple[str, ...] = ()
    left: Mapping[str, str] = field(default_factory=dict)


class Dropped:
    """A watched folder, looked at again and again.

    Files are taken in the order of their names. One that has changed in the last `settle` seconds is not taken, nor are those after it in name order: what
    comes first is learned first. NAME.test.SUFFIX beside NAME.SUFFIX (the suffixes may differ) holds the test rows of the latter and is taken with it; it
    is never learned, and alone it waits. Hidden files and *.tmp, *.part, *.crdownload, *~ are not looked at; folders and links are left where they are.

    Raises DataError where there is no such folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._seen: dict[str, tuple[tuple[int, ...], float]] = {}  # by name: what it was like, and since when (monotonic)

    def look(self, settle: float) -> Found:
        """What is there now."""
        if not self.folder.is_dir():
            raise DataError(f"there is no folder to watch (folder={str(self.folder)!r}). Make it, or name another.")
        files, left = self._files()
        self._seen = {name: self._since(name, state) for name, state in files.items()}
        tests = {name for name in files if _is_test(name)}
        ready, changing = list[Drop](), list[str]()
        for name in sorted(set(files) - tests):
            test = next((found for found in (_stem(name) + TEST + suffix for suffix in SUFFIXES) if found in tests), None)
            tests.discard(test or "")
            both = [name] if test is None else [name, test]
            if changing or not all(self._settled(one, files[one], settle) for one in both):
                changing += both
            else:
                ready.append(Drop(self.folder / name, None if test is None else self.folder / test))
        alone = dict.fromkeys(sorted(tests), "a test file waits for the file it belongs to")
        return Found(tuple(ready), tuple(changing), {**left, **alone})

    def _files(self) -> tuple[dict[str, tuple[int, ...]], dict[str, str]]:
        """By name what a file is like (size, time of its last change, number); and what is no file."""
        files, left = dict[str, tuple[int, ...]](), dict[str, str]()
        for path in self.folder.iterdir():
            if path.name.startswith(".") or path.name.lower().endswith(UNFINISHED):
                continue
            try:
                about = path.lstat()
            except FileNotFoundError:  # gone since
                continue
            if stat.S_ISREG(about.st_mode):
                files[path.name] = (about.st_size, about.st_mtime_ns, about.st_ctime_ns, about.st_ino)
            elif stat.S_ISLNK(about.st_mode):
                left[path.name] = "a link is not followed; put the file itself here"
            else:
                left[path.name] = "it is no file"
        return files, left

    def _since(self, name: str, state: tuple[int, ...]) -> tuple[tuple[int, ...], float]:
        before = self._seen.get(name)
        return before if before is not None and before[0] == state else (state, time.monotonic())

    def _settled(self, name: str, state: tuple[int, ...], settle: float) -> bool:
        """It has not changed for so long, by the clock of its disk or by our own looks: one may be wrong about the time, or lie in the future."""
        age = time.time() - max(state[1], state[2]) / 1e9
        return age >= settle or time.monotonic() - self._seen[name][1] >= settle


def _is_test(name: str) -> bool:
    return _stem(name) != name and _stem(name).endswith(TEST) and _stem(name) != TEST


def _stem(name: str) -> str:
    """Without the suffix, where that is one of ours.

    >>> _stem("a.test.jsonl.gz"), _stem("notes.txt")
    ('a.test', 'notes.txt')
    """
    suffix = max((suffix for suffix in SUFFIXES if name.lower().endswith(suffix)), key=len, default="")
    return name[: len(name) - len(suffix)]
