"""What a version keeps, read back: its base as it was loaded, and its learner's state."""

from __future__ import annotations

from typing import Any

from everlearn.models.adapters import Lora
from everlearn.models.load import load_model
from everlearn.models.state import State, join_state
from everlearn.models.weights import TrainedModel
from everlearn.versions.bases import base_path
from everlearn.versions.home import Home
from everlearn.versions.record import Version
from everlearn.versions.settings import ModelTable


def learner_state(home: Home, version: Version) -> State:
    """The learner's state as it was after the version, or as it was made anew when something was taken back."""
    saved = home.objects.get_json(version.kept.learner)
    return join_state(saved["state"], home.objects.get_tensors(saved["tensors"]))


def loaded_base(home: Home, base: str, table: ModelTable, device: str | None = None) -> TrainedModel:
    """A base of the home as [model] says it is loaded. device: instead of the table's."""
    return load_model(base_path(home.bases, base), lora_of(table), table.dtype, device or table.device or None)


def lora_of(table: ModelTable) -> Any:
    """As `load_model` takes it."""
    return Lora(table.lora) if isinstance(table.lora, int) else "auto" if table.lora == "auto" else None
