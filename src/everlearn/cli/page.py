"""The page that `compare` and `demo` leave beside their numbers."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from everlearn.results import Results


def paged(results: Results, out: Path) -> str:
    """Note the command in results.json, write report.html, and say where it is, or what it would take."""
    from everlearn.errors import MissingExtra
    from everlearn.report import write_report

    results.command = shlex.join(["everlearn", *sys.argv[1:]])
    results.save(out / "results.json")
    try:
        return f"The page: {write_report(out)}"
    except MissingExtra as missing:
        return f"No page was written: {missing}"
