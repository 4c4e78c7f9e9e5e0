"""Hub datasets as Examples, by the `datasets` library: a hub id, a local folder of data files, or a saved dataset."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

from everlearn.errors import DataError, SettingError, did_you_mean
from everlearn.streams.files import Reading, collected
from everlearn.streams.rows import CONTENT, FORMS, KNOWN, short
from everlearn.streams.tables import needed, plain
from everlearn.types import Example

PREFIX = "hub:"
_SAVED = ("state.json", "dataset_dict.json")
_SPEAKERS = {"human": "user", "gpt": "assistant"}  # ShareGPT's names of the roles


def read_hub(
    name: str | Path,
    split: str = "train",
    subset: str | None = None,
    columns: Mapping[str, str] | None = None,
    most_bad: float = 0.0,
    revision: str | None = None,
) -> list[Example]:
    """The examples of one split of a dataset, equal content merged and counted.

    name: "org/name" on the hub, a folder of data files, or what `Dataset.save_to_disk` wrote.   subset: its configuration, where it has several.
    columns: by our key its column, as in {"prompt": "question", "completion": "answer"}; then no other column is read. By default columns
    that are named like our keys are.   most_bad: share of the rows, 0 to 1, that may be bad.   revision: a branch, tag or commit.

    Label columns become their labels' names, numbers become text, messages may be {"role", "content"} or {"from", "value"}.
    Raises DataError if there is no such dataset, split or column, if the hub cannot be reached, and for bad rows, each with its number;
    MissingExtra without `datasets`.
    """
    reading = scan_hub(name, split, subset, columns, revision)
    reading.check(most_bad)
    if reading.bad:
        warnings.warn(reading.report(), stacklevel=2)
    return reading.examples


def scan_hub(
    name: str | Path, split: str = "train", subset: str | None = None, columns: Mapping[str, str] | None = None, revision: str | None = None
) -> Reading:
    """What `read_hub` reads, bad rows listed instead of raised (for a report)."""
    unknown = [key for key in columns or {} if key not in KNOWN]
    if unknown:
        raise SettingError(f"columns name keys that a row has not (columns={dict(columns or {})!r}). {did_you_mean(unknown[0], KNOWN)}")
    place = f"{PREFIX}{name}" + (f"/{subset}" if subset else "") + f":{split}"
    table = _loaded(needed("datasets", "a hub dataset"), str(name), split, subset, revision, place)
    mapping = _mapping(list(table.column_names), columns, place)
    reading = collected(Path(place), _rows(table.select_columns(sorted(set(mapping.values()))), mapping))
    if not reading.rows:
        raise DataError(f"{place} has no rows. A dataset holds at least one. Choose another split.")
    return reading


def hub_place(text: str) -> tuple[str, str]:
    """The name and the split in "hub:org/name:split"; the split is "train" if none is named.

    >>> hub_place("hub:org/name"), hub_place("hub:org/name:test[:10%]")
    (('org/name', 'train'), ('org/name', 'test[:10%]'))
    """
    name, _, split = text.removeprefix(PREFIX).partition(":")
    if not name:
        raise DataError(f"no dataset is named ({text!r}). It is written hub:org/name or hub:org/name:split. Name one.")
    return name, split or "train"


def _loaded(datasets: ModuleType, name: str, split: str, subset: str | None, revision: str | None, place: str) -> Any:
    """One split as a `datasets.Dataset`."""
    saved = any((Path(name) / file).is_file() for file in _SAVED)
    online: Callable[[], Any] = partial(datasets.load_dataset, name, subset, split=split, revision=revision)
    load = partial(_from_disk, datasets, name, split) if saved else online
    try:
        return load()
    except (OSError, ValueError, LookupError, RuntimeError) as problem:
        lines = str(problem).strip().splitlines() or [type(problem).__name__]
        raise DataError(
            f"the dataset could not be loaded ({place!r}): {lines[0].rstrip('.')}. It is a hub id such as 'org/name', a folder of data files or "
            "a saved dataset, with a split and subset that it has; for a hub id the hub must be reachable. Check these, and the network."
        ) from problem


def _from_disk(datasets: ModuleType, name: str, split: str) -> Any:
    found = datasets.load_from_disk(name)
    if not isinstance(found, datasets.DatasetDict):
        return found
    if split not in found:
        raise DataError(f"the saved dataset {name!r} has no such split (split={split!r}). {did_you_mean(split, found)}")
    return found[split]


def _mapping(there: list[str], columns: Mapping[str, str] | None, place: str) -> dict[str, str]:
    """By our key the column it comes from."""
    mapping = dict(columns) if columns else {name: name for name in there if name in KNOWN}
    missing = [column for column in mapping.values() if column not in there]
    if missing or not set(mapping) & set(CONTENT):
        first = f"no column {missing[0]!r}" if missing else "no column that is named like what is learned"
        raise DataError(
            f"{place} has {first} (columns={short(there)}). A row holds one of: {FORMS}. Map the columns, as in "
            "columns={'prompt': 'question', 'completion': 'answer'} or --columns prompt=question,completion=answer."
        )
    return mapping


def _rows(table: Any, mapping: Mapping[str, str]) -> Iterator[tuple[int, Callable[[], Mapping[str, object]]]]:
    names = {column: feature.int2str for column, feature in table.features.items() if type(feature).__name__ == "ClassLabel"}
    for number, row in enumerate(table, 1):
        yield number, partial(_row, row, mapping, names)


def _row(row: Mapping[str, object], mapping: Mapping[str, str], names: Mapping[str, Callable[[object], str]]) -> Mapping[str, object]:
    given: dict[str, object] = {}
    for key, column in mapping.items():
        cell = plain(row[column])
        if column in names and cell is not None:
            cell = names[column](cell)
        number = isinstance(cell, int | float) and not isinstance(cell, bool)
        given[key] = str(cell) if number and key not in ("until", "count") else [_turn(turn) for turn in cell] if isinstance(cell, list) else cell
    return given


def _turn(turn: object) -> object:
    if not isinstance(turn, dict) or not {"from", "value"} <= set(turn):
        return turn
    return {"role": _SPEAKERS.get(str(turn["from"]), turn["from"]), "content": turn["value"]}
