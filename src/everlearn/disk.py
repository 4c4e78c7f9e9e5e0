"""Files that are written whole or not at all, by one process at a time."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from everlearn.errors import Busy, StateError

try:
    import fcntl
except ImportError:  # Windows has no such locks
    fcntl = None  # type: ignore[assignment]


def lock_held(folder: Path, name: str) -> bool | None:
    """Does a process hold this lock of `one_writer` now? None where that cannot be told: the system or the file system has no locks."""
    if fcntl is None:
        return None
    try:
        with (folder / name).open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)  # shared: others that ask meanwhile are no holders
    except (FileNotFoundError, BlockingIOError) as found:
        return isinstance(found, BlockingIOError)
    except OSError:
        return None
    return False


def launched() -> int:
    """How many processes a launcher (`accelerate launch`, torchrun) started together to learn as one; 1 without a launcher."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def write_whole(path: Path, data: bytes | Iterable[bytes]) -> None:
    """Write a file aside, flush it to disk, rename it: a crash at any moment leaves the old file or the new one, under its name.

    Raises StateError, with nothing changed, where the disk is full or the folder cannot be written.
    """

    def fill(aside: Path) -> None:
        with aside.open("wb") as file:
            for part in (data,) if isinstance(data, bytes) else data:
                file.write(part)

    put_whole(path, fill)


def put_whole(path: Path, fill: Callable[[Path], None]) -> None:
    """As `write_whole`, for what writes a file by itself: `fill` is given the path beside, which is flushed and renamed."""
    aside = path.with_name(f".{path.name}.writing")
    with writable(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            fill(aside)
            with aside.open("rb") as file:
                os.fsync(file.fileno())
            aside.replace(path)
        except OSError:
            with suppress(OSError):
                aside.unlink(missing_ok=True)
            raise
    flush_folder(path.parent)


@contextmanager
def writable(path: Path) -> Iterator[None]:
    """Say in plain words what keeps a file or folder from being written: a full disk, missing rights."""
    try:
        yield
    except OSError as problem:
        raise StateError(
            f"a file could not be written (file={str(path)!r}): {problem.strerror or problem}. Make room or give access; what was there is whole."
        ) from problem


def flush_folder(folder: Path) -> None:
    """Make a rename in this folder survive a power cut, where the system can."""
    with suppress(OSError):  # Windows opens no folders
        place = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(place)
        finally:
            os.close(place)


@contextmanager
def one_writer(
    folder: Path | None, told: str = "another comparison is writing here (out={!r}). Wait for it, or name another folder.", name: str = ".lock"
) -> Iterator[None]:
    """Only one process at a time writes to this folder; Busy in the second, `told` with the folder. The lock dies with its process.

    name: of the lock's file.   Raises StateError for a folder that cannot be written.
    """
    if folder is None or fcntl is None:
        yield
        return
    path = folder / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        opened = path.open("w")
    except OSError as problem:
        raise StateError(f"this folder cannot be written (folder={str(folder)!r}): {problem.strerror}. Make room or give access.") from problem
    with opened as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not path.exists() or not os.path.samestat(os.fstat(file.fileno()), path.stat()):
                raise BlockingIOError("its holder took it away meanwhile")
        except BlockingIOError as problem:
            raise Busy(told.format(str(folder))) from problem
        except OSError as problem:
            raise StateError(f"this folder's file system has no locks (folder={str(folder)!r}): {problem.strerror}. Put it on one that has.") from problem
        try:
            yield
        finally:
            with suppress(OSError):  # a lock file that stays does no harm
                path.unlink(missing_ok=True)
