"""State on disk: tensors in safetensors, the rest in JSON; never a pickle."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from everlearn.disk import writable, write_whole
from everlearn.errors import StateError

State = dict[str, object]
TENSOR = "\0tensor"  # stands in the JSON where a tensor of the other file belongs


def save_state(state: Mapping[str, object], folder: str | Path) -> None:
    """Write a nested state to `folder`, whole or not at all: a tensor file named by its hash, then state.json that names it.

    A crash at any moment leaves the state that was there. Raises StateError for what is neither a tensor nor JSON, with its place.
    """
    write_encoded(*encoded(state), folder)


def encoded(state: Mapping[str, object]) -> tuple[str, bytes]:
    """A nested state as JSON and its tensors as safetensors: a copy, which what happens to the state later does not change."""
    plain, tensors = split_state(state)
    try:
        text = json.dumps(plain, ensure_ascii=False)
    except (TypeError, ValueError) as problem:
        raise StateError(f"a state may hold tensors and JSON alone: {problem}. Turn it into one of them.") from problem
    return text, save({name: value.contiguous() for name, value in tensors.items()})


def write_encoded(plain: str, tensors: bytes, folder: str | Path) -> None:
    """Write what `encoded` gave, as `save_state` does."""
    place = Path(folder)
    name = f"tensors-{hashlib.sha256(tensors).hexdigest()[:16]}.safetensors"
    write_whole(place / name, tensors)
    write_whole(place / "state.json", f'{{"tensors": "{name}", "state": {plain}}}'.encode("utf-8", "surrogatepass"))
    for other in place.glob("tensors-*.safetensors"):
        if other.name != name:
            with writable(other):
                other.unlink()


def load_state(folder: str | Path) -> State:
    """The state that `save_state` wrote. Raises StateError if there is none, or a broken one."""
    place = Path(folder)
    try:
        saved = json.loads((place / "state.json").read_text(encoding="utf-8"))
        tensors = load_file(place / saved["tensors"])
        return join_state(saved["state"], tensors)
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as problem:
        raise StateError(f"there is no whole state here (folder={str(folder)!r}): {problem}. Give a folder that save_state wrote.") from problem


def split_state(state: Mapping[str, object]) -> tuple[object, dict[str, Tensor]]:
    """A nested state as JSON and its tensors by their place in it. Raises StateError for a key that is no text."""
    tensors: dict[str, Tensor] = {}
    return _without_tensors(state, "", tensors), tensors


def join_state(plain: Mapping[str, object], tensors: Mapping[str, Tensor]) -> State:
    """The state that `split_state` took apart."""
    return {key: _with_tensors(value, f"/{_safe(key)}", tensors) for key, value in plain.items()}


def on_device(value: State, device: torch.device) -> State:
    """The state with its tensors on this device."""

    def moved(part: object) -> object:
        if isinstance(part, Tensor):
            return part.to(device)
        return {key: moved(inner) for key, inner in part.items()} if isinstance(part, dict) else part

    return {key: moved(part) for key, part in value.items()}


def _without_tensors(value: object, place: str, found: dict[str, Tensor]) -> object:
    if isinstance(value, Tensor):
        found[place] = value
        return TENSOR
    if isinstance(value, Mapping):
        if wrong := [key for key in value if not isinstance(key, str)]:
            raise StateError(f"a state's keys must be text, got {wrong[0]!r} in {place or 'the top'!r}. Write it as text.")
        return {key: _without_tensors(part, f"{place}/{_safe(key)}", found) for key, part in value.items()}
    return value


def _with_tensors(value: Any, place: str, tensors: Mapping[str, Tensor]) -> object:
    if value == TENSOR:
        return tensors[place]
    if isinstance(value, dict):
        return {key: _with_tensors(part, f"{place}/{_safe(key)}", tensors) for key, part in value.items()}
    return value


def _safe(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")
