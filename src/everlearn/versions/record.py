"""One version of a model: an immutable record, named by what it says."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from everlearn.disk import write_whole
from everlearn.errors import StateError

ID = 16  # hexadecimal digits
Kind = Literal["start", "update", "rebase", "rebuilt"]


@dataclass(frozen=True, slots=True)
class TaskScore:
    """A task's mean over the rows that count, before and after this version (None where nothing was asked), and how many rows."""

    before: float | None
    after: float | None
    rows: int
    new: bool = False


@dataclass(frozen=True, slots=True)
class Kept:
    """What a version holds by name: names of JSON objects, and addresses of tensors (by pack, by name in the state).

    weights: the trained parameters.   learner: the learner's state, its tensors beside it.   tests: by task.   answers: to these.
    """

    weights: Mapping[str, Mapping[str, str]]
    learner: str
    learner_tensors: Mapping[str, Mapping[str, str]]
    tests: str
    answers: str


@dataclass(frozen=True, slots=True)
class Arrived:
    """The data an update learned. name: of its file.   hash: of its rows.   ids: object with ids and sources.   rows: object with them, "" if not kept.

    inbox: its number in the inbox, None if it did not come through there.
    """

    name: str
    hash: str
    ids: str
    rows: str
    count: int
    inbox: int | None = None


@dataclass(frozen=True)
class Version:
    """One step of a model's life, accepted or refused.

    number: 0 is the start.   id: of all fields above `created`, which say what it is; an update that was interrupted and resumed has the same.
    parent: the id of the version it was learned from.   base: of the starting model.   recipe, settings: how it was learned.   code: everlearn's
    version.   attempt: 0, or which retry.   tasks: the scores the gate saw.   measured: other numbers it saw.   accepted, reasons: its decision.
    cost: seconds by stage, bytes.
    """

    number: int
    parent: str | None
    base: str
    kind: Kind
    code: str
    recipe: str
    settings: Mapping[str, Any]
    arrived: Arrived | None
    attempt: int
    kept: Kept
    tasks: Mapping[str, TaskScore]
    measured: Mapping[str, float | None]
    accepted: bool
    reasons: tuple[str, ...]
    report: tuple[str, ...] = ()
    created: str = ""
    cost: Mapping[str, float] = field(default_factory=dict)

    @cached_property
    def id(self) -> str:
        return hashlib.sha256(_text(self.content()).encode()).hexdigest()[:ID]

    @property
    def name(self) -> str:
        """Of its file: the number, so that a folder reads in order, and the id."""
        return f"{self.number:06}-{self.id}"

    def content(self) -> dict[str, Any]:
        """What the id says: everything but when it was and what it took."""
        return {key: value for key, value in asdict(self).items() if key not in ("created", "cost", "report")}

    def to_json(self) -> dict[str, Any]:
        return {"id": self.id, **asdict(self)}

    def save(self, folder: Path) -> None:
        """Write it, whole or not at all."""
        write_whole(folder / f"{self.name}.json", (json.dumps(self.to_json(), ensure_ascii=False, indent=1, allow_nan=False) + "\n").encode())

    @classmethod
    def load(cls, path: Path) -> Version:
        """The version in this file. Raises StateError for one that is cut off, edited or not ours."""
        try:
            saved = json.loads(path.read_text(encoding="utf-8"))
            said = saved.pop("id")
            found = cls(
                **{
                    **saved,
                    "arrived": Arrived(**saved["arrived"]) if saved["arrived"] else None,
                    "kept": Kept(**saved["kept"]),
                    "tasks": {name: TaskScore(**of) for name, of in saved["tasks"].items()},
                    "reasons": tuple(saved["reasons"]),
                    "report": tuple(saved["report"]),
                }
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as problem:
            raise StateError(f"a version cannot be read (file={str(path)!r}): {problem}. Restore it from a copy of the home.") from problem
        if said != found.id or path.name != f"{found.name}.json":
            raise StateError(f"a version was changed (file={str(path)!r}): its content is not what its name says. Restore it from a copy of the home.")
        return found


def _text(value: object) -> str:
    return json.dumps(value, ensure_ascii=True, sort_keys=True, separators=(",", ":"), allow_nan=False)
