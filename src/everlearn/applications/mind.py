"""MIND's layout: news.tsv and behaviors.tsv (Wu et al. 2020; the data set's own description of its columns)."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from everlearn.applications.impressions import Feed, Impression, Item
from everlearn.applications.tables import cells, every, the
from everlearn.errors import DataError

TIMES = ("%m/%d/%Y %I:%M:%S %p", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S")


def read_mind(folder: str | Path) -> Feed:
    """The feed of a folder with news.tsv (id, category, subcategory, title, ...) and behaviors.tsv (id, user, time, history, candidates).

    A candidate is `N12345-1` where it was clicked and `N12345-0` where it was not. Raises DataError with file, line and reason for what cannot be read.
    """
    root = Path(folder)
    items = {item.id: item for item in every(cells(the(root, "news.tsv"), "\t"), _item)}
    impressions = every(cells(the(root, "behaviors.tsv"), "\t"), _impression)
    if not impressions:
        raise DataError(f"there are no impressions (file={str(root / 'behaviors.tsv')!r}). Each is a line: id, user, time, history, candidates.")
    impressions.sort(key=lambda one: one.time)
    return Feed(root.resolve().name, items, tuple(impressions), "news in MIND's layout")


def _item(place: str, row: object) -> Item:
    line = _columns(row, 4, "id, category, subcategory, title")
    return Item(line[0], line[3].strip(), line[1])


def _impression(place: str, row: object) -> Impression:
    _, user, time, history, shown = (*_columns(row, 5, "id, user, time, history, candidates"),)[:5]
    if not user:
        raise DataError("the reader has no id (user=''). It is the second column. Fill it.")
    candidates, clicked = [], []
    for at, word in enumerate(shown.split()):
        name, _, label = word.rpartition("-")
        if not name or label not in ("0", "1"):
            raise DataError(f"a candidate does not say whether it was clicked (candidate={word!r}). Write N12345-1 or N12345-0.")
        candidates.append(name)
        clicked += [at] if label == "1" else []
    if not candidates:
        raise DataError(f"nothing was shown (candidates={shown!r}). Give at least two, such as 'N1-0 N2-1'.")
    return Impression(user, _time(time), tuple(history.split()), tuple(candidates), tuple(clicked), place)


def _columns(row: object, least: int, names: str) -> list[str]:
    assert isinstance(row, list)
    if len(row) < least:
        raise DataError(f"too few columns ({len(row)}). There are at least {least}, with tabs between: {names}.")
    return row


def _time(text: str) -> str:
    for form in TIMES:
        try:
            return datetime.strptime(text.strip(), form).isoformat()
        except ValueError:
            continue
    raise DataError(f"the time cannot be read (time={text!r}). Write 11/13/2019 8:36:57 AM or 2019-11-13T08:36:57.")
