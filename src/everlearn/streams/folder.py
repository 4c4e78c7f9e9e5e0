"""A stream on disk: a folder with stream.toml and one folder an experience."""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import get_args

from everlearn.errors import DataError, did_you_mean
from everlearn.streams.benchmarks import load_benchmark, recognised
from everlearn.streams.files import SUFFIXES, Merged, Reading, listed, scan_examples, suffix_of
from everlearn.types import Example, Experience, Score, Stream

KINDS: dict[str, Score] = {kind: kind for kind in get_args(Score)}
TABLES = ("scores", "chance", "times")


@dataclass(frozen=True, slots=True)
class _Settings:
    """What stream.toml says: by task the kind of score and the chance level, by experience folder its time."""

    path: Path
    name: str
    about: str
    scores: Mapping[str, Score]
    chance: Mapping[str, float]
    times: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _File:
    """One file of a stream. role: base, train, valid or test.   task: "" for base and train."""

    role: str
    task: str
    reading: Reading

    def place(self, example: Example) -> str:
        return f"{self.reading.path}:{self.reading.lines[example.id]}"


def load_stream(path: str | Path) -> Stream:
    """The stream in a folder: stream.toml, perhaps base.jsonl, then in name order one folder an experience, "01-banking" named "banking".

    An experience holds train.jsonl, valid.TASK.jsonl and test.TASK.jsonl (or .jsonl.gz, .csv, .parquet); hidden files are ignored. stream.toml gives
    name, about, the kind of score of each task under [scores], its chance level (0 to 1) under [chance], and, by folder, the time of an
    experience under [times]. An experience carries the scores and chances of its own tasks. A folder without stream.toml that `load_benchmark`
    recognises is read by it.

    Raises DataError, naming file and line, for anything missing, unknown or contradictory; several mistakes at once.
    """
    if not (Path(path) / "stream.toml").is_file() and recognised(Path(path)):
        return load_benchmark(path)
    root = _root(Path(path))
    settings = _settings(root / "stream.toml")
    folders = _folders(root)
    base = _files([entry for entry in _visible(root) if entry.is_file() and not _is_about(entry)], ("base",))
    parts = {folder.name: _files(_visible(folder), ("train", "valid", "test")) for folder in folders}
    for folder in folders:
        if not any(file.role == "train" for file in parts[folder.name]):
            raise DataError(f"{folder} has no train file. An experience teaches something. Add train.jsonl ({', '.join(SUFFIXES)}).")
    problems = [*_misnamed(parts, settings), *_problems([*base, *(file for files in parts.values() for file in files)], settings)]
    if problems:
        raise DataError(f"{root} cannot be used as a stream.{listed(problems)}")
    experiences = tuple(_experience(name, files, settings) for name, files in parts.items())
    return Stream(settings.name, experiences, tuple(example for file in base for example in file.reading.examples), settings.about)


def save_stream(stream: Stream, path: str | Path) -> None:
    """Write a stream as a new folder that `load_stream` gives back; equal examples of one file come back merged and counted.

    It is written aside, loaded and compared, then renamed: a stream that would not come back equal is not saved. Raises DataError for such a
    stream, and if the path exists.
    """
    path = Path(path)
    if path.exists():
        raise DataError(f"{path} exists. A stream is saved as a new folder. Delete it first, or choose another name.")
    if problems := list(_unsavable(stream)):
        raise DataError(f"stream {stream.name!r} cannot be saved.{listed(problems)}")
    path.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as aside:
        folder = Path(aside) / path.name
        try:
            _write_stream(stream, folder)
            loaded = load_stream(folder)
        except (DataError, UnicodeEncodeError) as error:
            raise DataError(f"stream {stream.name!r} is not saved, it would not load again: {error}") from error
        _compare(stream, loaded)
        folder.rename(path)


def _root(path: Path) -> Path:
    if (path / "stream.toml").is_file():
        return path
    if path.is_dir():
        inside = sorted(file.parent.name for file in path.glob("*/stream.toml"))
        todo = f"Streams in it: {', '.join(inside)}. Name one." if inside else 'It gives the name and each task\'s score. Add it: name = "mine", [scores].'
        raise DataError(f"{path} has no stream.toml. {todo}")
    if path.exists():
        raise DataError(f"{path} is a file. A stream is a folder with stream.toml in it. Name the folder, or read a single file with read_examples.")
    close = get_close_matches(path.name, [entry.name for entry in path.parent.glob("*") if entry.is_dir()], n=3)
    raise DataError(f"{path} does not exist. " + (f"Did you mean {' or '.join(map(repr, close))}?" if close else f"Check the path, from {Path.cwd()}."))


def _visible(folder: Path) -> list[Path]:
    return sorted((entry for entry in folder.iterdir() if not entry.name.startswith(".")), key=lambda entry: entry.name)


def _is_about(entry: Path) -> bool:
    """Whether a file beside the experiences is about the stream, not of it."""
    return entry.name == "stream.toml" or entry.name.upper().startswith(("README", "LICENSE", "LICENCE"))


def _folders(root: Path) -> list[Path]:
    """The experience folders in name order; DataError if there is none, or if their numbers say another order."""
    folders = [entry for entry in _visible(root) if entry.is_dir()]
    if not folders:
        raise DataError(f"{root} has no experiences. Each is a folder, such as 01-first, with train.jsonl. Add one.")
    numbered = [(int(match[1]), folder.name) for folder in folders if (match := re.match(r"(\d+)-", folder.name))]
    for (number, name), (later, next_name) in pairwise(numbered):
        if number > later:
            raise DataError(f"{root}: {name!r} comes before {next_name!r} in name order. Experiences come in name order. Pad the numbers: 02, 10.")
    return folders


def _settings(path: Path) -> _Settings:
    try:
        given: dict[str, object] = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except ValueError as error:
        raise DataError(f"{path} is not TOML ({error}). Text stands in quotes, in UTF-8. Correct it.") from error
    known = ("name", "about", *TABLES)
    problems = [f"unknown key {key!r}. {did_you_mean(key, known)}" for key in given if key not in known]
    name, about = given.get("name"), given.get("about", "")
    if not isinstance(name, str) or not isinstance(about, str) or not name:
        problems.append(f'name and about must be text (name={name!r}, about={about!r}). Add a line such as name = "{path.parent.resolve().name}".')
    tables = {key: given.get(key, {}) for key in TABLES}
    scores, chance, times = (table if isinstance(table, dict) else {} for table in tables.values())
    problems += [f"{key} must be a table ({key}={table!r}). Write it as [{key}]." for key, table in tables.items() if not isinstance(table, dict)]
    problems += [problem for task, kind in scores.items() if (problem := _unknown_kind(task, kind))]
    unlikely = {task: c for task, c in chance.items() if type(c) not in (int, float) or not 0 <= c <= 1}
    problems += [f"chance of {task!r} must be a number from 0 to 1 (chance={c!r}). Correct it." for task, c in unlikely.items()]
    problems += [f'time of {folder!r} must be text ({time!r}), such as "2024-05-31".' for folder, time in times.items() if not isinstance(time, str)]
    if problems:
        raise DataError(f"{path} cannot be used.{listed(problems)}")
    return _Settings(path, str(name), str(about), {t: KINDS[kind] for t, kind in scores.items()}, {t: float(c) for t, c in chance.items()}, times)


def _unknown_kind(task: str, kind: object) -> str | None:
    if not isinstance(kind, str):
        return f"the score of {task!r} must be text ({kind!r}). It is one of {', '.join(KINDS)}. Quote it, and a task's name with dots."
    return None if kind in KINDS else f"unknown score {kind!r} of task {task!r}. {did_you_mean(kind, KINDS)}"


def _files(entries: list[Path], roles: tuple[str, ...]) -> list[_File]:
    """These files, read; DataError for one whose name gives it no place here, for two in one place, and for bad lines."""
    places: dict[tuple[str, str], Path] = {}
    problems = []
    for entry in entries:
        try:
            place = _place(entry, roles)
            if places.setdefault(place, entry) != entry:
                problems.append(f"{entry} and {places[place].name} hold the same part. Keep one of them.")
        except DataError as error:
            problems.append(str(error))
    if problems:
        raise DataError(f"{len(problems)} files have no place in a stream.{listed(problems)}\nRename them, delete them, or hide them with a leading dot.")
    files = [_File(role, task, scan_examples(entry)) for (role, task), entry in places.items()]
    for file in files:
        file.reading.check()
    return files


def _place(entry: Path, roles: tuple[str, ...]) -> tuple[str, str]:
    names = ", ".join(f"{role}.jsonl" if role in ("base", "train") else f"{role}.TASK.jsonl" for role in roles)
    if entry.is_dir():
        raise DataError(f"{entry} is a folder. Here are only {names}.")
    role, dot, task = entry.name[: -len(suffix_of(entry))].partition(".")
    if role not in roles or bool(task) != (role in ("valid", "test")) or (dot and not task):
        raise DataError(f"{entry} is not one of {names} (or {', '.join(SUFFIXES[1:])}).")
    return role, task


def _misnamed(parts: Mapping[str, list[_File]], settings: _Settings) -> Iterator[str]:
    """The names in stream.toml that no file or folder has."""
    tasks = sorted({file.task for files in parts.values() for file in files if file.task})
    for table, names, known in (("scores", settings.scores, tasks), ("chance", settings.chance, tasks), ("times", settings.times, list(parts))):
        for name in sorted(set(names) - set(known)):
            yield f"{settings.path}: [{table}] names {name!r}, which has no file. {did_you_mean(name, known)} Remove the line, or add the file."


def _problems(files: list[_File], settings: _Settings) -> Iterator[str]:
    seen: dict[str, tuple[Example, _File]] = {}
    tested: dict[str, _File] = {}
    for file in files:
        kind = settings.scores.get(file.task)
        if file.task and kind is None:
            yield f'{file.reading.path} has no score. Add a line to [scores] in {settings.path}: "{file.task}" = "exact" (or {", ".join(list(KINDS)[1:])}).'
        if file.role == "test":
            yield from _uneven(file, tested.setdefault(file.task, file))
        for example in file.reading.examples:
            first, where = seen.setdefault(example.id, (example, file))
            if first is not example and first.content != example.content:
                yield f"{file.place(example)}: {where.place(first)} has this id with other content (id={example.id!r}). Change or drop one id."
            if kind and (misfit := _misfit(example, kind)):
                yield f"{file.place(example)}: {misfit} (id={example.id!r}, task {file.task!r})."


def _uneven(file: _File, first: _File) -> Iterator[str]:
    """That two experiences test one task with different rows."""
    one, other = ({example.id for example in each.reading.examples} for each in (first, file))
    if one != other:
        only = sorted(one ^ other)
        yield f"{file.reading.path} tests other rows than {first.reading.path} ({len(only)} in one only: id={only[0]!r}). A task has one set. Rename one."


def _misfit(example: Example, kind: Score) -> str | None:
    if example.chosen is not None:
        return f"chosen + rejected cannot be scored {kind!r}. Give prompt + completion"
    if example.text is not None and kind != "loss":
        return f"text cannot be scored {kind!r}. Give prompt + completion, or score the task 'loss'"
    return f"no choices to score {kind!r}. Add choices, the completion among them" if kind in ("choice", "ranking") and not example.choices else None


def _experience(folder: str, files: list[_File], settings: _Settings) -> Experience:
    rows = {role: {file.task: tuple(file.reading.examples) for file in files if file.role == role} for role in ("train", "valid", "test")}
    tasks = sorted({*rows["valid"], *rows["test"]})
    chance = {task: settings.chance[task] for task in tasks if task in settings.chance}
    scores = {task: settings.scores[task] for task in tasks}
    return Experience(re.sub(r"(?s)^\d+-(?=.)", "", folder), rows["train"][""], rows["test"], scores, settings.times.get(folder, ""), rows["valid"], chance)


def _unsavable(stream: Stream) -> Iterator[str]:
    """What the layout cannot hold: names that are no file names, one task with two scores or chances."""
    names = [name for e in stream for name in (e.name, *e.tests, *e.valid)]
    for name in dict.fromkeys(name for name in names if not name or re.search(r"[/\\\0]", name)):
        yield f"{name!r} is no file name. Names of experiences and tasks hold no slash and are not empty. Rename it."
    for table in ("scores", "chance"):
        pairs = dict.fromkeys((task, value) for e in stream for task, value in (e.scores if table == "scores" else e.chance).items())
        tasks = [task for task, _ in pairs]
        for task in dict.fromkeys(task for task in tasks if tasks.count(task) > 1):
            values = ", ".join(repr(value) for name, value in pairs if name == task)
            yield f"task {task!r} has several {table} ({values}). It has one in a stream. Make them equal."


def _write_stream(stream: Stream, folder: Path) -> None:
    folder.mkdir()
    names = [f"{number:0{max(2, len(str(len(stream))))}}-{e.name}" for number, e in enumerate(stream, 1)]
    rows = {"base.jsonl": stream.base} if stream.base else {}
    for name, e in zip(names, stream, strict=True):
        (folder / name).mkdir()
        rows[f"{name}/train.jsonl"] = e.train
        rows |= {f"{name}/{role}.{task}.jsonl": part for role, parts in (("valid", e.valid), ("test", e.tests)) for task, part in parts.items()}
    for place, examples in rows.items():
        _write(folder / place, (json.dumps(example.to_json(), ensure_ascii=False) + "\n" for example in examples))
    lines = [f"name = {_quoted(stream.name)}", f"about = {_quoted(stream.about)}"]
    lines += ["", "[scores]", *sorted({f"{_quoted(task)} = {_quoted(kind)}" for e in stream for task, kind in e.scores.items()})]
    lines += ["", "[chance]", *sorted({f"{_quoted(task)} = {float(chance)!r}" for e in stream for task, chance in e.chance.items()})]
    lines += ["", "[times]", *(f"{_quoted(name)} = {_quoted(e.time)}" for name, e in zip(names, stream, strict=True) if e.time)]
    _write(folder / "stream.toml", [f"{line}\n" for line in lines])


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")  # a JSON string is a TOML string but for DEL


def _write(path: Path, lines: Iterable[str]) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(lines)
        file.flush()
        os.fsync(file.fileno())


def _compare(stream: Stream, loaded: Stream) -> None:
    expected = replace(stream, base=_merged(stream.base), experiences=tuple(_merged_rows(e) for e in stream))
    if expected != loaded:
        other = [e.name for e, came in zip(expected, loaded, strict=True) if e != came] or ["base"]
        allowed = "An experience has scores and chance of its own tasks only; a message, role and content. Correct it."
        raise DataError(f"stream {stream.name!r} is not saved, it would come back changed (in {', '.join(other)}). {allowed}")


def _merged_rows(e: Experience) -> Experience:
    tests, valid = ({task: _merged(rows) for task, rows in parts.items()} for parts in (e.tests, e.valid))
    return replace(e, train=_merged(e.train), tests=tests, valid=valid)


def _merged(examples: Iterable[Example]) -> tuple[Example, ...]:
    merged = Merged()
    for line, example in enumerate(examples, 1):
        merged.add(example, line)
    return tuple(merged.examples.values())
