"""Who may import whom: the floors of the house, downward only."""

from __future__ import annotations

import ast
from pathlib import Path

SOURCE = Path(__file__).parents[1] / "src" / "everlearn"

# Each part and the parts it may import; types, errors and version are open to all.
MAY = {
    "types": set(),
    "errors": set(),
    "version": set(),
    "disk": set(),
    "models": {"models"},
    "replay": {"replay"},
    "memory": {"memory", "models", "replay"},
    "streams": {"streams"},
    "methods": {"methods", "replay", "models", "streams"},
    "evaluate": {"evaluate", "models"},
    "learn": {"learn", "memory", "methods", "replay", "models", "streams"},
    "config": {"learn", "methods"},
    "catalogue": {"config", "learn", "methods"},
    "report": {"report", "records", "evaluate"},
    "results": {"evaluate"},
    "records": set(),
    "flow": {"config", "models", "streams"},
    "prequential": {"evaluate", "models"},
    "conditions": {"config", "evaluate", "learn", "models", "prequential"},
    "finished": {"conditions", "config", "evaluate", "learn", "prequential", "records", "results", "streams"},
    "course": {"conditions", "config", "evaluate", "finished", "learn", "methods", "models", "prequential", "records", "results"},
    "standing": {"evaluate", "records", "results"},
    "cluster": set(),
    "comparison": {
        "cluster",
        "conditions",
        "config",
        "course",
        "evaluate",
        "flow",
        "learn",
        "models",
        "prequential",
        "records",
        "results",
        "standing",
        "streams",
    },
    "scorecard": {"evaluate", "results"},
    "evaluation": {"evaluate", "models", "scorecard", "streams"},
    "importing": {"importing", "evaluate", "results"},
    "versions": {"versions", "evaluate", "models", "records"},
    "serve": {"serve", "versions", "memory", "models", "streams"},
    "upkeep": {"upkeep", "versions", "config", "flow", "learn", "methods", "evaluate", "models", "streams", "records"},
    "applications": {"applications", "config", "learn", "evaluate", "memory", "methods", "models", "streams", "results"},
    "checks": {"checks", "learn", "evaluate", "streams", "methods", "models"},
    "data_check": {"data_check", "config", "evaluate", "learn", "models", "streams"},
    "probing": {"config", "evaluate", "learn", "methods", "models"},
    "plan": {"config", "data_check", "learn", "models", "probing"},
    "cli": {
        "cli",
        "plan",
        "applications",
        "upkeep",
        "versions",
        "comparison",
        "evaluation",
        "data_check",
        "catalogue",
        "results",
        "learn",
        "evaluate",
        "models",
        "streams",
        "report",
        "importing",
        "serve",
    },
    "__init__": None,
    "__main__": {"cli"},
}
OPEN = {"types", "errors", "version", "disk"}


def part_of(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imported(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("everlearn"):
            names = (node.module or "").split(".")
            found |= {names[1]} if len(names) > 1 else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("everlearn.")}
    return found


def test_every_import_points_downward() -> None:
    wrong = []
    for path in SOURCE.rglob("*.py"):
        allowed = MAY[part_of(path)]
        if allowed is not None:
            wrong += [f"{path.relative_to(SOURCE)} imports {name}" for name in imported(path) - allowed - OPEN]
    assert wrong == []


def test_every_part_of_the_house_has_its_floor() -> None:
    assert {part_of(path) for path in SOURCE.rglob("*.py")} == set(MAY)


def test_the_types_import_nothing_heavy_when_they_run() -> None:
    for name in ("types.py", "errors.py", "version.py"):
        tree = ast.parse((SOURCE / name).read_text(encoding="utf-8"))
        direct = [node.module for node in tree.body if isinstance(node, ast.ImportFrom)] + [
            a.name for node in tree.body if isinstance(node, ast.Import) for a in node.names
        ]
        assert "torch" not in direct
