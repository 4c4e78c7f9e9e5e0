"""The list of all methods, made from the code."""

from __future__ import annotations

import inspect

from everlearn.config import BOUNDS, RECIPES
from everlearn.methods import BY_NAME


def catalogue() -> list[dict[str, str]]:
    """One entry a name: family, about, settings with defaults, what it stores, paper, cost.

    >>> [entry["name"] for entry in catalogue()][:4]
    ['frozen', 'joint', 'plain', 'keep_current']
    """
    bounds = [_entry(name, "bound", about, "", "all rows" if name == "joint" else "nothing", "", "") for name, about in sorted(BOUNDS.items())]
    recipes = [
        _entry(name, "recipe", f"the default recipe: {parts}", parts, "what its parts store", "", "what its parts cost") for name, parts in RECIPES.items()
    ]
    methods = []
    for name, method in sorted(BY_NAME.items(), key=lambda item: (item[1].family, item[0])):
        settings = ", ".join(f"{key}={parameter.default}" for key, parameter in inspect.signature(method).parameters.items())
        about = (inspect.getdoc(method) or "").splitlines()[0]
        methods.append(_entry(name, method.family, about, settings, method.stores, method.paper, method.cost))
    return bounds + recipes + methods


def _entry(name: str, family: str, about: str, settings: str, stores: str, paper: str, cost: str) -> dict[str, str]:
    return {"name": name, "family": family, "about": about, "settings": settings, "stores": stores, "paper": paper, "cost": cost}
