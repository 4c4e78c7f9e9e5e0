"""The list of all methods, made from the code."""

from __future__ import annotations

import inspect
from collections.abc import Mapping

from everlearn.config import BOUNDS, RECIPES
from everlearn.learn.base import Around
from everlearn.learn.objectives.base import Objective
from everlearn.learn.registry import LEARNERS, OBJECTIVES
from everlearn.methods import BY_NAME
from everlearn.methods.base import Method


def catalogue() -> list[dict[str, str]]:
    """One entry a name: family, about, settings with defaults, what it stores, paper, cost.

    >>> [entry["name"] for entry in catalogue()][:4]
    ['frozen', 'joint', 'plain', 'keep_current']
    """
    bounds = [_entry(name, "bound", about, "", "all rows" if name == "joint" else "nothing", "", "") for name, about in sorted(BOUNDS.items())]
    recipes = [
        _entry(name, "recipe", f"the default recipe: {parts}", parts, "what its parts store", "", "what its parts cost") for name, parts in RECIPES.items()
    ]
    return bounds + recipes + [entry for part in (BY_NAME, LEARNERS, OBJECTIVES) for entry in _described(part)]


def _described(part: Mapping[str, type[Method | Around | Objective]]) -> list[dict[str, str]]:
    """An entry for each class, family by family."""
    found = []
    for name, made in sorted(part.items(), key=lambda item: (item[1].family, item[0])):
        settings = ", ".join(f"{key}={parameter.default!r}" for key, parameter in inspect.signature(made).parameters.items())
        found.append(_entry(name, made.family, (inspect.getdoc(made) or "").splitlines()[0], settings, made.stores, made.paper, made.cost))
    return found


def _entry(name: str, family: str, about: str, settings: str, stores: str, paper: str, cost: str) -> dict[str, str]:
    return {"name": name, "family": family, "about": about, "settings": settings, "stores": stores, "paper": paper, "cost": cost}
