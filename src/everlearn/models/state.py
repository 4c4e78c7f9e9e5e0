"""State on disk: tensors in safetensors, the rest in JSON; never a pickle."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

from everlearn.errors import StateError

State = dict[str, object]
TENSOR = "\0tensor"  # stands in the JSON where a tensor of the other file belongs


def save_state(state: Mapping[str, object], folder: str | Path) -> None:
    """Write a nested state to `folder`: tensors.safetensors first, state.json last, each aside and then renamed.

    Raises StateError for what is neither a tensor nor JSON, with its place.
    """
    place, tensors = Path(folder), dict[str, Tensor]()
    place.mkdir(parents=True, exist_ok=True)
    plain = _without_tensors(state, "", tensors)
    try:
        text = json.dumps(plain, ensure_ascii=False)
    except (TypeError, ValueError) as problem:
        raise StateError(f"a state may hold tensors and JSON alone: {problem}. Turn it into one of them.") from problem
    save_file({name: value.contiguous().clone() for name, value in tensors.items()}, place / "tensors.writing")
    os.replace(place / "tensors.writing", place / "tensors.safetensors")
    with (place / "state.writing").open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(place / "state.writing", place / "state.json")


def load_state(folder: str | Path) -> State:
    """The state that `save_state` wrote. Raises StateError if there is none."""
    place = Path(folder)
    try:
        plain, tensors = json.loads((place / "state.json").read_text(encoding="utf-8")), load_file(place / "tensors.safetensors")
    except OSError as problem:
        raise StateError(f"there is no whole state here (folder={str(folder)!r}): {problem}. Give a folder that save_state wrote.") from problem
    state = _with_tensors(plain, "", tensors)
    if not isinstance(state, dict):
        raise StateError(f"the state is not an object (folder={str(folder)!r}). Give a folder that save_state wrote.")
    return state


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


def tensors_in(value: object) -> Iterator[Tensor]:
    """Every tensor of a nested state."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from tensors_in(part)
