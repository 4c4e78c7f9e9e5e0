"""Examples from files: JSON lines (also gzipped) and CSV, in TRL's formats."""

from __future__ import annotations

import csv
import gzip
import json
import re
import warnings
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import lru_cache, partial
from pathlib import Path

from everlearn.errors import DataError, SettingError
from everlearn.types import Example, Message

SUFFIXES = (".jsonl", ".jsonl.gz", ".csv")
CONTENT = ("text", "prompt", "completion", "messages", "chosen", "rejected")
KNOWN = (*CONTENT, "id", "source", "time", "task", "choices", "old_completion", "until", "count")
FORMS = "text; prompt + completion; messages; prompt + chosen + rejected"
LONGEST_LINE = 8_000_000  # bytes: some two million tokens, far beyond a row that can be learned
_FORMS = [{"text"}, {"prompt", "completion"}, {"messages"}, {"prompt", "chosen", "rejected"}]
_ROLES = ("system", "user", "assistant")
JSON_COLUMNS = ("choices", "count", "messages", "until")
_HALF = re.compile("[\ud800-\udfff]")  # surrogates: JSON can spell them, UTF-8 cannot hold them
_TIME = re.compile(r"\d{4}(-\d\d(-\d\d([T ]\S.*)?)?)?")


@dataclass(frozen=True, slots=True)
class Reading:
    """What a file holds: its examples, and the lines that cannot be used.

    lines: by example id, its line in the file, from 1.   bad: by line, why it cannot be used.   rows: how many lines are not blank.
    """

    path: Path
    examples: list[Example]
    lines: Mapping[str, int]
    bad: Mapping[int, str]
    rows: int

    def check(self, most_bad: float = 0.0) -> None:
        """Raise DataError if more than this share of the rows (0 to 1) is bad, or if none is left."""
        if not 0 <= most_bad <= 1:
            raise SettingError(f"most_bad must be between 0 and 1 (most_bad={most_bad!r}). It is the share of bad lines to allow; for none set 0.")
        if len(self.bad) > most_bad * self.rows or not self.examples:
            raise DataError(f"{self.report()}\nA line holds one of: {FORMS}. Correct these, or allow more bad lines (most_bad={most_bad!r}).")

    def report(self) -> str:
        """How many lines are bad, and the first ten with file, line and reason."""
        return f"{self.path}: {len(self.bad)} of {self.rows} rows cannot be used.{listed([f'{self.path}:{line}: {self.bad[line]}' for line in self.bad])}"


def listed(problems: list[str]) -> str:
    """The first ten problems, each on an indented line, then how many more there are."""
    more = [f"and {len(problems) - 10} more"] if len(problems) > 10 else []
    return "".join(f"\n  {line}" for line in problems[:10] + more)


def read_examples(path: str | Path, *, most_bad: float = 0.0, longest_line: int = LONGEST_LINE) -> list[Example]:
    """The examples of a .jsonl, .jsonl.gz or .csv file, equal content merged and counted.

    Of equal examples the last stays, in its place, with the sum of the counts. Conversational prompt + completion become messages; null is
    absent; unknown keys are ignored unless nearly a known one. In CSV an empty cell is absent; choices, count, messages and until are JSON.

    most_bad: share of the rows, 0 to 1, that may be bad; these are left out with a warning.   longest_line: in bytes; a longer one is bad.
    Raises DataError, with file, line and reason, for too many bad lines or a file that cannot be read; SettingError for the settings.
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
    unparsed = _csv_rows(path, longest_line) if suffix_of(path) == ".csv" else _json_rows(path, longest_line)
    merged, bad, rows = Merged(), dict[int, str](), 0
    for line, parse in unparsed:
        rows += 1
        try:
            merged.add(to_example(parse()), line)
        except DataError as error:
            bad[line] = str(error)
    if not rows:
        raise DataError(f"{path} has no rows ({path.stat().st_size} bytes). A file holds one row a line, at least one. Fill it, or leave it out.")
    return Reading(path, list(merged.examples.values()), merged.lines, bad, rows)


def suffix_of(path: Path) -> str:
    """Which of the suffixes that can be read this file has; DataError if none."""
    for suffix in SUFFIXES:
        if path.name.lower().endswith(suffix):
            return suffix
    kind = "parquet is not read yet" if path.suffix.lower() == ".parquet" else "unknown kind of file"
    raise DataError(f"{path}: {kind} (suffix={path.suffix!r}). Files are {', '.join(SUFFIXES)}. Convert it to JSONL: one JSON object a line.")


def to_example(row: Mapping[str, object]) -> Example:
    """The Example that one parsed row gives; DataError says what is wrong with it."""
    given = {key: value for key, value in row.items() if value is not None}
    if type(row.get("id")) is int:
        given["id"] = str(row["id"])
    _check_keys(tuple(given))
    messages = _messages(given)
    prompt, completion = (None, None) if messages else (_text(given, "prompt"), _text(given, "completion"))
    text, chosen, rejected, task, old_completion = (_text(given, key) for key in ("text", "chosen", "rejected", "task", "old_completion"))
    name, source, time = (_string(key, given.get(key, "")) for key in ("id", "source", "time"))
    if time and not _TIME.fullmatch(time):
        raise DataError(f"time must be an ISO date ({time=}). 2024, 2024-05, 2024-05-31 and 2024-05-31T12:00 are. Write it so, or leave it out.")
    choices = _choices(given["choices"], messages[-1]["content"] if messages else completion) if "choices" in given else ()
    until, count = _whole(given, "until"), _whole(given, "count") or 1
    return Example(text, prompt, completion, messages, chosen, rejected, name, source, time, task, choices, old_completion, until, count)


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


def _lines(path: Path, longest: int) -> Iterator[bytes]:
    """The lines without a byte-order mark; of one that is too long only its first longest + 1 bytes."""
    number = 0
    try:
        with gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb") as file:
            while line := file.readline(longest + 1):
                rest = line
                while rest and not rest.endswith(b"\n"):
                    rest = file.readline(65536)
                number += 1
                yield line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path} is no whole gzip file: after line {number}: {error}. Copy it again; name a file that is not packed .jsonl.") from error


def _decoded(line: bytes, longest: int) -> str:
    if len(line) > longest:
        raise DataError(f"longer than {longest} bytes (starts {_short(line[:40])}). Cut it into several rows, or raise longest_line.")
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        todo = "The file is gzip: name it .jsonl.gz." if line.startswith(b"\x1f\x8b") else "Save the file as UTF-8."
        raise DataError(f"not UTF-8 (byte {line[error.start]:#04x} at byte {error.start + 1}). {todo}") from error


def _json_rows(path: Path, longest: int) -> Iterator[tuple[int, Callable[[], Mapping[str, object]]]]:
    return ((number, partial(_json_row, line, longest)) for number, line in enumerate(_lines(path, longest), 1) if line.strip())


def _json_row(line: bytes, longest: int) -> Mapping[str, object]:
    row = _json(_decoded(line, longest).rstrip())
    if not isinstance(row, dict):
        raise DataError(f"JSON, but not an object ({_short(row)}). A line is one JSON object, in braces. Correct it.")
    return row


def _json(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"not JSON ({str(error).replace('line 1 ', '')}: {_short(text)}). Lines, and CSV cells of {', '.join(JSON_COLUMNS)}, are.") from error


def _csv_rows(path: Path, longest: int) -> Iterator[tuple[int, Callable[[], Mapping[str, object]]]]:
    reader = csv.reader((_decoded(line, longest) for line in _lines(path, longest)), strict=True)
    start, header = 1, list[str]()
    limit = csv.field_size_limit(longest)  # the csv module's own, 131,072 characters, is below what a row may hold
    try:
        for cells in reader:
            if header and cells:
                yield start, partial(_csv_row, header, cells)
            elif cells:
                header = _header([cell.strip() for cell in cells])
            start = reader.line_num + 1
    except (csv.Error, DataError) as error:
        raise DataError(f"{path}:{start}: not CSV: {error}. Commas, quotes and line breaks stand in double quotes. Correct what starts here.") from error
    finally:
        csv.field_size_limit(limit)


def _header(names: list[str]) -> list[str]:
    if not set(names) & set(CONTENT) or len(set(names)) < len(names):
        raise DataError(f"the first line is no header (columns={_short(names)}). It names each column once, with commas between: {', '.join(KNOWN)}")
    return names


def _csv_row(header: list[str], cells: list[str]) -> Mapping[str, object]:
    if len(cells) != len(header):
        raise DataError(f"{len(cells)} cells under {len(header)} columns ({_short(cells)}). Put a cell with commas in double quotes.")
    given = {name: cell for name, cell in zip(header, cells, strict=True) if cell}
    return {name: _json(cell) if name in JSON_COLUMNS else cell for name, cell in given.items()}


def _misspelt(key: str) -> str | None:
    """The known key that this one is a letter away from; 'context', 'prompt_id' and 'idx' are keys of their own."""
    plain = re.sub("[- ]", "_", key.lower())
    close = get_close_matches(plain, KNOWN, n=1, cutoff=0.82)
    return close[0] if key not in KNOWN and close and abs(len(close[0]) - len(plain)) <= 1 else None


@lru_cache(maxsize=1000)
def _check_keys(keys: tuple[str, ...]) -> None:
    meant = {key: name for key in keys if (name := _misspelt(key))}
    if meant or set(keys) & set(CONTENT) not in _FORMS:
        close = f"Did you mean {', '.join(map(repr, meant.values()))} by {', '.join(map(repr, meant))}?" if meant else "Correct or cut the line."
        raise DataError(f"wrong keys (keys={_short(list(keys))}). A line holds exactly one of: {FORMS}. {close}")


def _messages(given: Mapping[str, object]) -> tuple[Message, ...] | None:
    """The turns of a conversation that ends with the assistant's; None for a row that is not made of messages."""
    parts = [part for key in ("prompt", "completion", "messages") if isinstance(part := given.get(key), list)]
    if "messages" not in given and len(parts) < 2:
        return None
    messages = tuple(_message(turn, number) for number, turn in enumerate((turn for part in parts for turn in part), 1))
    if len(messages) < 2 or messages[-1]["role"] != "assistant":
        raise DataError(f"messages are no list that ends with an answer (roles={[m['role'] for m in messages]}). The last turn is the assistant's. Add it.")
    return messages


def _message(turn: object, number: int) -> Message:
    if not isinstance(turn, dict) or turn.get("role") not in _ROLES:
        raise DataError(f"message {number} has no known role ({_short(turn)}). A message has a role ({', '.join(_ROLES)}) and content. Correct it.")
    content = _string(f"content of message {number}", turn.get("content"))
    if not content.strip() and turn["role"] != "system":
        raise DataError(f"message {number} is empty ({content=}). Only a system message may be. Fill it, or leave it out.")
    return {"role": turn["role"], "content": content}


def _string(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise DataError(f"{name} must be text ({name}={_short(value)}). Put it in quotes.")
    if not value.isascii() and _HALF.search(value):
        raise DataError(f"{name} holds half a surrogate pair ({name}={_short(value)}). Text is Unicode. Correct where it was cut.")
    return value


def _text(given: Mapping[str, object], name: str) -> str | None:
    """Text that is not blank, or None if it is not given."""
    if name not in given:
        return None
    value = _string(name, given[name])
    if not value.strip():
        raise DataError(f"{name} is empty ({name}={value!r}). It holds more than white space. Fill it, or leave the line out.")
    return value


def _whole(given: Mapping[str, object], name: str) -> int | None:
    value = given.get(name)
    if value is not None and (type(value) is not int or value < 1):
        raise DataError(f"{name} must be a whole number of 1 or more ({name}={_short(value)}). Correct it, or leave it out.")
    return value


def _choices(given: object, answer: str | None) -> tuple[str, ...]:
    choices = tuple(_string("a choice", choice) for choice in given) if isinstance(given, list) else ()
    if len(choices) < 2 or answer not in choices or len(set(choices)) < len(choices):
        raise DataError(f"choices must be a list of two or more, once each, the completion among them (choices={_short(given)}, completion={_short(answer)}).")
    return choices


def _short(value: object) -> str:
    return f"{value!r:.80}"
