"""Every file of a LanceDB folder, read by its own format: what is compressed shows its text."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
from lance.file import LanceFileReader

from everlearn.memory.tables import Vectors

TABLES = {".lance", ".idx"}  # data and indexes: Lance's column format, compressed
PLAIN = {".txn", ".manifest", ".json", ".lock"}  # protocol buffers and JSON: text stands in them as it is


def columns_of(path: Path) -> pa.Table:
    return LanceFileReader(str(path)).read_all().to_table()


def shown(path: Path) -> str:
    """All that a file says. Raises AssertionError for a kind of file that is not known here, so that none is passed over."""
    raw = path.read_bytes().decode("latin-1")
    if path.suffix in TABLES:
        reader = LanceFileReader(str(path))
        buffers = [reader.read_global_buffer(at) for at in range(len(reader.metadata().global_buffers))]
        return raw + str(columns_of(path).to_pylist()) + str(reader.metadata().schema.metadata) + "".join(bytes(one).decode("latin-1") for one in buffers)
    if path.suffix == ".arrow":  # which rows of a file are deleted
        return raw + str(pa.ipc.open_file(path).read_all().to_pylist())
    assert path.suffix in PLAIN or path.name == ".lock", f"a kind of file that is not read here: {path.name}"
    return raw


def telling(folder: Path, text: str) -> list[str]:
    """The kinds of files that say this text, in whatever case: data, _indices, _versions, _transactions, _deletions."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return sorted({path.relative_to(folder / path.relative_to(folder).parts[0]).parts[0] for path in files if text.lower() in shown(path).lower()})


def words_counted(folder: Path) -> list[int]:
    """Of each full text index that has words, how many different ones: their letters are packed, but not their number."""
    counts = [int(columns_of(path)["_token_next_id"][0].as_py()) for path in folder.rglob("*_tokens.lance")]
    return [count for count in counts if count]


def vectors_kept(folder: Path) -> Vectors:
    """Every vector in a data file of any version, (n, d)."""
    tables = [columns_of(path) for path in folder.rglob("data/*.lance")]
    return np.concatenate([np.asarray(table["vector"].to_pylist(), np.float32) for table in tables if table.num_rows])


def quantised(folder: Path) -> list[int]:
    """Of each vector index, how many vectors it keeps a copy of."""
    return [columns_of(path).num_rows for path in folder.rglob("auxiliary.idx")]
