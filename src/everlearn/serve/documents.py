"""Documents that a home's answers are given with, from the moment they arrive: the dated store behind /v1/documents."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from everlearn.disk import write_whole
from everlearn.errors import StateError
from everlearn.memory.lexicon import Lexicon
from everlearn.memory.passages import Found, Passage, iso
from everlearn.memory.reading import asked_in, with_passages
from everlearn.serve.lines import add_lines, mend, rows_in
from everlearn.types import Example
from everlearn.versions.home import Home

if TYPE_CHECKING:
    from everlearn.memory.store import DatedStore
    from everlearn.memory.writing import Added

FILE = "documents.jsonl"
IN_MEMORY = "memory://"  # LanceDB's address for a database of this process alone: no copy of the documents lies where `everlearn forget` does not look
TEMPLATE = "Context: {passages} "
MOST_READ = 3  # passages before one question
CANDIDATES = 8
COVERED = (
    0.6  # of what a question says, by rarity, must stand in a passage: more than half, so that a namesake's does not count (tests/serve/test_documents.py)
)


class Documents:
    """The passages of a home that clients brought, each with its dates and source; a newer one of the same subject supersedes.

    They lie in documents.jsonl in the home, one a line, which `everlearn forget` reads and rewrites, and nowhere else on disk: the store that searches them
    is in memory, made anew from that file whenever another process changed it. A passage is found by its words and read where it has most of what the
    question says. Needs lancedb: MissingExtra without it, from the first document on.
    """

    def __init__(self, home: Home) -> None:
        self.home, self.path = home, home.folder / FILE
        self._lock = threading.RLock()
        self._seen: tuple[int, int, int] | None = None
        self._store: DatedStore | None = None
        self._lexicon = Lexicon([])
        mend(home, self.path)

    def __bool__(self) -> bool:
        return self.path.exists()

    def __len__(self) -> int:
        with self._lock:
            return len(self._current())

    def add(self, passages: Sequence[Passage]) -> Added:
        """Take passages in: on disk, then to be found. Raises DataError for an id with other content, StateError while something is being forgotten."""
        with self.home.arriving(), self._lock:
            store = self._current()
            told, self._seen = store.add(passages), None  # made anew from the file if that cannot be written
            add_lines(self.path, [passage.to_json() for passage in passages])
            self._noted(store)
        return told

    def delete(self, source: str) -> int:
        """Take out everything a source said; how many rows of the file went, also of what others say too, which stays in their names."""
        with self.home.arriving(), self._lock:
            store = self._current()
            rows = rows_in(self.path) if self.path.exists() else []
            kept = [row for row in rows if row.get("source") != source]
            if len(kept) < len(rows):
                self._seen = None
                store.delete(source=source)
                write_whole(self.path, "".join(json.dumps(row) + "\n" for row in kept).encode())
                self._noted(store)
        return len(rows) - len(kept)

    def search(self, query: str, k: int, as_of: str = "") -> list[Found]:
        """The k best passages for a question by its words, as they hold at a date, "" for now."""
        with self._lock:
            store = self._current()
            return store.search(query, k=k, as_of=as_of, kind="words") if len(store) else []

    def read(self, question: Example, as_of: str = "") -> tuple[Example, list[Passage]]:
        """The question with the passages that answer it before it, and these; the question itself where nothing does."""
        asked = asked_in(question)
        if not asked.strip() or question.text is not None:
            return question, []
        with self._lock:
            about = [
                found.passage for found in self.search(asked, CANDIDATES, iso(as_of, "as_of")) if self._lexicon.covered(asked, found.passage.text) >= COVERED
            ]
        return with_passages(question, about[:MOST_READ], TEMPLATE), about[:MOST_READ]

    def _current(self) -> DatedStore:
        """The store, made anew where the file was changed by another."""
        if self._store is None or self._stamp() != self._seen:
            from everlearn.memory.embedding import WordEmbedder
            from everlearn.memory.store import DatedStore

            store = DatedStore(IN_MEMORY, WordEmbedder())
            stamp, rows = self._stamp(), self._rows()
            if rows:
                store.add(rows)
            self._store, self._seen = store, stamp
            self._lexicon = Lexicon(passage.text for passage in rows)
        return self._store

    def _noted(self, store: DatedStore) -> None:
        self._seen = self._stamp()
        self._lexicon = Lexicon(passage.text for passage in store.passages())

    def _rows(self) -> list[Passage]:
        if not self.path.exists():
            return []
        try:
            return [Passage.from_json(row) for row in rows_in(self.path)]
        except (OSError, ValueError, TypeError) as problem:
            raise StateError(f"the documents of this home cannot be read (file={str(self.path)!r}): {problem}. Restore the file from a copy.") from problem

    def _stamp(self) -> tuple[int, int, int]:
        return stamp_of(self.path)


def stamp_of(path: Path) -> tuple[int, int, int]:
    """Differs once the file was changed."""
    try:
        about = path.stat()
    except FileNotFoundError:
        return (0, 0, 0)
    return about.st_mtime_ns, about.st_ino, about.st_size
