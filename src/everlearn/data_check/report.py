"""What a check found, as records and as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from everlearn.data_check.lengths import Spread
from everlearn.data_check.overlap import Pair

if TYPE_CHECKING:
    from everlearn.data_check.cost import Cost

# What makes results untrustworthy, and why; `allow` names those that are meant.
WRONG = {
    "bad_lines": "lines that cannot be used",
    "conflicts": "conflicts within a file",
    "taught_tests": "test prompts that are taught",
    "truncated_answers": "rows that lose a part of their answer",
    "problems": "problems in loading",
}


@dataclass(frozen=True, slots=True)
class FileReport:
    """One file. rows: lines that are not blank.   examples: different ones.   empty: bad lines that have nothing where text belongs.

    tokens, truncated, truncated_answers: None without a model.   lost_prompt, lost_answer: tokens that truncation takes from both.
    labels: by completion how often, where a few stand for all; {} else.   languages: by language the share
    of examples that hold text in it; a translation holds two.
    """

    file: str
    role: str
    experience: str
    task: str
    rows: int
    examples: int
    bad: Mapping[int, str]
    empty: int
    near: int
    conflicts: int
    taught: int
    characters: Spread
    languages: Mapping[str, float]
    labels: Mapping[str, int]
    tokens: Spread | None = None
    truncated: int | None = None
    truncated_answers: int | None = None
    lost_prompt: int | None = None
    lost_answer: int | None = None

    @property
    def duplicates(self) -> int:
        """Lines whose content stands in the file before."""
        return self.rows - len(self.bad) - self.examples


@dataclass(frozen=True, slots=True)
class DataReport:
    """Everything a check found. pairs: conflicts, changes, taught, repeated, near, each a list of places.   cost: None without a model.

    truncated: rows that lose a part, in words.   problems: what else keeps the data from being loaded.   wrong: by kind how many findings make
    results untrustworthy, without those that were allowed.
    """

    data: str
    kind: str
    files: tuple[FileReport, ...]
    pairs: Mapping[str, tuple[Pair, ...]]
    languages: Mapping[str, float]
    truncated: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    wrong: Mapping[str, int] = field(default_factory=dict)
    cost: Cost | None = None
    notes: tuple[str, ...] = ()

    @property
    def clean(self) -> bool:
        """Whether nothing was found that makes results untrustworthy."""
        return not self.wrong

    def to_json(self) -> dict[str, object]:
        """All of it as one JSON object; what makes results untrustworthy stands under "wrong"."""
        found = asdict(self)
        files = [{**entry, "duplicates": file.duplicates} for entry, file in zip(found["files"], self.files, strict=True)]
        cost = None if self.cost is None else {**found["cost"], "memory": {**found["cost"]["memory"], "total": self.cost.memory.total}}
        return {**found, "clean": self.clean, "files": files, "cost": cost}
