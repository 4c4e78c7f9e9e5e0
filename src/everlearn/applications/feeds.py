"""Any folder a recommender can read, told by the files in it."""

from __future__ import annotations

from pathlib import Path

from everlearn.applications.impressions import Feed
from everlearn.applications.mind import read_mind
from everlearn.applications.movielens import read_movielens
from everlearn.applications.readers import Readers, generated
from everlearn.errors import DataError
from everlearn.streams.folder import load_stream
from everlearn.types import Stream


def read_feed(folder: Path | None, shown: int = 20, negatives: str = "popular", seed: int = 0) -> tuple[Feed | Stream, str]:
    """What the folder holds, and the period its layout is usually cut into; without a folder the generated default.

    shown, negatives: of candidates drawn around MovieLens' likes, see `read_movielens`. Raises DataError for a folder in none of the layouts.
    """
    if folder is None:
        return generated(readers=Readers(seed=seed)), "day"
    if (folder / "behaviors.tsv").is_file():
        return read_mind(folder), "day"
    if any((folder / name).is_file() for name in ("ratings.csv", "ratings.dat")):
        return read_movielens(folder, shown, negatives, seed), "year"  # type: ignore[arg-type]
    if (folder / "stream.toml").is_file():
        return load_stream(folder), "day"
    raise DataError(
        f"this is no feed (folder={str(folder)!r}). It holds news.tsv and behaviors.tsv (MIND), ratings.csv and movies.csv (MovieLens), or stream.toml."
    )
