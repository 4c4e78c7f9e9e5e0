"""A version as a model that answers, without any code that learns."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from everlearn.errors import StateError
from everlearn.memory.retrieval import RetrievalModel
from everlearn.models.adapters import Lora, adapted
from everlearn.models.load import load_model
from everlearn.models.weights import TrainedModel
from everlearn.serve.wrapping import AROUND, BENEATH, SHAPES, WRAPPERS
from everlearn.types import Example
from everlearn.versions.home import Home
from everlearn.versions.record import Version
from everlearn.versions.settings import HomeSettings
from everlearn.versions.stored import learner_state, loaded_base


@dataclass(frozen=True, slots=True, eq=False)
class Served:
    """A version in memory, for answers alone. model: what says them.   read: makes of questions what the model is asked, with what a memory found."""

    version: Version
    model: TrainedModel
    read: Callable[[Sequence[Example]], Sequence[Example]]

    @property
    def name(self) -> str:
        """As clients name it: v and its number."""
        return f"v{self.version.number}"


def open_served(home: Home, version: Version, device: str | None = None) -> Served:
    """The version as it was measured, ready to answer.

    Its weights are put into its base, and the wrappers that its recipe names are made from its learner's state. Recipes that change the model beneath
    the weights are written out by `everlearn export`, a process of its own, and loaded from there. Raises StateError for a version that was withdrawn or
    whose files are broken.
    """
    home.usable(version)
    parts = parts_of(version.recipe)
    model = _exported(home, version, device) if BENEATH & {name for name, _ in parts} else _loaded(home, version, device)
    around, state = [(name, given) for name, given in parts if name in AROUND], learner_state(home, version)
    states: list[Mapping[str, Any]] = []
    for _ in around:  # the last that is named stands outermost
        states.insert(0, state)
        inner = state.get("inner")
        state = inner if isinstance(inner, dict) else {}
    served: TrainedModel | RetrievalModel = model
    for (name, given), saved in zip(around, states, strict=True):
        served = WRAPPERS[name](served, model, saved, **given) if name in WRAPPERS else served
    answers = served.model if isinstance(served, RetrievalModel) else served
    answers.module.train(False).requires_grad_(False)
    return Served(version, answers, served.read if isinstance(served, RetrievalModel) else _as_asked)


def parts_of(recipe: str) -> list[tuple[str, dict[str, Any]]]:
    """The names that a version's recipe joins by +, each with the settings it was given.

    >>> parts_of("retrieval(k=2, names=False)+replay(share=1)")
    [('retrieval', {'k': 2, 'names': False}), ('replay', {'share': 1})]
    """
    call = ast.parse(recipe.strip(), mode="eval").body
    found: list[ast.expr] = []
    while isinstance(call, ast.BinOp):
        found.insert(0, call.right)
        call = call.left
    return [_part(one) for one in (call, *found)]


def _part(written: ast.expr) -> tuple[str, dict[str, Any]]:
    if not isinstance(written, ast.Call):
        return ast.unparse(written), {}
    name = ast.unparse(written.func)
    made, before = (WRAPPERS.get(name), 3) if name in WRAPPERS else (SHAPES.get(name), 1)
    settings = list(inspect.signature(made).parameters)[before:] if made else []
    given = {key: _value(value) for key, value in zip(settings, written.args, strict=False)}
    return name, {**given, **{word.arg or "": _value(word.value) for word in written.keywords}}


def _value(node: ast.expr) -> Any:
    """A literal, or a bare word as text, as recipes are written."""
    return node.id if isinstance(node, ast.Name) else ast.literal_eval(node)


def _as_asked(questions: Sequence[Example]) -> Sequence[Example]:
    return questions


def _loaded(home: Home, version: Version, device: str | None) -> TrainedModel:
    settings = HomeSettings.of(dict(version.settings), f"the settings of version {version.number}")
    model = loaded_base(home, version.base, settings.model, device)
    weights = home.objects.get_tensors(version.kept.weights)
    if rank := next((int(value.shape[0]) for name, value in weights.items() if ".lora_A." in name), 0):
        adapted(model, Lora(rank))  # where a method put them in
    for name, given in parts_of(version.recipe):
        if name in SHAPES:
            SHAPES[name](model, **given)
    _put(model, weights, version)
    return model


def _put(model: TrainedModel, weights: Mapping[str, Tensor], version: Version) -> None:
    places = dict(model.module.named_parameters())
    wrong = [name for name, value in weights.items() if name not in places or places[name].shape != value.shape]
    if wrong:
        raise StateError(
            f"a version's weights do not fit its base (version={version.id!r}, recipe={version.recipe!r}, names={wrong[:2]!r})."
            " Its recipe changes the model in a way the server does not know; serve what `everlearn export` writes."
        )
    with torch.no_grad():
        for name, value in weights.items():
            places[name].copy_(value)


def _exported(home: Home, version: Version, device: str | None) -> TrainedModel:
    settings = HomeSettings.of(dict(version.settings), f"the settings of version {version.number}")
    with tempfile.TemporaryDirectory(prefix="everlearn-served-") as folder:
        out = Path(folder) / "model"
        command = [sys.executable, "-m", "everlearn", "export", str(home.folder), str(out), "--version", version.id]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise StateError(f"a version could not be written out to be served (version={version.id!r}): {done.stderr.strip()[-300:]}")
        return load_model(out, None, settings.model.dtype, device or settings.model.device or None)
