"""New passages into a store's table, with the older ones whose dates they change, in one commit."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from everlearn.errors import DataError
from everlearn.memory.chains import Link, chained
from everlearn.memory.passages import Passage
from everlearn.memory.tables import Vectors, among, arrow_of, links_of, rows_where, vectors_of

if TYPE_CHECKING:
    import pyarrow as pa

# New passages and their places among those given -> their vectors (n, d).
Embed = Callable[[Sequence[Passage], Sequence[int]], Vectors]


@dataclass(frozen=True, slots=True)
class Added:
    """What became of added passages: new rows, older rows that these closed or changed, and those that said nothing new."""

    new: int = 0
    changed: int = 0
    known: int = 0


def written(table: Any, given: Sequence[Passage], embed: Embed) -> Added:
    """Put passages in, each in its place among those of its subject.

    Raises DataError, with nothing changed, where an id is there with other content.
    """
    older = [link for condition in among("key", [passage.key for passage in given]) for link in links_of(rows_where(table, condition))]
    _same_content(table, given, older)
    start = _next_number(table)
    fresh = [Link(passage, start + at) for at, passage in enumerate(given)]
    kept = [link for of in by_key([*older, *fresh]).values() for link in chained(of)]
    before = {link.passage.id: link for link in older}
    new = [link for link in kept if link.passage.id not in before]
    changed = [link for link in kept if link.passage.id in before and link != before[link.passage.id]]
    gone = before.keys() - {link.passage.id for link in kept}
    fill = arrow_of(new, embed([link.passage for link in new], [link.number - start for link in new]), table.schema) if new else None
    _commit(table, fill, changed, gone)
    return Added(len(new), len(changed), len(given) - len(new))


def by_key(links: Iterable[Link]) -> dict[str, list[Link]]:
    """Links by what they supersede each other on."""
    found: dict[str, list[Link]] = {}
    for link in links:
        found.setdefault(link.passage.key, []).append(link)
    return found


def rewritten(table: Any, links: Sequence[Link]) -> list[pa.Table]:
    """Rows that are in the table, with their own vectors and these dates."""
    found = []
    for condition in among("id", [link.passage.id for link in links]):
        there = rows_where(table, condition, vectors=True)
        vector = dict(zip(there["id"].to_pylist(), vectors_of(there), strict=True))
        mine = [link for link in links if link.passage.id in vector]
        found.append(arrow_of(mine, np.stack([vector[link.passage.id] for link in mine]), table.schema))
    return found


def _commit(table: Any, new: pa.Table | None, changed: Sequence[Link], gone: Collection[str]) -> None:
    """All of it at once: a kill leaves everything or nothing."""
    if changed or gone:
        import pyarrow as pa

        rows = [*([] if new is None else [new]), *rewritten(table, changed)]
        merging = table.merge_insert("id").when_matched_update_all().when_not_matched_insert_all()
        if gone:
            merging = merging.when_not_matched_by_source_delete(" OR ".join(among("id", gone)))
        merging.execute(pa.concat_tables(rows) if rows else table.schema.empty_table())
    elif new is not None:
        table.add(new)


def _same_content(table: Any, given: Sequence[Passage], older: Sequence[Link]) -> None:
    """Raise DataError where an id is there, or given twice, with other content."""
    known = {link.passage.id: link.passage for link in older}
    for condition in among("id", {passage.id for passage in given} - known.keys()):
        known |= {link.passage.id: link.passage for link in links_of(rows_where(table, condition))}
    for passage in given:
        other = known.setdefault(passage.id, passage)
        if (other.key, other.text) != (passage.key, passage.text):
            raise DataError(f"two passages have one id (id={passage.id!r}, texts={other.text[:40]!r} and {passage.text[:40]!r}). Give each its own.")


def _next_number(table: Any) -> int:
    """One more than the greatest arrival number."""
    import pyarrow.compute as pc

    numbers = table.search().select(["number"]).to_arrow()["number"]
    return int(pc.max(numbers).as_py()) + 1 if len(numbers) else 0
