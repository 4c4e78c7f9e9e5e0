"""Full disks, missing rights, broken and forged files, a second writer: each is told clearly, and nothing is lost."""

from __future__ import annotations

import errno
import gzip
import json
import os
import pickle
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from everlearn import Busy, DataError, ModelError, SettingError, StateError, create_home, open_version, update, watch
from everlearn.models.load import TINY
from everlearn.versions.home import Home
from everlearn.versions.record import Version
from tests.upkeep.conftest import Rows


@contextmanager
def nothing_lost(home: Home, tmp_path: Path, write_rows: Rows) -> Iterator[None]:
    """After what happens inside the home opens, has the versions it had and serves the same one; then an update works."""
    head, before = home.head.id, [version.id for version in home.versions()]
    weights = home.objects.get_tensors(home.head.kept.weights)
    yield
    again = Home(home.folder)
    assert (again.head.id, [version.id for version in again.versions()]) == (head, before)
    assert again.objects.get_tensors(again.head.kept.weights).keys() == weights.keys()
    assert update(again, write_rows(tmp_path / "after.jsonl", "after")).accepted


@pytest.fixture
def learned(quick_home: Home, tmp_path: Path, write_rows: Rows) -> Home:
    """A home with one update."""
    update(quick_home, write_rows(tmp_path / "first.jsonl", "first"))
    return quick_home


@contextmanager
def small_disk(megabytes: float) -> Iterator[None]:
    """No file may grow beyond this, as if the disk ended there."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(megabytes * 1e6), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.parametrize("megabytes", [0.0001, 0.05, 1.0])
def test_a_disk_that_ends_while_an_update_is_written(learned: Home, tmp_path: Path, write_rows: Rows, megabytes: float) -> None:
    """The smallest stops it at the log or the first answers, the largest at the weights."""
    data = write_rows(tmp_path / "new.jsonl", "new")
    with nothing_lost(learned, tmp_path, write_rows), small_disk(megabytes), pytest.raises(StateError, match="a file could not be written .file='.*home"):
        update(learned, data)


def test_a_full_disk_at_each_flush_of_an_update(learned: Home, tmp_path: Path, write_rows: Rows, monkeypatch: pytest.MonkeyPatch) -> None:
    data, flush, left = write_rows(tmp_path / "new.jsonl", "new"), os.fsync, 0

    def filling(handle: int) -> None:
        nonlocal left
        left -= 1
        if left < 0 and not os.path.isdir(f"/proc/self/fd/{handle}"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        flush(handle)

    start, said = learned.head.id, list[str]()
    monkeypatch.setattr(os, "fsync", filling)
    for allowed in range(0, 100, 3):
        left = allowed
        try:
            version = update(Home(learned.folder), data)
            break
        except StateError as problem:
            said.append(str(problem))
            assert Home(learned.folder).head.id == start
    monkeypatch.undo()
    assert len(said) > 3
    assert all("No space left on device" in text for text in said)
    assert Home(learned.folder).head == version
    assert [v.number for v in Home(learned.folder).versions()] == [0, 1, 2]


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES])
def test_a_folder_that_cannot_be_written(learned: Home, tmp_path: Path, write_rows: Rows, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    data, opened = write_rows(tmp_path / "new.jsonl", "new"), Path.open

    def refusing(path: Path, mode: str = "r", *given: object, **more: object) -> object:
        if set(mode) & set("wax+") and path.is_relative_to(learned.folder):
            raise OSError(number, os.strerror(number))
        return opened(path, mode, *given, **more)  # type: ignore[call-overload]

    with nothing_lost(learned, tmp_path, write_rows), monkeypatch.context() as patched:
        patched.setattr(Path, "open", refusing)
        with pytest.raises(StateError, match=f"this folder cannot be written .folder='.*home'.: {os.strerror(number)}"):
            update(learned, data)
        assert open_version(learned).model is not None  # to read it needs no rights


def test_a_full_disk_while_a_file_is_taken(quick_home: Home, drops: Path, write_rows: Rows) -> None:
    path = write_rows(drops / "a.jsonl", "ant")
    path.write_text(path.read_text() + " " * 5000)
    with small_disk(0.004), pytest.raises(StateError, match="could not be written .file='.*inbox'.: File too large"):
        list(watch(quick_home, drops, once=True))
    assert path.exists()
    assert [taken.became for taken in watch(quick_home, drops, once=True)] == ["promoted"]


def test_a_second_writer_is_turned_away_and_the_first_is_not_disturbed(learned: Home, tmp_path: Path, write_rows: Rows) -> None:
    data = write_rows(tmp_path / "new.jsonl", "new")
    code = f"from everlearn.versions.home import Home\nwith Home({str(learned.folder)!r}).writing():\n  print('held', flush=True); input()"
    with (
        subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other,
        nothing_lost(learned, tmp_path, write_rows),
    ):
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(Busy, match="another process is writing to this home .home='.*home'"):
            update(learned, data)
        assert open_version(learned).model is not None  # to read it nobody waits
        other.kill()  # its lock dies with it
        other.wait()


def pack(home: Home) -> Path:
    return home.objects.pack_path(next(iter(home.head.kept.weights)))


def cut(path: Path) -> None:
    with path.open("rb+") as file:
        file.truncate(path.stat().st_size // 2)


def flip(path: Path) -> None:
    with path.open("rb+") as file:
        file.seek(-1000, os.SEEK_END)
        byte = file.read(1)
        file.seek(-1000, os.SEEK_END)
        file.write(bytes([byte[0] ^ 1]))


def pickled(path: Path) -> None:
    path.write_bytes(pickle.dumps({"weights": [1.0]}))


@pytest.mark.parametrize(("harm", "told"), [(cut, "cannot be read"), (flip, "was changed"), (pickled, "cannot be read"), (Path.unlink, "cannot be read")])
def test_a_weight_file_that_is_not_what_was_written(learned: Home, tmp_path: Path, write_rows: Rows, harm: Callable[[Path], None], told: str) -> None:
    place, data = pack(learned), write_rows(tmp_path / "new.jsonl", "new")
    with nothing_lost(learned, tmp_path, write_rows):
        good = place.read_bytes()
        harm(place)
        for act in (lambda: open_version(learned), lambda: update(learned, data)):
            with pytest.raises(StateError, match=f"a weight file of the home {told} .file='.*{place.name}'"):
                act()
        place.write_bytes(good)  # from a copy of the home, as the error says


@pytest.mark.parametrize("harm", [cut, flip, pickled, Path.unlink])
def test_a_starting_model_that_is_not_what_was_copied(learned: Home, tmp_path: Path, write_rows: Rows, harm: Callable[[Path], None]) -> None:
    place = learned.bases / learned.head.base / "model.safetensors"
    with nothing_lost(learned, tmp_path, write_rows):
        good = place.read_bytes()
        harm(place)
        with pytest.raises(StateError, match="a file of the base is missing or was changed .file='.*model.safetensors'"):
            open_version(learned)
        place.write_bytes(good)


@pytest.mark.parametrize("harm", [cut, pickled])
def test_a_model_that_is_no_safetensors_makes_no_home(tmp_path: Path, harm: Callable[[Path], None]) -> None:
    model = tmp_path / "model"
    model.mkdir()
    for file in TINY.iterdir():
        (model / file.name).write_bytes(file.read_bytes())
    harm(model / "model.safetensors")
    with pytest.raises(ModelError, match="model"):
        create_home(tmp_path / "home", model)
    assert not (tmp_path / "home").exists()
    (model / "model.safetensors").rename(model / "pytorch_model.bin")
    with pytest.raises(ModelError, match="it has pytorch_model.bin, a pickle, which can run code"):
        create_home(tmp_path / "home", model)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize("name", ["../../../etc/passwd", "..", "a" * 31 + "/", ""])
def test_no_name_of_an_object_leads_out_of_the_home(learned: Home, name: str) -> None:
    for act in (learned.objects.get_json, learned.objects.json_path, learned.objects.pack_path, learned.objects.keys):
        with pytest.raises(StateError, match=f"this is no object's name .name='{name}'"):
            act(name)


def test_no_record_leads_out_of_the_home(learned: Home, tmp_path: Path) -> None:
    """A forged record has a right id, and names that are paths."""
    forged = json.loads((learned.folder / "versions" / f"{learned.head.name}.json").read_text())
    forged["base"] = "../../../../tmp"
    path = tmp_path / "versions" / "x.json"
    path.parent.mkdir()
    path.write_text(json.dumps(forged))
    with pytest.raises(StateError, match="a version was changed .file='.*x.json'"):
        Version.load(path)
    with pytest.raises(StateError, match="this is no base's name .name='../../../../tmp'"):
        open_version(learned, replace(learned.head, base="../../../../tmp"))
    kept = replace(learned.head.kept, weights={"../../x": {"a": "b"}})
    with pytest.raises(StateError, match="this is no object's name .name='../../x'"):
        open_version(learned, replace(learned.head, kept=kept))


@pytest.mark.parametrize("name", ["../1", "..", "/etc/passwd", "v../"])
def test_no_version_is_named_by_a_path(learned: Home, name: str) -> None:
    with pytest.raises(SettingError, match=f"no such version .version='{name}'"):
        open_version(learned, name)


@pytest.mark.parametrize("packed", [False, True])
def test_a_line_of_a_gigabyte_is_refused_in_little_memory(learned: Home, tmp_path: Path, packed: bool) -> None:
    """In a process of its own, whose memory is measured; the same file is rejected by `watch`."""
    folder = tmp_path / "big"
    folder.mkdir()
    path = folder / ("a.jsonl.gz" if packed else "a.jsonl")
    if packed:
        with gzip.open(path, "wb", 1) as file:
            for _ in range(100):
                file.write(bytes(1 << 20))
    else:
        with path.open("wb") as sparse:
            sparse.truncate(1 << 30)
    code = f"""
import resource
from everlearn.streams.files import read_examples
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    read_examples({str(path)!r})
except ValueError as problem:
    print(str(problem)[:400].replace(chr(10), " "))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    said, grown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.splitlines()
    assert "1 of 1 rows cannot be used" in said
    assert "longer than 8000000 bytes" in said
    assert int(grown) < 40_000  # KiB: twice the longest line, and what reading needs


def test_data_that_cannot_be_learned_changes_nothing(learned: Home, tmp_path: Path, write_rows: Rows) -> None:
    (tmp_path / "bad.jsonl").write_text("no JSON\n")
    with nothing_lost(learned, tmp_path, write_rows), pytest.raises(DataError, match=r"bad.jsonl:1: not JSON"):
        update(learned, tmp_path / "bad.jsonl")
