"""What a comparison keeps beside its numbers: the questions asked, and every answer of every run."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from everlearn.disk import write_whole
from everlearn.errors import StateError

QUESTIONS = "questions.jsonl.gz"
# Numbers by metric, by task, one an example; None where it does not count.
Shares = Mapping[str, Mapping[str, Sequence[float | None]]]


@dataclass(frozen=True, slots=True)
class Answered:
    """A task's answers after one experience (0: before the stream), in the order of the questions.

    values: the scores, None past a row's `until`.   said: the texts.   old: where what was true before was given.
    """

    experience: int
    task: str
    values: tuple[float | None, ...]
    said: tuple[str, ...]
    old: tuple[bool, ...]


@dataclass(frozen=True, slots=True)
class AnswerRecord:
    """All answers of one run, and the numbers by example of its stream's own metrics."""

    answered: tuple[Answered, ...]
    shares: Shares

    def save(self, path: Path) -> None:
        """Write it beside the run, whole or not at all."""
        lines = ({"experience": a.experience, "task": a.task, "values": a.values, "said": a.said, "old": a.old} for a in self.answered)
        write_lines(path, [{"shares": self.shares}, *lines])

    @classmethod
    def load(cls, path: Path) -> AnswerRecord:
        """The record that `save` wrote; StateError if there is none."""
        head, *lines = read_lines(path)
        try:
            found = [Answered(int(e["experience"]), str(e["task"]), tuple(e["values"]), tuple(e["said"]), tuple(e["old"])) for e in lines]  # type: ignore[call-overload, arg-type]
            return cls(tuple(found), head["shares"])  # type: ignore[arg-type]
        except KeyError as problem:
            raise StateError(f"these are no answers of this version (file={str(path)!r}, missing={problem}). Delete the run to repeat it.") from problem


def answers_path(run: Path) -> Path:
    """Where the answers of the run in this JSON file are."""
    return run.with_name(run.name.removesuffix(".json") + ".answers.jsonl.gz")


def write_lines(path: Path, lines: Iterable[Mapping[str, object]]) -> None:
    """JSON lines, gzipped: aside, flush, rename. The same lines are the same bytes."""
    text = "".join(json.dumps(line, ensure_ascii=False, separators=(",", ":"), allow_nan=False) + "\n" for line in lines)
    write_whole(path, gzip.compress(text.encode("utf-8", "surrogatepass"), 6, mtime=0))


def read_lines(path: Path) -> list[dict[str, object]]:
    """The lines that `write_lines` wrote; StateError if there are none."""
    try:
        return list(_lines(path))
    except (OSError, EOFError, ValueError) as problem:
        raise StateError(f"this file cannot be read (file={str(path)!r}): {problem}. Delete the run to repeat it.") from problem


def _lines(path: Path) -> Iterator[dict[str, object]]:
    with gzip.open(path, "rb") as file:
        for line in file:
            yield json.loads(line.decode("utf-8", "surrogatepass"))
