"""How large may a dated store grow, and how fast is it then?

    python benchmarks/store.py [--rows 1000000] [--write benchmarks/results/store.json]

Vectors of 384 components around 1,000 centres, noise as long as a centre; every passage a subject of its own. Told are the rows written a second, the time of
the index, the time of a search for one vector (questions are drawn like the rows and are none of them; the median of each of three rounds, CPU time of all
threads beside it, where the machine does other work), the time of comparing one vector with all by NumPy between those searches, the time of a search as of a
date and of one by vector and words, its recall at 10 against comparing all, bytes on disk, and peak memory less what the process held before the first row.
"""

from __future__ import annotations

import argparse
import json
import resource
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, process_time

import numpy as np
from numpy.typing import NDArray

from everlearn import DatedStore, Passage
from everlearn.memory.searching import Search
from everlearn.results import write_json

WIDTH, CENTRES, AT_ONCE, QUESTIONS, NEAREST, ROUNDS = 384, 1000, 20_000, 300, 10, 3
EVERY = 20  # questions of which one is compared with all rows in each round
Vectors = NDArray[np.float32]


def drawn(random: np.random.Generator, centres: Vectors, rows: int) -> Vectors:
    """Vectors of length 1 (rows, 384)."""
    noise = random.standard_normal((rows, WIDTH), dtype=np.float32)
    found = centres[random.integers(len(centres), size=rows)] + noise / np.linalg.norm(noise, axis=1, keepdims=True)
    return np.asarray(found / np.linalg.norm(found, axis=1, keepdims=True), np.float32)


def peak() -> float:
    """Megabytes that the process held at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def best(questions: Vectors, parts: list[Vectors]) -> list[set[int]]:
    """For each question the numbers of the 10 nearest rows, by comparing all."""
    scores = np.concatenate([questions @ part.T for part in parts], axis=1)
    return [set(row.tolist()) for row in np.argpartition(-scores, NEAREST, axis=1)[:, :NEAREST]]


def searched(store: DatedStore, questions: Vectors, wanted: list[set[int]], parts: list[Vectors]) -> dict[str, object]:
    """Times in milliseconds, recall as a share."""
    times: dict[str, list[list[float]]] = {"search": [], "as_of": [], "hybrid": [], "all": []}
    right, spent = [], 0.0
    for _ in range(ROUNDS):
        for kind in times.values():
            kind.append([])
        for at, question in enumerate(questions):
            begun, cpu = perf_counter(), process_time()
            found = store.search(question, k=NEAREST)
            times["search"][-1].append(1000 * (perf_counter() - begun))
            spent += process_time() - cpu
            right.append(len({int(one.passage.id) for one in found} & wanted[at]) / NEAREST)
            if at % EVERY == 0:
                begun = perf_counter()
                store.search(question, k=NEAREST, as_of="2025")
                times["as_of"][-1].append(1000 * (perf_counter() - begun))
                begun = perf_counter()
                store.search_all([f"Fact {at}."], Search(k=NEAREST), question[None])
                times["hybrid"][-1].append(1000 * (perf_counter() - begun))
                begun = perf_counter()
                for part in parts:
                    part @ question
                times["all"][-1].append(1000 * (perf_counter() - begun))
    medians = {kind: [float(np.median(one)) for one in of] for kind, of in times.items()}
    return {
        "search_milliseconds_median": float(np.median(medians["search"])),
        "search_milliseconds_medians": medians["search"],
        "search_milliseconds_99": float(np.percentile(np.concatenate(times["search"]), 99)),
        "search_cpu_milliseconds": 1000 * spent / (QUESTIONS * ROUNDS),
        "compare_all_milliseconds_medians": medians["all"],
        "as_of_milliseconds_medians": medians["as_of"],
        "hybrid_milliseconds_medians": medians["hybrid"],
        "recall_at_10": float(np.mean(right)),
    }


def measured(folder: Path, rows: int, seed: int) -> dict[str, object]:
    random = np.random.default_rng(seed)
    centres = random.standard_normal((CENTRES, WIDTH), dtype=np.float32)
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    store, before, writing = DatedStore(folder), peak(), 0.0
    for start in range(0, rows, AT_ONCE):
        vectors = drawn(random, centres, min(AT_ONCE, rows - start))
        passages = [Passage(f"Fact {start + at}.", subject=f"subject {start + at}", valid_from="2024", id=str(start + at)) for at in range(len(vectors))]
        begun = perf_counter()
        store.add(passages, vectors, index=False)
        writing += perf_counter() - begun
    begun = perf_counter()
    store.index()
    indexing, held = perf_counter() - begun, peak() - before
    again = np.random.default_rng(seed)
    again.standard_normal((CENTRES, WIDTH), dtype=np.float32)
    parts = [drawn(again, centres, min(AT_ONCE, rows - start)) for start in range(0, rows, AT_ONCE)]
    questions = drawn(again, centres, QUESTIONS)
    asked = searched(store, questions, best(questions, parts), parts)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return {
        "rows": rows,
        "rows_a_second": rows / writing,
        "index_seconds": indexing,
        **asked,
        "megabytes_on_disk": size / 1e6,
        "vector_megabytes": rows * WIDTH * 4 / 1e6,
        "peak_megabytes": held,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", type=Path)
    given = parser.parse_args()
    with TemporaryDirectory() as folder:
        found = measured(Path(folder) / "store", given.rows, given.seed)
    print(json.dumps(found, indent=1))
    if given.write:
        write_json(given.write, found)


if __name__ == "__main__":
    main()
