"""Older homes brought to the present format, one step at a time."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

from everlearn.disk import write_whole
from everlearn.errors import StateError
from everlearn.version import VERSION

FILE = "home.json"
FORMAT = 1
# By the format it starts from: what brings a home's folder to the next one. A step that is done twice does no harm: a crash may come in between.
STEPS: Mapping[int, Callable[[Path], None]] = {}


def migrated(folder: Path, steps: Mapping[int, Callable[[Path], None]] = STEPS, newest: int = FORMAT) -> dict[str, object]:
    """What home.json says, after the home was brought to the newest format. Raises StateError for no home, a broken one, or one of a later everlearn."""
    about = read_about(folder)
    while (now := about["format"]) != newest:
        if not isinstance(now, int) or now > newest or now not in steps:
            raise StateError(
                f"this home has a format that everlearn {VERSION} does not know (home={str(folder)!r}, format={now!r}). Install a newer everlearn."
            )
        steps[now](folder)
        about = {**about, "format": now + 1}
        write_about(folder, about)
    return about


def read_about(folder: Path) -> dict[str, object]:
    """What home.json says."""
    try:
        about = json.loads((folder / FILE).read_text(encoding="utf-8"))
        if not isinstance(about, dict) or "format" not in about:
            raise ValueError("it has no format")
    except FileNotFoundError:
        raise StateError(f"there is no home here (home={str(folder)!r}). Make one with `everlearn init {folder} --model M`.") from None
    except (OSError, ValueError) as problem:
        raise StateError(f"this home cannot be read (file={str(folder / FILE)!r}): {problem}. Restore the file from a copy of the home.") from problem
    return about


def write_about(folder: Path, about: Mapping[str, object]) -> None:
    """Write home.json; with it the folder is a home."""
    write_whole(folder / FILE, (json.dumps(about, ensure_ascii=False, indent=1) + "\n").encode())
