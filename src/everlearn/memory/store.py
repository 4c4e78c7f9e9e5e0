"""The dated store: passages and facts that are found by meaning and by words, as they hold now or held at a date."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from everlearn.disk import one_writer
from everlearn.errors import DataError, SettingError, StateError
from everlearn.memory import tables
from everlearn.memory.chains import Link, chained
from everlearn.memory.embedders import Embedder, made_by, matrix, named
from everlearn.memory.erasing import erased, told_by
from everlearn.memory.indexing import INDEX_ROWS, indexed, up_to_date
from everlearn.memory.passages import Found, Passage, iso, searchable, subject_key
from everlearn.memory.searching import Search, searched
from everlearn.memory.tables import Vectors
from everlearn.memory.writing import Added, by_key, written

UNFINISHED = (
    "a delete in this store is not over (uri={!r}): its bytes may still be in old versions. It is under way in another process, or was killed;"
    " then the next call that writes ends it, index() without writing anything."
)
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
        self.uri, self.embedder, self.index_rows = str(uri), embedder and named(embedder), index_rows
        self._database = tables.connected(self.uri, storage)
        self._opened, self._told = None, ("", 0)
        if self._table is not None and self.erasing:
            warnings.warn(UNFINISHED.format(self.uri), stacklevel=2)

    def __len__(self) -> int:
        return 0 if self._table is None else int(self._table.count_rows())

    @property
    def erasing(self) -> bool:
        """Whether a `delete` or `replace` is not over: what it took out is found no more, but its bytes may still be in old versions and indexes.

        It is under way in another process, or was killed; then the next `add`, `delete`, `replace` or `index` ends it before anything else.
        """
        return tables.is_erasing(self._database)

    @property
    def dimension(self) -> int:
        """The length of its vectors, 0 before the first row of a store without an embedder."""
        return self._told[1] if self._table is not None else self.embedder.dimension if self.embedder else 0

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
            table = self._made_now(places)
            told = written(table, given, lambda new, at: self._made(new, at, places))
            if index:
                up_to_date(table, self.index_rows)
        return told

    def search(self, query: str | Sequence[float] | Vectors, k: int = 5, as_of: str = "", **how: Any) -> list[Found]:
        """The k best passages for a question, or for a vector (d,), best first: see `Search` for how."""
        search = Search(k=k, as_of=iso(as_of, "as_of"), **how)
        if isinstance(query, str):
            return self.search_all([query], search)[0]
        return searched(self._table, search, [None], self._vectors([query], 1))[0]

    def search_all(self, queries: Sequence[str], search: Search, vectors: Vectors | None = None) -> list[list[Found]]:
        """For each of many questions what `search` finds. vectors: theirs (n, d); by default they are embedded together."""
        if not queries:
            return []
        if vectors is not None:
            vectors = self._vectors(vectors, len(queries))
        elif self.embedder is not None:
            vectors = made_by(self.embedder, list(queries), asked=True)
        return searched(self._table, search, list(queries), vectors)

    def delete(self, source: str = "", id: str = "") -> int:
        """Take out everything a source said, or one passage, and its bytes with it: how many passages went.

        What another source says too stays, in that source's name; what it had superseded holds again. Old versions of the table and its indexes are removed
        at once; after a kill in between the store is `erasing` until the next call that writes, which ends the work.
        """
        if bool(source) == bool(id):
            raise SettingError(f"delete needs a source or an id, one of them (source={source!r}, id={id!r}).")
        searchable(source or id)
        if self._table is None:
            return 0
        with self._writing():
            if not self.erasing and not told_by(self._table, source, id):
                return 0
        with self._writing(), self._to_the_last_byte():
            return erased(self._table, source, id)

    def passages(self, as_of: str | None = None, subject: str = "") -> list[Passage]:
        """All passages in order of arrival, as they are dated now; as_of: those that hold at a date, "" for now.   subject: of this one alone, by date."""
        if self._table is None:
            return []
        conditions = [tables.holding(iso(as_of, "as_of"))] if as_of is not None else []
        conditions += [f"key = {tables.quoted(subject_key(subject))}"] if subject else []
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
        links = tables.links_of(self._table.search().select([tables.LINK]).limit(most).to_arrow())
        return [link.passage.subject for link in links if link.passage.subject]

    def index(self) -> None:
        """Bring all indexes up to date and join small files, after `add(..., index=False)`; what a kill left of files half written goes."""
        if self._table is not None:
            with self._writing():
                tables.remove_unfinished(self.uri)
                indexed(self._table, self.index_rows, hours=1)

    def rows(self) -> tuple[list[dict[str, object]], Vectors]:
        """Everything as JSON and vectors (n, d), in order of arrival: what `replace` takes."""
        if self._table is None:
            return [], np.zeros((0, self.dimension), np.float32)
        found = tables.rows_where(self._table, "number >= 0", vectors=True).sort_by("number")
        return [{"number": link.number, **link.passage.to_json()} for link in tables.links_of(found)], tables.vectors_of(found)

    def replace(self, rows: Sequence[Mapping[str, Any]], vectors: Vectors) -> None:
        """Hold exactly these rows; what was there is gone with its bytes. vectors: (n, d), one a row."""
        links = [Link(Passage.from_json({name: value for name, value in row.items() if name != "number"}), int(row["number"])) for row in rows]
        if not links and self._table is None:
            return
        told = self.embedder.name if self.embedder else "" if links else self._told[0]
        width = self.dimension if self.embedder or not links else 0
        given = self._vectors(vectors, len(links), width) if links else np.zeros((0, width), np.float32)
        at = {link.passage.id: place for place, link in enumerate(links)}
        kept = sorted((link for of in by_key(links).values() for link in chained(of)), key=lambda link: link.number)
        with self._writing(), self._to_the_last_byte():
            like = tables.schema(given.shape[1], told)
            self._hold(tables.created(self._database, given.shape[1], told, tables.arrow_of(kept, given[[at[link.passage.id] for link in kept]], like)))

    @property
    def _table(self) -> Any | None:
        """None before the first row. Raises StateError where its vectors are another embedder's."""
        if self._opened is None:
            self._hold(tables.existing(self._database))
        return self._opened

    def _hold(self, table: Any | None) -> None:
        """Keep the table and what it says of its vectors. Raises StateError where they are another embedder's."""
        if table is None:
            return
        told, embedder = tables.told_of(table), self.embedder
        if embedder is not None and told != (embedder.name, embedder.dimension):
            raise StateError(
                f"the store's vectors are another embedder's (store={told[0]!r} of {told[1]}, given={embedder.name!r} of {embedder.dimension})."
                " Open it with its own, or put its passages into a new store."
            )
        self._opened, self._told = table, told

    def _made(self, new: Sequence[Passage], at: Sequence[int], places: Vectors | None) -> Vectors:
        """The vectors of new rows, which are `at` these places among those added: given ones, or the embedder's."""
        if places is not None:
            return places[list(at)]
        assert self.embedder is not None
        return made_by(self.embedder, [passage.text for passage in new])

    def _checked(self, given: Sequence[Passage], vectors: Sequence[Sequence[float]] | Vectors | None) -> Vectors | None:
        """Given vectors as a matrix, None where the embedder is to make them."""
        if vectors is not None:
            return self._vectors(vectors, len(given)) if given or len(vectors) else None
        if self.embedder is None and given:
            raise DataError(f"the store has no embedder, so each passage needs a vector (uri={self.uri!r}, vectors=None). Give vectors, or open it with one.")
        return None

    def _vectors(self, vectors: Any, rows: int, dimension: int | None = None) -> Vectors:
        """Vectors of length 1. Raises DataError for what is none, or of another length than the store's, StateError where none can be told to be its own."""
        if self._table is not None and self._told[0] and self.embedder is None:
            raise StateError(
                f"the store's vectors are an embedder's, and it was opened without one, so others cannot be compared with them (store={self._told[0]!r})."
                " Open it with that embedder; words alone are searched without."
            )
        return matrix(vectors, rows, self.dimension if dimension is None else dimension)

    def _made_now(self, places: Vectors | None) -> Any:
        """The table; made now where this is the first row."""
        if self._table is None:
            width, name = (self.embedder.dimension, self.embedder.name) if self.embedder else (0 if places is None else places.shape[1], "")
            self._hold(tables.created(self._database, width, name))
        return self._table

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Alone; what a kill left of a delete is ended first."""
        with one_writer(tables.folder_of(self.uri), BUSY):
            if self._table is not None and self.erasing:
                self._erase_rest()
            yield

    @contextmanager
    def _to_the_last_byte(self) -> Iterator[None]:
        """What is taken out within is taken out of old versions and indexes too, now or, after a kill, by the next who writes."""
        tables.note_erasing(self._database)
        yield
        self._erase_rest()

    def _erase_rest(self) -> None:
        tables.remove_unfinished(self.uri)
        indexed(self._table, self.index_rows, hours=0)
        tables.erasing_is_over(self._database)
