"""Write results into the pages that quote them, between `<!-- NAME -->` and `<!-- /NAME -->`.

python scripts/write_tables.py demo=runs/demo/results.json support=runs/support/results.json
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from everlearn import Results

ROOT = Path(__file__).parents[1]
PAGES = ("README.md", "docs/results.md")


def written(text: str, name: str, table: str) -> str:
    """The page with this table in its place; unchanged where it has none."""
    return re.sub(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", lambda found: f"{found[1]}\n{table}\n{found[2]}", text, flags=re.DOTALL)


def main() -> None:
    tables = {name: Results.load(Path(path)).markdown() for name, path in (word.split("=", 1) for word in sys.argv[1:])}
    for page in PAGES:
        path = ROOT / page
        text = path.read_text(encoding="utf-8")
        for name, table in tables.items():
            text = written(text, name, table)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
