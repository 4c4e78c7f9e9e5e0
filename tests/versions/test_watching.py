"""A home says who watches a folder for it, as long as that process lives."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from everlearn import Home, HomeSettings
from everlearn.versions.home import finish_folder
from everlearn.versions.watching import NOTE, Watched, Watcher, watched


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
