"""Write results into the pages that quote them, between `<!-- NAME -->` and `<!-- /NAME -->`.

python scripts/write_tables.py                               all committed results: demo, support, the nine streams ..., and each method's row on its page
python scripts/write_tables.py demo=runs/demo/results.json   this one from elsewhere
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

from everlearn import Results
from everlearn.applications.record import cell

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))

import methods  # noqa: E402

RESULTS = ROOT / "benchmarks" / "results"
PAGES = ("README.md", "docs/results.md")


def written(text: str, name: str, table: str) -> str:
    """The page with this table in its place; unchanged where it has none."""
    return re.sub(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", lambda found: f"{found[1]}\n{table}\n{found[2]}", text, flags=re.DOTALL)


def of_streams() -> str:
    """One table a stream, the shortest first, with what is run of it."""
    found = []
    for path in sorted(RESULTS.glob("streams/*/results.json"), key=lambda path: path.stat().st_size):
        results = Results.load(path)
        runs = len({(run.method, run.seed) for run in results.runs})
        taught = sum(int(str(e["train"])) for e in results.experiences)
        asked = sum(int(str(t["examples"])) for t in results.tasks)
        counted = f"{len(results.experiences)} experiences, {taught} rows to learn, {asked} to test; {runs} runs."
        found.append(f"### {results.stream}: {results.about}\n\n{counted}\n\n{results.markdown()}")
    return "\n".join(found)


def of_edits() -> str:
    """A line a method and data set."""
    lines = ["| data | method | reliability | generality | locality | seconds an edit |", "| --- | --- | ---: | ---: | ---: | ---: |"]
    for run in json.loads((RESULTS / "edits.json").read_text(encoding="utf-8"))["runs"]:
        said = [f"{100 * run[name]:.1f} ({100 * run[f'{name}_forced']:.1f})" for name in ("reliability", "generality")]
        lines.append(f"| {run['data']} | {run['recipe']} | {said[0]} | {said[1]} | {100 * run['locality']:.1f} | {run['seconds_an_edit']:.2f} |")
    return "\n".join([*lines, ""])


def of_applications() -> str:
    """Each part's curve of its main measure, a column a period, and all that was measured over all periods (of translation: at the end)."""
    found = []
    for name, part in json.loads((RESULTS / "applications.json").read_text(encoding="utf-8")).items():
        main = next(iter(part["measures"]))
        periods = [str(period["name"]) for period in part["periods"]]
        rows = [["", *periods], ["---", *["---:"] * len(periods)]]
        rows += [[line["name"], *(cell(value) for value in line["curves"][main])] for line in part["lines"]]
        totals = [["", *part["measures"]], ["---", *["---:"] * len(part["measures"])]]
        totals += [[line["name"], *(cell(line["totals"][of], line["intervals"].get(of)) for of in part["measures"])] for line in part["lines"]]
        curve, table = ("\n".join("| " + " | ".join(row) + " |" for row in of) for of in (rows, totals))
        notes = " ".join(part["notes"])
        found.append(f"#### {name}: {part['data']} ({part['about']})\n\n{main} by period, %:\n\n{curve}\n\nIn all, %:\n\n{table}\n\n{notes}\n".rstrip() + "\n")
    return "\n".join(found)


def of_methods(name: str, wanted: Callable[[str], bool] = bool) -> str:
    """The table of every method on one stream, or of those wanted; "" where none of them was measured."""
    path = RESULTS / "methods" / f"{name}.json"
    if not path.exists():
        return ""
    whole = json.loads(path.read_text(encoding="utf-8"))
    rows, told = [row for row in whole["rows"] if wanted(row["method"])], whole["told"]
    return f"{methods.table(rows, told)}\n" if rows else ""


def on_page(page: str) -> str:
    """What was measured of a page's method, beside plain training, a table a stream."""

    def its(recipe: str) -> bool:
        return re.split(r"[(+]", recipe)[0] in (("joint", "frozen") if page == "bounds" else (page,))

    found = []
    for name in ("almanac", "support", "facts"):
        if of_methods(name, its):
            both = of_methods(name, lambda recipe: recipe == "plain" or its(recipe))
            found.append(f"`{name}`, as [every method](../results.md#every-method) was measured:\n\n{both}")
    return "\n".join(found)


def main() -> None:
    given = dict(word.split("=", 1) for word in sys.argv[1:]) or {path.stem: str(path) for path in RESULTS.glob("*.json") if path.stem in ("demo", "support")}
    tables = {name: Results.load(Path(path)).markdown() for name, path in given.items()}
    if len(sys.argv) == 1:
        tables["streams"], tables["edits"], tables["applications"] = of_streams(), of_edits(), of_applications()
        tables |= {f"methods {name}": of_methods(name) or "Not measured yet.\n" for name in ("almanac", "support", "facts")}
        for path in sorted((ROOT / "docs" / "methods").glob("*.md")):  # a page without the marks stays as it is
            path.write_text(
                written(path.read_text(encoding="utf-8"), "measured", on_page(path.stem) or "Not measured beside the others yet.\n"), encoding="utf-8"
            )
    for page in PAGES:
        path = ROOT / page
        text = path.read_text(encoding="utf-8")
        for name, table in tables.items():
            text = written(text, name, table)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
