"""States written in the background: one at a time, as they were when they were given, and whole."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from everlearn.errors import StateError
from everlearn.models import saving, state
from everlearn.models.saving import Saving
from everlearn.models.state import load_state, save_state


def test_it_writes_what_save_state_writes(tmp_path: Path) -> None:
    given = {"step": 3, "text": "\ud800ü", "w": torch.arange(4.0), "in": {"a~/b": torch.ones(2, 2).T, "list": [1, None]}}
    save_state(given, tmp_path / "one")
    begun = Saving(tmp_path / "two", 0)
    begun.save(given)
    begun.wait()
    names = [sorted(path.name for path in (tmp_path / folder).iterdir()) for folder in ("one", "two")]
    assert names[0] == names[1]
    for name in names[0]:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Nothing is written before this is set."""
    free, write = threading.Event(), saving.write_encoded

    def later(*given: object) -> None:
        assert free.wait(60)
        write(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(saving, "write_encoded", later)
    return free


def test_what_changes_afterwards_is_not_written(tmp_path: Path, held: threading.Event) -> None:
    begun, given = Saving(tmp_path, 0), {"w": torch.zeros(3), "rows": ["a"]}
    begun.save(given)
    given["w"].add_(1)  # type: ignore[union-attr]
    given["rows"].append("b")  # type: ignore[union-attr]
    assert not list(tmp_path.iterdir())
    held.set()
    begun.wait()
    found = load_state(tmp_path)
    assert torch.equal(found["w"], torch.zeros(3))  # type: ignore[arg-type]
    assert found["rows"] == ["a"]


def test_a_second_waits_for_the_first(tmp_path: Path, held: threading.Event) -> None:
    begun, began = Saving(tmp_path, 0), threading.Event()
    begun.save({"step": 1})

    def second() -> None:
        began.set()
        begun.save({"step": 2})

    other = threading.Thread(target=second)
    other.start()
    assert began.wait(60)
    other.join(0.05)
    assert other.is_alive()
    held.set()
    other.join(60)
    begun.wait()
    assert load_state(tmp_path)["step"] == 2


@pytest.mark.parametrize("then", [lambda begun: begun.save({"step": 2}), lambda begun: begun.wait()])
def test_what_kept_it_from_being_written_is_told_at_the_next(then: Callable[[Saving], None], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    begun = Saving(tmp_path / "file" / "in", 0)
    begun.save({"step": 1})
    with pytest.raises(StateError, match="a file could not be written"):
        then(begun)
    begun.wait()  # once


def test_what_cannot_be_saved_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(StateError, match="tensors and JSON alone"):
        Saving(tmp_path, 0).save({"x": object()})


def test_it_is_due_after_a_while_that_grows_with_what_a_saving_takes(tmp_path: Path) -> None:
    assert Saving(tmp_path, 0).due
    begun = Saving(tmp_path, 1e-9)
    assert begun.due
    begun.seconds = 60.0
    assert not begun.due
    assert not Saving(tmp_path, 60).due


KILLED = """
import os, sys, torch
from pathlib import Path
from everlearn.models.saving import Saving
begun, left = Saving(Path(sys.argv[1]), 0), int(sys.argv[2])
count = 0
def heard(event, given):
    global count
    if event in ("os.rename", "os.remove"):
        count += 1
        if count == left:
            os.kill(os.getpid(), 9)
sys.addaudithook(heard)
for step in (1, 2):
    begun.save({"step": step, "w": torch.full((1000,), float(step))})
begun.wait()
"""


@pytest.mark.parametrize("change", [1, 2, 3, 4, 5])
def test_a_kill_in_the_background_leaves_the_old_or_the_new(change: int, tmp_path: Path) -> None:
    """Before each rename and removal: of the tensors, of the state, then of the second's, and of what is not needed any more."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(state.__file__).parents[2])}
    ended = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path), str(change)], env=environment)
    assert ended.returncode == -signal.SIGKILL
    if change <= 2:
        with pytest.raises(StateError, match="no whole state"):
            load_state(tmp_path)
    else:
        found = load_state(tmp_path)
        assert found["step"] == (2 if change == 5 else 1)
        assert torch.equal(found["w"], torch.full((1000,), float(found["step"])))  # type: ignore[arg-type]
