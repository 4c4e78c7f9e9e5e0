"""Examples from files: JSON lines (also gzipped), CSV and parquet, in TRL's formats."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path

from everlearn.errors import DataError, SettingError
from everlearn.streams.lines import Unparsed, json_rows
from everlearn.streams.rows import FORMS, to_example
from everlearn.streams.tables import csv_rows, parquet_rows
from everlearn.types import Example

READERS: Mapping[str, Callable[[Path, int], Unparsed]] = {".jsonl": json_rows, ".jsonl.gz": json_rows, ".csv": csv_rows, ".parquet": parquet_rows}
SUFFIXES = tuple(READERS)
LONGEST_LINE = 8_000_000  # bytes: some two million tokens, far beyond a row that can be learned


@dataclass(frozen=True, slots=True)
class Reading:
    """What a file holds: its examples, and the lines that cannot be used.

    lines: by example id, its line in the file, from 1 (in parquet its row).   bad: by line, why it cannot be used.   rows: how many lines are
    not blank.
    """

    path: Path
    examples: list[Example]
    lines: Mapping[str, int]
    bad: Mapping[int, str]
    rows: int

    def check(self, most_bad: float = 0.0) -> None:
        """Raise DataError if more than this share of the rows (0 to 1) is bad, or if none is left."""
        check_share(most_bad)
        if len(self.bad) > most_bad * self.rows or not self.examples:
            raise DataError(
                f"{self.report()}\nA line holds one of: {FORMS}. Correct or cut these lines; read_examples(most_bad=...), `--most-bad` and "
                f"[watch] most_bad of a home allow a share of them (most_bad={most_bad!r})."
            )

    def report(self) -> str:
        """How many lines are bad, and the first ten with file, line and reason."""
        return f"{self.path}: {len(self.bad)} of {self.rows} rows cannot be used.{listed([f'{self.path}:{line}: {self.bad[line]}' for line in self.bad])}"


def check_share(most_bad: float) -> None:
    """Raise SettingError for a share of bad lines that is none."""
    if not 0 <= most_bad <= 1:
        raise SettingError(f"most_bad must be between 0 and 1 (most_bad={most_bad!r}). It is the share of bad lines to allow; for none set 0.")


def listed(problems: list[str]) -> str:
    """The first ten problems, each on an indented line, then how many more there are."""
    more = [f"and {len(problems) - 10} more"] if len(problems) > 10 else []
    return "".join(f"\n  {line}" for line in problems[:10] + more)


def read_examples(path: str | Path, *, most_bad: float = 0.0, longest_line: int = LONGEST_LINE) -> list[Example]:
    """The examples of a .jsonl, .jsonl.gz, .csv or .parquet file, equal content merged and counted.

    Of equal examples the last stays, in its place, with the sum of the counts. Conversational prompt + completion become messages; null is
    absent; unknown keys are ignored unless nearly a known one. In CSV an empty cell is absent; choices, count, messages and until are JSON.

    most_bad: share of the rows, 0 to 1, that may be bad; these are left out with a warning.   longest_line: in bytes; a longer one is bad.
    Raises DataError, with file, line and reason, for too many bad lines or a file that cannot be read; SettingError for the settings;
    MissingExtra for parquet without pyarrow.
    """
    reading = scan_examples(path, longest_line=longest_line)
    reading.check(most_bad)
    if reading.bad:
        warnings.warn(reading.report(), stacklevel=2)
    return reading.examples


def scan_examples(path: str | Path, *, longest_line: int = LONGEST_LINE) -> Reading:
    """What `read_examples` reads, with the bad lines listed instead of raised (for a report).

    Raises DataError if the file cannot be read at all: missing, empty, cut off, of another kind; in CSV also at a broken record.
    """
    if longest_line < 1:
        raise SettingError(f"longest_line must be 1 or more (longest_line={longest_line!r}). It is a number of bytes.")
    path = _existing(Path(path))
    reading = collected(path, READERS[suffix_of(path)](path, longest_line))
    if not reading.rows:
        raise DataError(f"{path} has no rows ({path.stat().st_size} bytes). A file holds one row a line, at least one. Fill it, or leave it out.")
    return reading


def collected(path: Path, unparsed: Unparsed) -> Reading:
    """Rows as examples, equal content merged; what is no example is listed by its line."""
    merged, bad, rows = Merged(), dict[int, str](), 0
    for line, parse in unparsed:
        rows += 1
        try:
            merged.add(to_example(parse()), line)
        except DataError as error:
            bad[line] = str(error)
    return Reading(path, list(merged.examples.values()), merged.lines, bad, rows)


def suffix_of(path: Path) -> str:
    """Which of the suffixes that can be read this file has; DataError if none."""
    for suffix in SUFFIXES:
        if path.name.lower().endswith(suffix):
            return suffix
    raise DataError(f"{path}: unknown kind of file (suffix={path.suffix!r}). Files are {', '.join(SUFFIXES)}. Convert it to JSONL: one JSON object a line.")


class Merged:
    """Examples by content, in the order in which each was last given, and the line that each id stands on."""

    def __init__(self) -> None:
        self.examples: dict[tuple[str, ...], Example] = {}
        self.lines: dict[str, int] = {}
        self._contents: dict[str, tuple[str, ...]] = {}

    def add(self, new: Example, line: int) -> None:
        content = new.content
        old = self.examples.get(content)
        here, there = ((e.choices, e.old_completion, e.until) for e in (new, old or new))
        if old and here != there:
            raise DataError(f"line {self.lines[old.id]} has equal content, but not equal choices, old_completion, until ({here}, there {there}). Keep one.")
        if self._contents.setdefault(new.id, content) != content:
            raise DataError(f"line {self.lines[new.id]} has this id with other content (id={new.id!r}). An id names one content. Change or drop one id.")
        if old:
            new = replace(new, count=old.count + new.count)
            del self.examples[content]
        self.examples[content] = new
        self.lines[new.id] = line


def _existing(path: Path) -> Path:
    if path.is_file():
        return path
    if path.is_dir():
        raise DataError(f"{path} is a folder. A file is expected here. Name a file in it; a folder with stream.toml is for load_stream.")
    close = get_close_matches(path.name, [entry.name for entry in path.parent.glob("*")], n=1)
    raise DataError(f"{path} does not exist. " + (f"Did you mean {close[0]!r}?" if close else f"Check the path, from {Path.cwd()}."))
