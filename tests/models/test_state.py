"""State on disk: back bit for bit, never a pickle."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from everlearn import StateError
from everlearn.models import state
from everlearn.models.state import load_state, save_state


def test_tensors_and_json_come_back_bit_for_bit(tmp_path: Path) -> None:
    given = {
        "a/b": {"x": torch.randn(3), "~": torch.tensor(7, dtype=torch.int64)},
        "list": [1, 2.5, None, "北京"],
        "empty": {},
        "half": torch.ones(2, dtype=torch.bfloat16),
    }
    save_state(given, tmp_path)
    again = load_state(tmp_path)
    assert again["list"] == given["list"]
    assert again["empty"] == {}
    assert torch.equal(again["a/b"]["x"], given["a/b"]["x"])  # type: ignore[index]
    assert again["a/b"]["~"].dtype == torch.int64  # type: ignore[index]
    assert torch.equal(again["half"], given["half"])  # type: ignore[arg-type]
    assert sorted(path.name.split("-")[0] for path in tmp_path.iterdir()) == ["state.json", "tensors"]


def test_a_crash_between_two_files_leaves_the_state_that_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_state({"step": 1, "w": torch.ones(2)}, tmp_path)
    write = state.write_whole

    def crash(path: Path, data: bytes) -> None:
        if path.name == "state.json":
            raise KeyboardInterrupt
        write(path, data)

    monkeypatch.setattr(state, "write_whole", crash)
    with pytest.raises(KeyboardInterrupt):
        save_state({"step": 2, "w": torch.zeros(2)}, tmp_path)
    assert load_state(tmp_path)["step"] == 1
    assert torch.equal(load_state(tmp_path)["w"], torch.ones(2))  # type: ignore[arg-type]
    monkeypatch.undo()
    save_state({"step": 3, "w": torch.zeros(2)}, tmp_path)
    assert load_state(tmp_path)["step"] == 3
    assert len(list(tmp_path.iterdir())) == 2


def test_a_broken_state_says_so(tmp_path: Path) -> None:
    save_state({"w": torch.ones(2)}, tmp_path)
    next(tmp_path.glob("tensors-*")).write_bytes(b"x")
    with pytest.raises(StateError, match="no whole state here"):
        load_state(tmp_path)
    (tmp_path / "state.json").write_text("{")
    with pytest.raises(StateError, match="no whole state here"):
        load_state(tmp_path)


def test_what_is_neither_tensor_nor_json_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StateError, match="tensors and JSON alone"):
        save_state({"x": object()}, tmp_path)
    with pytest.raises(StateError, match="keys must be text, got 3"):
        save_state({"x": {3: 1}}, tmp_path)


def test_a_folder_without_state_says_so(tmp_path: Path) -> None:
    with pytest.raises(StateError, match="no whole state here"):
        load_state(tmp_path)
