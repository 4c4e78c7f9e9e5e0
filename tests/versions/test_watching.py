"""A home says who watches a folder for it, as long as that process lives."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from everlearn import Home, HomeSettings, StateError
from everlearn.disk import lock_held
from everlearn.versions.home import finish_folder
from everlearn.versions.watching import LOCK, NOTE, Watched, Watcher, watched


@pytest.fixture
def tiny_home(tmp_path: Path) -> Home:
    """A home without versions, which is enough to be watched."""
    HomeSettings().save(tmp_path / "home" / "everlearn.toml")
    finish_folder(tmp_path / "home")
    return Home(tmp_path / "home")


def test_a_watcher_is_seen_until_it_closes(tiny_home: Home) -> None:
    assert watched(tiny_home) is None
    watcher, heard = Watcher(tiny_home, "/drops"), list[tuple[str, float]]()
    watcher.say()
    assert watched(tiny_home) == Watched("/drops")
    told = watcher.about(7, lambda what, share: heard.append((what, share)))
    told("learning", 0.25)
    before = (tiny_home.folder / NOTE).stat().st_ino
    told("learning", 0.29)  # heard, and not written: not a tenth more
    assert (tiny_home.folder / NOTE).stat().st_ino == before
    assert watched(tiny_home) == Watched("/drops", 7, "learning", 0.2)
    told("testing", 1.0)
    assert watched(tiny_home) == Watched("/drops", 7, "testing", 1.0)
    assert heard == [("learning", 0.25), ("learning", 0.29), ("testing", 1.0)]
    watcher.close()
    watcher.close()
    assert watched(tiny_home) is None


def test_a_process_that_is_gone_and_a_broken_note_watch_nothing(tiny_home: Home) -> None:
    Watcher(tiny_home, "/drops").say()
    path = tiny_home.folder / NOTE
    about = json.loads(path.read_text())
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    path.write_text(json.dumps({**about, "process": gone.pid}))
    assert watched(tiny_home) is None
    path.write_text(json.dumps({**about, "machine": "elsewhere"}))
    assert watched(tiny_home) == Watched("/drops")
    for broken in ("{", "[]", json.dumps({**about, "share": "much"}), json.dumps({**about, "folder": "/d", "process": None})):
        path.write_text(broken)
        assert watched(tiny_home) is None


def test_a_killed_watcher_is_gone_though_another_process_has_its_number(tiny_home: Home) -> None:
    code = "import sys, time; from everlearn.versions.watching import *; w = Watcher(Home(sys.argv[1]), '/d'); w.say(3, 'learning'); "
    code += "print('there', flush=True); time.sleep(600)"
    with subprocess.Popen([sys.executable, "-c", code, str(tiny_home.folder)], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        path = tiny_home.folder / NOTE
        path.write_text(json.dumps({**json.loads(path.read_text()), "process": os.getpid()}))
        assert watched(tiny_home) == Watched("/d", 3, "learning")
        other.kill()
    assert path.exists()
    assert watched(tiny_home) is None
    watcher = Watcher(tiny_home, "")
    watcher.say()
    assert watched(tiny_home) == Watched("")
    watcher.close()
    assert not path.exists()
    assert not (tiny_home.folder / LOCK).exists()


def test_of_two_watchers_the_note_is_the_first_ones_then_the_others(tiny_home: Home) -> None:
    first, second = Watcher(tiny_home, "/one"), Watcher(tiny_home, "/two")
    first.say()
    second.say(1, "learning")
    assert watched(tiny_home) == Watched("/one")
    first.close()
    second.say(1, "learning")
    assert watched(tiny_home) == Watched("/two", 1, "learning")
    second.close()
    assert watched(tiny_home) is None


def test_who_looks_is_not_taken_for_a_watcher_and_holds_none_up(tiny_home: Home) -> None:
    fcntl = pytest.importorskip("fcntl")
    with (tiny_home.folder / LOCK).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_SH)  # as a reader, for a moment
        assert lock_held(tiny_home.folder, LOCK) is False
        late = Watcher(tiny_home, "/drops")
    late.say()
    assert watched(tiny_home) == Watched("/drops")
    late.close()


def test_where_there_are_no_locks_the_process_is_looked_for(tiny_home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object, **__: object) -> None:
        raise StateError("this folder's file system has no locks")

    monkeypatch.setattr("everlearn.versions.watching.one_writer", none)
    watcher = Watcher(tiny_home, "/drops")
    watcher.say()
    assert watched(tiny_home) == Watched("/drops")
    watcher.close()
    assert watched(tiny_home) is None
