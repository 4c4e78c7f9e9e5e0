"""What there is to check: every file of the data, read, with its bad lines listed instead of raised."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from everlearn.errors import DataError
from everlearn.streams.almanac import almanac_stream
from everlearn.streams.benchmarks import benchmark_stream, read_benchmark, recognised
from everlearn.streams.files import SUFFIXES, Reading, scan_examples
from everlearn.streams.folder import load_stream
from everlearn.streams.hub import PREFIX, hub_place, scan_hub
from everlearn.types import Example, Score, Stream

LEARNED = ("base", "train")  # the roles that are learned; the others are asked
_NAME = re.compile(r"(base|train|valid|test)(?:\.(.+))?")


@dataclass(frozen=True, slots=True)
class Part:
    """One file of the data. role: base, train, valid or test.   experience: its name, "" for base and for a single file."""

    role: str
    experience: str
    task: str
    reading: Reading

    def place(self, example: Example) -> str:
        """Where an example stands: its file and line."""
        return f"{self.reading.path}:{self.reading.lines[example.id]}"


@dataclass(frozen=True, slots=True)
class Gathered:
    """All parts, in the order they arrive; problems: what keeps them from being loaded, beside bad lines.

    scores: by task its kind of score, where the data says so.
    """

    name: str
    kind: str
    parts: tuple[Part, ...]
    problems: tuple[str, ...] = ()
    scores: Mapping[str, Score] = field(default_factory=dict)

    @property
    def experiences(self) -> list[str]:
        """Names of the experiences that teach something, in order."""
        return list(dict.fromkeys(part.experience for part in self.parts if part.role == "train"))


def gather(data: str | Path | Stream, subset: str | None = None, columns: Mapping[str, str] | None = None) -> Gathered:
    """The parts of a file, a stream's or benchmark's folder, "hub:org/name[:split]", "almanac", or a Stream.

    Raises DataError where nothing can be read.
    """
    if isinstance(data, Stream) or str(data) == "almanac":
        return _of_stream(data if isinstance(data, Stream) else almanac_stream(), "stream")
    if str(data).startswith(PREFIX):
        name, split = hub_place(str(data))
        return Gathered(str(data), "hub dataset", (Part("train", "", "", scan_hub(name, split, subset, columns)),))
    path = Path(data)
    if path.is_dir() and not (path / "stream.toml").is_file() and recognised(path):
        return _of_benchmark(path)
    if path.is_dir():
        return _of_folder(path)
    return Gathered(str(path), "file", (Part(_role_of(path)[0], "", _role_of(path)[1], scan_examples(path)),))


def _of_benchmark(path: Path) -> Gathered:
    found = read_benchmark(path)
    parts = tuple(Part(part.role, part.task, "" if part.role == "train" else part.task, part.reading) for part in found.parts)
    left = f"; left out: {', '.join(found.left)}" if found.left else ""
    scores = {task: kind for experience in benchmark_stream(found) for task, kind in experience.scores.items()}
    return Gathered(str(path), f"benchmark {found.layout} {found.order}".rstrip() + left, parts, scores=scores)


def _of_folder(root: Path) -> Gathered:
    """A stream's folder, file by file; what `load_stream` refuses beside bad lines is a problem, not an end."""
    files = [(entry, "") for entry in _visible(root) if entry.is_file()]
    files += [(entry, folder.name) for folder in _visible(root) if folder.is_dir() for entry in _visible(folder) if entry.is_file()]
    parts, problems = [], []
    for file, folder in files:
        role, task = _role_of(file, default="")
        if not role or (role == "base") == bool(folder):
            continue
        try:
            parts.append(Part(role, re.sub(r"(?s)^\d+-(?=.)", "", folder), task, scan_examples(file)))
        except DataError as problem:
            problems.append(str(problem))
    scores: dict[str, Score] = {}
    if not problems and not any(part.reading.bad for part in parts):
        try:
            scores = {task: kind for experience in load_stream(root) for task, kind in experience.scores.items()}
        except DataError as problem:
            problems.append(str(problem))
    if not parts:
        raise DataError(problems[0])
    return Gathered(str(root), "stream", tuple(parts), tuple(problems), scores)


def _of_stream(stream: Stream, kind: str) -> Gathered:
    parts = [_in_hand(stream.name, "base", "", "", stream.base)] if stream.base else []
    scores: dict[str, Score] = {}
    for e in stream:
        scores |= e.scores
        parts.append(_in_hand(stream.name, "train", e.name, "", e.train))
        for role, tasks in (("valid", e.valid), ("test", e.tests)):
            parts += [_in_hand(stream.name, role, e.name, task, rows) for task, rows in tasks.items()]
    return Gathered(stream.name, kind, tuple(parts), scores=scores)


def _in_hand(stream: str, role: str, experience: str, task: str, rows: Iterable[Example]) -> Part:
    given = list({example.id: example for example in rows}.values())
    name = "/".join(part for part in (stream, experience, role + (f".{task}" if task else "")) if part)
    return Part(role, experience, task, Reading(Path(name), given, {e.id: line for line, e in enumerate(given, 1)}, {}, sum(e.count for e in given)))


def _role_of(file: Path, default: str = "train") -> tuple[str, str]:
    """The role and task that a file's name gives it; `default` for any other name."""
    suffix = next((suffix for suffix in SUFFIXES if file.name.lower().endswith(suffix)), "")
    found = _NAME.fullmatch(file.name[: len(file.name) - len(suffix)]) if suffix else None
    return (found[1], found[2] or "") if found else (default, "")


def _visible(folder: Path) -> list[Path]:
    return sorted((entry for entry in folder.iterdir() if not entry.name.startswith(".")), key=lambda entry: entry.name)
