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
    """Make the indexes anew if too many rows are in none."""
    rows, left_out = int(table.count_rows()), int(table.index_stats(WORDS).num_unindexed_rows)
    if left_out > max(LEFT_OUT, SHARE_LEFT_OUT * rows):
        indexed(table, index_rows, anew=True)
        cleaned(table, hours=1)


def indexed(table: Any, index_rows: int, anew: bool) -> None:
    """Indexes over all rows; of vectors only from `index_rows` on, else none."""
    if anew:
        index_words(table)
    rows, there = int(table.count_rows()), PLACES in {index.name for index in table.list_indices()}
    if rows >= index_rows:
        index_places(table, rows)
    elif there:
        table.drop_index(PLACES)


def index_places(table: Any, rows: int) -> None:
    """Cells of about a thousand vectors, each number of them kept in a byte; what is found so is ranked again by the exact vectors."""
    from lancedb.index import IvfSq

    table.create_index("vector", config=IvfSq(distance_type="cosine", num_partitions=max(1, int(sqrt(rows)))), replace=True)
