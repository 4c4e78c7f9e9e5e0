"""The table of a dated store: its columns, its rows, and what is asked of it, in LanceDB's words."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from everlearn.errors import MissingExtra, StateError
from everlearn.memory.chains import Link
from everlearn.memory.passages import Passage, iso
from everlearn.memory.words import words_of

if TYPE_CHECKING:
    import pyarrow as pa

Vectors = NDArray[np.float32]

NAME, ERASING = "passages", "erasing"  # the table, and the one that is there while a delete is not over
TOLD = b"everlearn"  # the key in the table's schema under which its embedder stands
LINK = "link"  # the column that holds all of a Link, as JSON: a search reads one column, not ten; the others are what conditions and indexes ask
AT_ONCE = 5000  # ids named in one condition


def connected(uri: str, storage: Mapping[str, str] | None) -> Any:
    """The database at a local folder or an object storage's address; every read sees what was written last."""
    try:
        import lancedb
    except ImportError as problem:
        raise MissingExtra(f"the dated store needs lancedb, which is not installed (uri={uri!r}). Run pip install 'everlearn[memory]'.") from problem
    return lancedb.connect(uri, read_consistency_interval=timedelta(0), storage_options=dict(storage) if storage else None)


def existing(database: Any) -> Any | None:
    """The store's table, None before its first row."""
    return database.open_table(NAME) if NAME in database.list_tables().tables else None


def is_erasing(database: Any) -> bool:
    return ERASING in database.list_tables().tables


def note_erasing(database: Any) -> None:
    """Say that bytes are to go, for whoever comes after a kill."""
    import pyarrow as pa

    database.create_table(ERASING, schema=pa.schema([("nothing", pa.bool_())]), exist_ok=True)


def erasing_is_over(database: Any) -> None:
    database.drop_table(ERASING)


def created(database: Any, dimension: int, embedder: str, rows: pa.Table | None = None) -> Any:
    """A new table for vectors of this length with these rows, its full text index with it; takes the place of one that is there, in one commit."""
    like = schema(dimension, embedder)
    mode = "create" if existing(database) is None else "overwrite"
    table = database.create_table(NAME, like.empty_table() if rows is None else rows, schema=like, mode=mode)
    index_words(table)
    return table


def schema(dimension: int, embedder: str) -> pa.Schema:
    import pyarrow as pa

    texts = [(name, pa.string()) for name in ("id", "key", "words", "valid_from", "until", "superseded_by", LINK)]
    rest = [("sources", pa.list_(pa.string())), ("number", pa.int64()), ("vector", pa.list_(pa.float32(), dimension))]
    return pa.schema([*texts, *rest], metadata={TOLD: json.dumps({"embedder": embedder, "dimension": dimension}).encode()})


def told_of(table: Any) -> tuple[str, int]:
    """The table's embedder and the length of its vectors. Raises StateError for a table that is no dated store's, or one's of another layout."""
    found = table.schema
    told, names = (found.metadata or {}).get(TOLD), found.names
    if told is None or set(names) != set(schema(1, "").names):
        raise StateError(f"this table is no dated store's as it is laid out now (table={table.name!r}, columns={names[:4]!r}). Name another folder.")
    both = json.loads(told)
    return str(both["embedder"]), int(both["dimension"])


def index_words(table: Any) -> None:
    """Make the full text index anew, over words that are already told apart."""
    from lancedb.index import FTS

    plain = FTS(base_tokenizer="whitespace", stem=False, remove_stop_words=False, ascii_folding=False, lower_case=False, max_token_length=None)
    table.create_index("words", config=plain, replace=True)


def arrow_of(links: Sequence[Link], vectors: Vectors, like: pa.Schema) -> pa.Table:
    """Rows as a table; vectors (n, d)."""
    import pyarrow as pa

    passages = [link.passage for link in links]
    columns: dict[str, Any] = {name: [getattr(passage, name) for passage in passages] for name in ("id", "key", "valid_from")}
    columns |= {"words": [" ".join(words_of(passage.text)) for passage in passages], LINK: [json.dumps(link.to_json()) for link in links]}
    columns |= {"until": [link.until for link in links], "superseded_by": [link.superseded_by for link in links]}
    columns |= {"sources": [list(passage.sources) for passage in passages], "number": [link.number for link in links]}
    columns["vector"] = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1), pa.float32()), vectors.shape[1])
    return pa.table(columns, schema=like)


def links_of(rows: pa.Table) -> list[Link]:
    """Rows of a table that has the column LINK."""
    return [Link.from_json(json.loads(row)) for row in rows[LINK].to_pylist()]


def vectors_of(rows: pa.Table) -> Vectors:
    """The vectors of these rows, (n, d)."""
    column = rows["vector"].combine_chunks()
    width = int(rows.schema.field("vector").type.list_size)
    return np.asarray(column.flatten(), dtype=np.float32).reshape(-1, width)


def shown(link: Link) -> Passage:
    """The passage as users see it: valid until it is superseded."""
    return replace(link.passage, valid_to=link.until, superseded_by=link.superseded_by)


def holding(as_of: str, source: str = "") -> str:
    """The condition under which a row holds on a date, by this source if one is named; for "" by what was told last, an end given with it not yet over."""
    told = f" AND array_has(sources, {quoted(source)})" if source else ""
    if not as_of:
        return f"superseded_by = '' AND (until = '' OR until > {quoted(now())}){told}"
    return f"valid_from <= {quoted(as_of)} AND (until > {quoted(as_of)} OR (until = '' AND superseded_by = '')){told}"


def holds(told: Mapping[str, Any], as_of: str, source: str, moment: str) -> bool:
    """The same, of what one row's LINK says; moment: `now()`."""
    passage, until, closed = told["passage"], told["until"], bool(told["superseded_by"])
    if source and source != passage.get("source") and source not in passage.get("also", ()):
        return False
    if not as_of:
        return not closed and (not until or until > moment)
    return passage.get("valid_from", "") <= as_of and (until > as_of or not (until or closed))


def now() -> str:
    """This second as passages write it."""
    return iso(datetime.now(UTC).isoformat())


def among(column: str, values: Iterable[str]) -> list[str]:
    """Conditions that together name every row with one of these values."""
    given = list(dict.fromkeys(values))
    return [f"{column} IN ({', '.join(map(quoted, given[at : at + AT_ONCE]))})" for at in range(0, len(given), AT_ONCE)]


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def rows_where(table: Any, condition: str, vectors: bool = False) -> pa.Table:
    """All columns of the rows that meet a condition, with their place in the table as `_rowid`."""
    columns = [name for name in table.schema.names if vectors or name != "vector"]
    return table.search().where(condition).select(columns).with_row_id(True).to_arrow()


def cleaned(table: Any, hours: float) -> None:
    """Join small files, and remove versions older than so many hours; with 0 all but the newest, and every file that it does not use.

    LanceDB warns that readers of old versions will fail: a store's readers always read the newest.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*removes every version", category=UserWarning)
        table.optimize(cleanup_older_than=timedelta(hours=hours), delete_unverified=not hours)


def is_local(uri: str) -> bool:
    return "://" not in uri


def remove_unfinished(uri: str) -> None:
    """Take away the files that somebody was writing when it was killed: they lie under names of their own and belong to no version, so nothing else does.

    Whoever calls is the only one that writes. An object storage shows no such files.
    """
    folder = folder_of(uri)
    for path in folder.rglob("*") if folder else ():
        if (path.name.startswith(".tmp") or "#" in path.name) and path.is_file():  # Lance's own writer, and the object store's
            path.unlink(missing_ok=True)


def folder_of(uri: str) -> Path | None:
    """Where writers lock each other out; None for what is no local folder."""
    return Path(uri) if is_local(uri) else None
