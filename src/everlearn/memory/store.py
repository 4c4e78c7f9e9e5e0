"""The dated store: passages and facts that are found by meaning and by words, as they hold now or held at a date."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np

from everlearn.disk import one_writer
from everlearn.errors import DataError, SettingError, StateError
from everlearn.memory import tables
from everlearn.memory.chains import Link, chained
from everlearn.memory.embedders import Embedder, unit
from everlearn.memory.erasing import erased
from everlearn.memory.indexing import INDEX_ROWS, indexed, up_to_date
from everlearn.memory.passages import Found, Passage, iso
from everlearn.memory.searching import Search, searched
from everlearn.memory.tables import Vectors
from everlearn.memory.writing import Added, by_key, written

BUSY = "another process is writing to this store (uri={!r}). Wait for it; reading goes on."


class DatedStore:
    """Passages and facts on disk, each with the dates between which it holds; a newer fact closes the older one of its subject, both stay readable.

    Kept by LanceDB, embedded: no server. Every `add` and `delete` is one commit, whole or not there. One process writes at a time to a local folder
    (Busy in the second), any number read.

    uri: a local folder or an object storage's address (s3://, gs://, az://), `storage` its options.   embedder: makes vectors of texts; without one vectors are
    given, and text alone is searched by words.   index_rows: from how many rows on vectors have an index; below, search is exact.

    >>> import tempfile
    >>> store = DatedStore(tempfile.mkdtemp())
    >>> told = store.add([Passage("The mayor is Ann.", "mayor", "2020"), Passage("The mayor is Bo.", "mayor", "2024")], vectors=[[1, 0], [1, 0.1]])
    >>> [found.passage.text for found in store.search("mayor")], [found.passage.text for found in store.search("mayor", as_of="2021-06-30")]
    (['The mayor is Bo.'], ['The mayor is Ann.'])
    """

    def __init__(self, uri: str | Path, embedder: Embedder | None = None, index_rows: int = INDEX_ROWS, storage: Mapping[str, str] | None = None) -> None:
        if index_rows < 1000:
            raise SettingError(f"index_rows must be at least 1000, got {index_rows!r}. Fewer rows are searched faster without an index.")
        self.uri, self.embedder, self.index_rows = str(uri), embedder, index_rows
        self._database = tables.connected(self.uri, storage)
        self._table = tables.existing(self._database)
        if self._table is not None and embedder is not None:
            self._same_embedder(self._table, embedder)

    def __len__(self) -> int:
        return 0 if self._table is None else int(self._table.count_rows())

    @property
    def dimension(self) -> int:
        """The length of its vectors, 0 before the first row of a store without an embedder."""
        if self._table is not None:
            return tables.told_of(self._table)[1]
        return self.embedder.dimension if self.embedder else 0

    def add(self, passages: Iterable[Passage], vectors: Sequence[Sequence[float]] | Vectors | None = None, index: bool = True) -> Added:
        """Take in passages in one commit; where a subject has others, each closes the one before it by date, in whatever order they come.

        vectors: (n, d), one a passage, where the store has no embedder.   index: keep search fast at once; False while loading much, then `index()`.
        Raises DataError for vectors of another length, without direction or with no numbers, and for a known id with other content.
        """
        given = list(passages)
        places = self._checked(given, vectors)
        if not given:
            return Added()
        with self._writing():
            table = self._opened(places)
            told = written(table, given, lambda new, at: self._made(new, at, places))
            if index:
                up_to_date(table, self.index_rows)
        return told

    def search(self, query: str | Sequence[float] | Vectors, k: int = 5, as_of: str = "", **how: Any) -> list[Found]:
        """The k best passages for a question, or for a vector (d,), best first: see `Search` for how."""
        search = Search(k=k, as_of=iso(as_of, "as_of"), **how)
        if isinstance(query, str):
            return self.search_all([query], search)[0]
        return searched(self._table, search, [None], self._vectors([query]))[0]

    def search_all(self, queries: Sequence[str], search: Search, vectors: Vectors | None = None) -> list[list[Found]]:
        """For each of many questions what `search` finds. vectors: theirs (n, d); by default they are embedded together."""
        if self._table is None or not queries:
            return [[] for _ in queries]
        if vectors is None:
            vectors = None if self.embedder is None else unit(self.embedder.questions(list(queries)))
        return searched(self._table, search, list(queries), vectors)

    def delete(self, source: str = "", id: str = "") -> int:
        """Take out everything a source said, or one passage, and its bytes with it: how many passages went.

        What another source says too stays, in that source's name; what it had superseded holds again. Old versions of the table and its indexes are removed
        at once; after a kill in between, the same call ends the work.
        """
        if bool(source) == bool(id):
            raise SettingError(f"delete needs a source or an id, one of them (source={source!r}, id={id!r}).")
        if self._table is None:
            return 0
        with self._writing():
            gone = erased(self._table, source, id)
            indexed(self._table, self.index_rows, anew=True)
            self._clean(self._table)
        return gone

    def passages(self, as_of: str | None = None, subject: str = "") -> list[Passage]:
        """All passages in order of arrival, as they are dated now; as_of: those that hold at a date, "" for now.   subject: of this one alone, by date."""
        if self._table is None:
            return []
        conditions = [tables.holding(iso(as_of, "as_of"))] if as_of is not None else []
        conditions += [f"subject = {tables.quoted(subject)}"] if subject else []
        links = tables.links_of(tables.rows_where(self._table, " AND ".join(conditions) or "number >= 0"))
        ordered = sorted(links, key=lambda link: (link.passage.valid_from, link.number) if subject else ("", link.number))
        return [tables.shown(link) for link in ordered]

    @property
    def version(self) -> int:
        """Grows with every commit, 0 before the first."""
        return 0 if self._table is None else int(self._table.version)

    def subjects(self, most: int) -> list[str]:
        """The subjects of up to so many passages."""
        if self._table is None:
            return []
        return [str(name) for name in self._table.search().select(["subject"]).limit(most).to_arrow()["subject"].to_pylist() if name]

    def index(self) -> None:
        """Bring all indexes up to date and join small files; after `add(..., index=False)`."""
        if self._table is not None:
            with self._writing():
                indexed(self._table, self.index_rows, anew=True)
                self._clean(self._table, hours=1)

    def rows(self) -> tuple[list[dict[str, object]], Vectors]:
        """Everything as JSON and vectors (n, d), in order of arrival: what `replace` takes."""
        if self._table is None:
            return [], np.zeros((0, self.dimension), np.float32)
        found = tables.rows_where(self._table, "number >= 0", vectors=True).sort_by("number")
        return [{"number": link.number, **link.passage.to_json()} for link in tables.links_of(found)], tables.vectors_of(found)

    def replace(self, rows: Sequence[Mapping[str, Any]], vectors: Vectors) -> None:
        """Hold exactly these rows; what was there is gone with its bytes."""
        links = [Link(Passage.from_json({name: value for name, value in row.items() if name != "number"}), int(row["number"])) for row in rows]
        with self._writing():
            if not links:
                if self._table is not None:
                    self._database.drop_table(tables.NAME)
                self._table = None
                return
            made_by = self.embedder.name if self.embedder else ""
            at = {link.passage.id: place for place, link in enumerate(links)}
            kept = sorted((link for of in by_key(links).values() for link in chained(of)), key=lambda link: link.number)
            table = tables.arrow_of(kept, vectors[[at[link.passage.id] for link in kept]], tables.schema(vectors.shape[1], made_by))
            self._table = tables.created(self._database, vectors.shape[1], made_by, table)
            indexed(self._table, self.index_rows, anew=True)
            self._clean(self._table)

    def _made(self, new: Sequence[Passage], at: Sequence[int], places: Vectors | None) -> Vectors:
        """The vectors of new rows, which are `at` these places among those added: given ones, or the embedder's."""
        if places is not None:
            return places[list(at)]
        assert self.embedder is not None
        return unit(self.embedder.passages([passage.text for passage in new]))

    def _checked(self, given: Sequence[Passage], vectors: Sequence[Sequence[float]] | Vectors | None) -> Vectors | None:
        """Given vectors as a matrix, None where the embedder is to make them."""
        if vectors is None:
            if self.embedder is None and given:
                raise DataError(
                    f"the store has no embedder, so each passage needs a vector (uri={self.uri!r}, vectors=None). Give vectors, or open it with one."
                )
            return None
        if len(vectors) != len(given):
            raise DataError(f"every passage needs one vector (passages={len(given)}, vectors={len(vectors)}). Give as many.")
        return self._vectors(vectors) if given else None

    def _vectors(self, vectors: Sequence[Sequence[float] | Vectors] | Vectors) -> Vectors:
        """Vectors of length 1. Raises DataError for what is none, or of another length than the store's."""
        try:
            found = np.asarray(vectors, dtype=np.float32)
        except ValueError as problem:
            raise DataError(f"vectors must be rows of numbers, all of one length (first={str(vectors[0])[:40]!r}).") from problem
        if found.ndim != 2 or found.shape[1] == 0 or (self.dimension and found.shape[1] != self.dimension):
            wanted = self.dimension or "any length above 0"
            raise DataError(
                f"vectors have another length than the store's (shape={found.shape!r}, dimension={wanted}). Embed with the embedder it was made with."
            )
        return unit(found)

    def _opened(self, places: Vectors | None) -> Any:
        """The table; made now where this is the first row."""
        self._table = self._table if self._table is not None else tables.existing(self._database)
        if self._table is None:
            width = places.shape[1] if places is not None else 0
            name = self.embedder.name if self.embedder else ""
            self._table = tables.created(self._database, width or (self.embedder.dimension if self.embedder else 0), name)
        if self.embedder is not None:
            self._same_embedder(self._table, self.embedder)
        return self._table

    def _same_embedder(self, table: Any, embedder: Embedder) -> None:
        name, dimension = tables.told_of(table)
        if (name, dimension) != (embedder.name, embedder.dimension):
            raise StateError(
                f"the store's vectors are another embedder's (store={name!r} of {dimension}, given={embedder.name!r} of {embedder.dimension})."
                " Open it with its own, or put its passages into a new store."
            )

    def _clean(self, table: Any, hours: float = 0) -> None:
        with tables.knowing():
            table.optimize(cleanup_older_than=timedelta(hours=hours), delete_unverified=not hours)

    def _writing(self) -> AbstractContextManager[None]:
        return one_writer(tables.folder_of(self.uri), BUSY)
