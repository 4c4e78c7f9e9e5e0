"""Edits one after the other: are they made, do they reach other words of the same question, does the rest stay?

    python benchmarks/edits.py shared/data --model models/news2016 [--only codebook] [--edits 300] [--write benchmarks/results/edits.json]
    python benchmarks/edits.py shared/data --model models/news2016 --first 300 --at-once --only "sparse_memory(factor=500,top=4096)"

The first edits of CounterFact and zsRE, in batches of ten; every method sees each batch once, and at the end all edits are asked. Reliability: the
edited question.   generality: its paraphrase.   locality: a neighbour's question is answered, word for word, as before the first edit. What is generated
counts where it begins with the answer and no word goes on; forced, as papers count: the share of the answer's tokens that are likeliest when those before
are given. Settings were chosen on the edits after those reported (--first 300). --at-once: all edits are one experience, learned as a stream's is.
"""

from __future__ import annotations

import argparse
import gzip
import json
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import torch

from everlearn import Example, Experience, LanguageModel, Settings, load_model
from everlearn.config import parse_methods
from everlearn.models.batch import by_length
from everlearn.models.weights import TrainedModel
from everlearn.results import write_json

BATCH, LIMIT = 10, 16
RECIPES = ("plain", "replay(share=1)", "codebook", "retrieval", "knn_lm", "sparse_memory(factor=800,top=256)")
SETTINGS, AT_ONCE = Settings(rate=3e-4, passes=10, batch=10), Settings(rate=5e-4, passes=5, batch=16)


def edits(path: Path, first: int, count: int) -> list[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    return rows[first : first + count]


def asked(prompt: str, answer: str, kind: str) -> Example:
    """A question as the model was taught to read them; CounterFact's are beginnings of sentences."""
    prompt = prompt.removeprefix("nq question: ")
    return Example(prompt=f"Question: {prompt}\nAnswer:" if kind == "zsre" else prompt, completion=f" {answer}")


def generated(model: LanguageModel, rows: Sequence[Example]) -> list[str]:
    """What is said greedily, cut after the answer's words where it goes on (a beginning of a sentence has no end)."""
    return [said for at in range(0, len(rows), 50) for said in model.generate(list(rows[at : at + 50]), limit=LIMIT, lines=True)]


def forced(served: LanguageModel, model: TrainedModel, rows: Sequence[Example]) -> list[float]:
    """The share of each answer's tokens that are likeliest, given those before."""
    found: dict[str, float] = {}
    encoded = list({row.id: row for row in model.encoder.rows(rows)}.values())
    with torch.inference_mode():
        for part in by_length(encoded, 4096):
            batch = model.batch(part)
            right = (served.logits(batch).logits.argmax(1) == batch.targets).float()
            for place, row in enumerate(part):
                found[row.id] = float(right[batch.row == place].mean())
    return [found[row.id] for row in rows]


def begins(said: str, row: Example) -> float:
    """1 if it says the answer and then ends, or goes on with a new word."""
    wanted, said = (row.completion or "").strip(), said.strip()
    return float(said.startswith(wanted) and not said[len(wanted) : len(wanted) + 1].isalnum())


def measured(kind: str, recipe: str, rows: Sequence[dict[str, Any]], folder: str, at_once: bool) -> dict[str, object]:
    model, size = load_model(folder), len(rows) if at_once else BATCH
    learner = parse_methods(recipe)[0].learner(AT_ONCE if at_once else SETTINGS, 0)
    served = learner.prepare(model)
    new = [asked(row["prompt"], row["answer"], kind) for row in rows]
    other = [asked(row["paraphrases"][0], row["answer"], kind) for row in rows]
    near = [asked(row["neighbours"][0]["prompt"], row["neighbours"][0]["answer"], kind) for row in rows]
    before, began = generated(served, near), time.process_time()
    for at in range(0, len(new), size):
        learner.learn(model, Experience(f"edits {at}", tuple(new[at : at + size])))
    seconds = time.process_time() - began
    after = generated(served, near)
    return {
        "data": kind,
        "recipe": recipe,
        "edits": len(new),
        "reliability": fmean(map(begins, generated(served, new), new)),
        "reliability_forced": fmean(forced(served, model, new)),
        "generality": fmean(map(begins, generated(served, other), other)),
        "generality_forced": fmean(forced(served, model, other)),
        "locality": fmean(float(one == two) for one, two in zip(before, after, strict=True)),
        "seconds_an_edit": seconds / len(new),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", required=True)
    parser.add_argument("--edits", type=int, default=300)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--at-once", action="store_true")
    parser.add_argument("--only", nargs="*", default=RECIPES)
    parser.add_argument("--write", type=Path)
    given = parser.parse_args()
    found = []
    for kind in ("counterfact", "zsre"):
        rows = edits(given.data / kind / "edits.jsonl.gz", given.first, given.edits)
        for recipe in given.only:
            found.append(one := measured(kind, recipe, rows, given.model, given.at_once))
            print("  ".join(f"{value:.3f}" if isinstance(value, float) else str(value) for value in one.values()), flush=True)
    if given.write:
        again = {(one["data"], one["recipe"]) for one in found}
        earlier = json.loads(given.write.read_text())["runs"] if given.write.exists() else []
        write_json(given.write, {"runs": [*(one for one in earlier if (one["data"], one["recipe"]) not in again), *found]})


if __name__ == "__main__":
    main()
