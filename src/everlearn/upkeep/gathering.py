"""When the files that wait are learned: each as it comes, or together with others once what they say changes."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from everlearn.disk import write_whole
from everlearn.errors import DataError, StateError
from everlearn.flow import Boundaries, parse_boundaries
from everlearn.models.load import load_model
from everlearn.models.weights import TrainedModel
from everlearn.streams.files import read_examples
from everlearn.streams.unlabelled import KNOWN
from everlearn.types import Example
from everlearn.upkeep.opening import rows_of
from everlearn.versions.bases import base_path
from everlearn.versions.home import Home
from everlearn.versions.inbox import INBOX, Claim
from everlearn.versions.stored import lora_of

DECIDED = "due.json"  # beside the claims of the inbox


@dataclass(frozen=True, slots=True)
class Due:
    """How many of the waiting files, the first ones, are to be learned now, and why, or what the others wait for."""

    files: int
    why: str = ""


class Gathering:
    """Says which waiting files are due, by [watch] boundaries: "told" means each as it comes.

    Else a file waits until a change, or so many tokens, lie at or behind its first row: the rows of the files in order, after the last rows that the home
    learned (as far as it keeps them), are cut as `flow.Boundaries` says. The signals are those of the home's base model, which never learns, so what was
    found stays found. A file that cannot be read, or has a row from a source that is not trusted, is due as soon as it is the first. Up to which file
    was found due is written down before the first of them is learned: stopped in between, the rest is still due. Whoever calls `due` holds the home's lock.
    """

    def __init__(self, home: Home) -> None:
        self.home = home
        self._base: tuple[str, TrainedModel] | None = None
        self._last: tuple[object, Due] | None = None
        self._path = home.folder / INBOX / DECIDED

    def due(self, claims: Sequence[Claim]) -> Due:
        """Of these files, by number. Raises SettingError for boundaries that cannot be used."""
        table = self.home.settings.watch
        boundaries = parse_boundaries(table.boundaries)
        if boundaries.told or not claims:
            return Due(min(1, len(claims)))
        decided = self._decided()
        if claims[0].number <= decided:
            return Due(sum(claim.number <= decided for claim in claims))
        key = (table.boundaries, tuple(table.trusted), self.home.head.id, tuple((claim.number, claim.approved) for claim in claims))
        if self._last is None or self._last[0] != key:
            self._last = key, self._found(boundaries, claims)
        due = self._last[1]
        if due.files:
            write_whole(self._path, (json.dumps({"last": claims[due.files - 1].number}) + "\n").encode())
        return due

    def _decided(self) -> int:
        """The number of the last file that was found due, 0 before the first."""
        try:
            return int(json.loads(self._path.read_text(encoding="utf-8"))["last"])
        except FileNotFoundError:
            return 0
        except (OSError, ValueError, KeyError, TypeError) as problem:
            raise StateError(f"which files are due cannot be read ({str(self._path)!r}): {problem}. Delete it; what waits is then judged again.") from problem

    def _found(self, boundaries: Boundaries, claims: Sequence[Claim]) -> Due:
        files = list[list[Example]]()
        for claim in claims:
            rows = self._rows(claim)
            if rows is None:
                break
            files.append(rows)
        if not files:
            return Due(1)
        waiting, past = [row for rows in files for row in rows], self._past()
        told, last = "", 0
        if boundaries.detector is not None:
            cuts = replace(boundaries, every=None).cuts([*past, *waiting], self._model)
            last = max([0, *(cut.start - len(past) for cut in cuts)])
            events = [event for cut in cuts for event in cut.events if event.at - len(past) > 0]
            told = events[-1].sentence if events else ""
        if boundaries.every is not None:
            parts = replace(boundaries, detector=None).cuts(waiting, self._model)
            full = parts if boundaries.full(parts[-1].rows, self._model) else parts[:-1]
            ends = [part.start + len(part.rows) for part in full]
            if ends and ends[-1] > last:
                last, told = ends[-1], f"{ends[-1]} rows have gathered."
        begins = [sum(map(len, files[:number])) for number in range(len(files))]
        count = sum(begin < last for begin in begins)
        if count:
            return Due(count, told)
        return Due(0, f"Gathering, boundaries {self.home.settings.watch.boundaries!r}: {len(files)} files with {len(waiting)} rows wait.")

    def _rows(self, claim: Claim) -> list[Example] | None:
        """None where the file is not to be learned as it is."""
        table = self.home.settings.watch
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                rows = read_examples(claim.data, most_bad=table.most_bad)
        except DataError:
            return None
        trusted = claim.approved or all(any(fnmatchcase(row.source, pattern) for pattern in table.trusted) for row in rows)
        return rows if trusted else None

    def _past(self) -> list[Example]:
        """The last rows that were learned, oldest first."""
        found = list[Example]()
        for version in self.home.lineage(self.home.head):
            found = [*rows_of(self.home, version), *found]
            if len(found) >= KNOWN:
                break
        return found[-KNOWN:]

    def _model(self) -> TrainedModel:
        base, table = self.home.head.base, self.home.settings.model
        if self._base is None or self._base[0] != base:
            self._base = base, load_model(base_path(self.home.bases, base), lora_of(table), table.dtype, table.device or None)
        return self._base[1]
