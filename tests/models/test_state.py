"""State on disk: back bit for bit, never a pickle."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from everlearn import StateError
from everlearn.models.state import load_state, save_state


def test_tensors_and_json_come_back_bit_for_bit(tmp_path: Path) -> None:
    state = {
        "a/b": {"x": torch.randn(3), "~": torch.tensor(7, dtype=torch.int64)},
        "list": [1, 2.5, None, "北京"],
        "empty": {},
        "half": torch.ones(2, dtype=torch.bfloat16),
    }
    save_state(state, tmp_path)
    again = load_state(tmp_path)
    assert again["list"] == state["list"]
    assert again["empty"] == {}
    assert torch.equal(again["a/b"]["x"], state["a/b"]["x"])  # type: ignore[index]
    assert again["a/b"]["~"].dtype == torch.int64  # type: ignore[index]
    assert torch.equal(again["half"], state["half"])  # type: ignore[arg-type]
    assert {path.name for path in tmp_path.iterdir()} == {"state.json", "tensors.safetensors"}


def test_what_is_neither_tensor_nor_json_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StateError, match="tensors and JSON alone"):
        save_state({"x": object()}, tmp_path)
    with pytest.raises(StateError, match="keys must be text, got 3"):
        save_state({"x": {3: 1}}, tmp_path)


def test_a_folder_without_state_says_so(tmp_path: Path) -> None:
    with pytest.raises(StateError, match="no whole state here"):
        load_state(tmp_path)
