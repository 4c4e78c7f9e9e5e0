"""Passages out of a store's table, so that no file of it holds their bytes."""

from __future__ import annotations

from typing import Any

from everlearn.memory.chains import Link, chained
from everlearn.memory.tables import among, links_of, quoted, rows_where
from everlearn.memory.writing import by_key, rewritten

FRAGMENT = 32  # bits of a row's address within its file


def told_by(table: Any, source: str, id: str) -> bool:
    """Is there a row that this source told, or this passage."""
    return bool(table.count_rows(_condition(source, id)))


def erased(table: Any, source: str, id: str) -> int:
    """Take out what this source alone said, or this passage, in one commit; how many rows went.

    Every file that held one of them is written again without it: marking rows as deleted would leave their bytes. What others say too keeps their names,
    and the dates of what stays are as if the rest had never been there. Old versions and indexes still hold the bytes, until they are cleaned away.
    """
    import pyarrow as pa

    there = rows_where(table, _condition(source, id))
    if not there.num_rows:
        return 0
    links = links_of(there)
    gone = {link.passage.id for link in links if not source or link.passage.sources == (source,)}
    files = sorted({address >> FRAGMENT for address in there["_rowid"].to_pylist()})
    changed = _left(table, links, gone, source)
    rows = [pa.table({name: part[name] for name in table.schema.names}, schema=table.schema) for part in (_of_file(table, file) for file in files)]
    stays = pa.concat_tables(rows)
    stays = stays.filter(pa.array([name not in gone and name not in changed for name in stays["id"].to_pylist()], pa.bool_()))
    merging = table.merge_insert("id").when_matched_update_all()
    if gone:
        merging = merging.when_not_matched_by_source_delete(" OR ".join(among("id", gone)))
    merging.execute(pa.concat_tables([stays, *rewritten(table, list(changed.values()))]))
    return len(gone)


def _left(table: Any, links: list[Link], gone: set[str], source: str) -> dict[str, Link]:
    """By id, the rows of the same subjects that stay but change."""
    every = [link for condition in among("key", [link.passage.key for link in links]) for link in links_of(rows_where(table, condition))]
    before = {link.passage.id: link for link in every}
    kept = [
        Link(link.passage.said_by(tuple(name for name in link.passage.sources if name != source)) if source else link.passage, link.number)
        for link in every
        if link.passage.id not in gone
    ]
    after = [link for of in by_key(kept).values() for link in chained(of)]
    return {link.passage.id: link for link in after if link != before[link.passage.id]}


def _of_file(table: Any, file: int) -> Any:
    """All rows of one file, vectors too."""
    return rows_where(table, f"_rowid >= {file << FRAGMENT} AND _rowid < {(file + 1) << FRAGMENT}", vectors=True)


def _condition(source: str, id: str) -> str:
    return f"array_has(sources, {quoted(source)})" if source else f"id = {quoted(id)}"
