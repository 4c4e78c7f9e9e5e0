"""When a store's table has which index: words always, vectors from a size on."""

from __future__ import annotations

from math import sqrt
from typing import Any

from everlearn.memory.tables import cleaned, index_words

INDEX_ROWS = 50_000  # below, every vector is compared
LEFT_OUT = 5000  # rows that searches may read beside an index; they are read exactly
SHARE_LEFT_OUT = 0.2  # of the rows: indexes are made anew when a table has grown by a fifth, so loading costs a few of them, not one an `add`
WORDS, PLACES = "words_idx", "vector_idx"


def up_to_date(table: Any, index_rows: int) -> None:
    """Make the indexes anew if too many rows are in none, or a kill left words or vectors without theirs."""
    rows, words = int(table.count_rows()), table.index_stats(WORDS)
    left_out = rows if words is None else int(words.num_unindexed_rows)
    if words is None or left_out > max(LEFT_OUT, SHARE_LEFT_OUT * rows) or (rows >= index_rows and not _has_places(table)):
        indexed(table, index_rows, hours=1)


def indexed(table: Any, index_rows: int, hours: float) -> None:
    """Join small files, make the indexes over all rows anew (of vectors only from `index_rows` on), and remove versions older than so many hours, with 0 all.

    The vectors' index is taken away before and made last: LanceDB's joining of files makes it anew with cells of 30,000 rows, whatever its cells were, and a
    search that reads 32 of them compares nearly all of a million rows.
    """
    if _has_places(table):
        table.drop_index(PLACES)
    index_words(table)
    cleaned(table, hours)
    rows = int(table.count_rows())
    if rows >= index_rows:
        index_places(table, rows)


def index_places(table: Any, rows: int) -> None:
    """Cells of as many vectors as there are cells, each number of them kept in a byte; what is found so is ranked again by the exact vectors."""
    from lancedb.index import IvfSq

    table.create_index("vector", config=IvfSq(distance_type="cosine", num_partitions=max(1, int(sqrt(rows)))), replace=True)


def _has_places(table: Any) -> bool:
    return PLACES in {index.name for index in table.list_indices()}
