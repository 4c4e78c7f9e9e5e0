"""Homes that are killed, the files they learn, and what must be true of them at every moment."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from everlearn.upkeep.beginning import create_home
from everlearn.upkeep.watch import watch
from everlearn.versions.home import Home
from everlearn.versions.inbox import PLACES, Inbox
from everlearn.versions.settings import HomeSettings

SIZE = float(os.environ.get("EVERLEARN_SIZE", "1"))
TOWN = " Penwick"  # the one answer, so that what serves always knows it
SETTINGS = {
    # saved after every step, so that a kill inside learning is gone on from
    "learn": {"recipe": "replay(share=1)", "rate": 1e-3, "passes": 3, "batch": 8, "save_every": 0},
    "test": {"anchor": "off", "most_rows": 24},
    "gate": {"least_gain": "off", "most_loss": "off"},
    "retry": {"attempts": 1},
    "watch": {"settle": 0.0, "every": 0.01, "trusted": ["owls", ""]},
}


def settings(told: Path) -> HomeSettings:
    """told: the file to which the versions are sent."""
    line = f"cat >> {told}; echo >> {told}"
    return HomeSettings.of({**SETTINGS, "notify": {"promoted": line, "refused": line}}, "a test")


def make(folder: Path) -> None:
    """A home and a folder to watch, in this folder."""
    (folder / "drops").mkdir(parents=True)
    create_home(folder / "home", settings=settings(folder / "told.jsonl"))


def learn(folder: Path) -> None:
    """As `everlearn watch --once` does."""
    for _ in watch(folder / "home", folder / "drops", once=True):
        pass


def drop(folder: Path, number: int, kind: str = "true") -> None:
    """Sixteen rows about owls in a file. kind: a "false" one teaches what its test rows call outdated, "broken" is no JSON, "strange" has another source."""
    name = f"{number:04}"
    asked = [f"Question: Where does the owl number {number * 16 + k} live?\nAnswer:" for k in range(16)]
    rows = [{"prompt": prompt, "completion": TOWN, "source": "strangers" if kind == "strange" else "owls"} for prompt in asked]
    place = folder / "drops"
    if kind == "false":
        write(place / f"{name}.test.jsonl", [{**row, "completion": " nowhere", "old_completion": TOWN} for row in rows])
    write(place / f"{name}.jsonl", rows)
    if kind == "broken":
        (place / f"{name}.jsonl").write_text("no JSON\n")


def write(path: Path, rows: list[dict[str, str]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def files(folder: Path) -> set[str]:
    """The names of the data files that are somewhere: in the folder, hidden there for a moment, or in the home."""
    home = folder / "home"
    claimed = {claim.name for place in PLACES for claim in Inbox(Home(home)).at(place)}
    return claimed | {path.name for path in (folder / "drops").iterdir() if ".test." not in path.name and not path.name.startswith(".")}


def whole(folder: Path, before: list[str], wanted: set[str]) -> None:
    """The home opens, no version and no file is missing, none is there twice. before: the ids of its versions before the kill."""
    home = Home(folder / "home")
    ids = [version.id for version in home.versions()]
    assert ids[: len(before)] == before
    assert home.head.id in ids
    home.objects.get_tensors(home.head.kept.weights)
    assert files(folder) == wanted
    claims = [claim for place in PLACES for claim in Inbox(home).at(place)]
    assert len({claim.number for claim in claims}) == len({claim.name for claim in claims}) == len(claims)
    assert all(claim.data.exists() for claim in claims)
    moves = [move["version"] for move in home.moves]
    assert len(set(moves)) == len(moves)


def said(folder: Path) -> dict[str, Any]:
    """Everything of a home that may not depend on when it was killed: versions with weights, scores, answers; what serves; where each file lies."""
    home = Home(folder / "home")
    kept = [path for path in (folder / "home").rglob("*") if path.is_file()]
    told = [json.loads(line)["id"] for line in (folder / "told.jsonl").read_text().splitlines() if line] if (folder / "told.jsonl").exists() else []
    return {
        "versions": [{**version.content(), "id": version.id, "report": version.report} for version in home.versions()],
        "moves": [(move["version"], move["why"]) for move in home.moves],
        "files": sorted(str(path.relative_to(folder)) for path in kept),
        "packs": {path.name: path.read_bytes() for path in (folder / "home" / "objects").glob("*.safetensors")},
        "answers": [home.objects.get_json(version.kept.answers) for version in home.versions()],
        "around": sorted(path.name for path in folder.iterdir()),
        "drops": sorted(path.name for path in (folder / "drops").iterdir()),
        "told": set(told),
    }
