"""The page of a home: its versions with their decisions, task by task, and what differs between two; it opens offline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from everlearn.disk import write_whole
from everlearn.errors import SettingError
from everlearn.report.page import environment
from everlearn.version import VERSION

MOST = 200  # flips of a task shown in each direction


@dataclass(frozen=True, slots=True)
class Line:
    """A version as the page shows it. tasks: by name its score after, 0 to 1, None where it was not asked."""

    name: str
    id: str
    parent: str
    state: str
    created: str
    data: str
    rows: int
    accepted: bool
    report: Sequence[str]
    tasks: Mapping[str, float | None]
    new: frozenset[str]
    seconds: float


def write_home_page(out: str | Path, history: Mapping[str, Any] | None = None, difference: Mapping[str, Any] | None = None, name: str = "home") -> Path:
    """Write the page; where it is. history: what `everlearn history --json` prints.   difference: what `everlearn diff --json` prints.

    Raises SettingError for a name that is no page's, MissingExtra without the extra `report`.
    """
    path = Path(out)
    if path.is_dir() or path.suffix.lower() not in (".html", ".htm"):
        raise SettingError(f"out must be the page's own file, ending in .html, got {str(out)!r}. Name one, such as home.html.")
    lines = _lines(history["versions"]) if history else []
    text = (
        environment()
        .get_template("home.html")
        .render(
            name=name,
            lines=lines,
            tasks=list(dict.fromkeys(task for line in lines for task in line.tasks)),
            moves=_moves(history) if history else [],
            difference=difference,
            most=MOST,
            version=VERSION,
            style=resources.files("everlearn.report").joinpath("page.css").read_text(encoding="utf-8"),
        )
    )
    write_whole(path, text.encode("utf-8", "replace"))
    return path


def _lines(versions: Sequence[Mapping[str, Any]]) -> list[Line]:
    numbers = {v["id"]: f"v{v['number']}" for v in versions}
    return [
        Line(
            numbers[v["id"]],
            v["id"],
            numbers.get(v["parent"], ""),
            v["state"],
            v["created"].replace("T", " ").removesuffix("+00:00"),
            v["arrived"]["name"] if v["arrived"] else "",
            v["arrived"]["count"] if v["arrived"] else 0,
            v["accepted"],
            v["report"],
            {task: of["after"] for task, of in v["tasks"].items()},
            frozenset(task for task, of in v["tasks"].items() if of["new"]),
            sum(v["cost"].values()),
        )
        for v in versions
    ]


def _moves(history: Mapping[str, Any]) -> list[dict[str, str]]:
    numbers = {v["id"]: f"v{v['number']}" for v in history["versions"]}
    return [{**move, "version": numbers.get(move["version"], move["version"]), "time": move["time"].replace("T", " ")[:16]} for move in history["moves"]]
