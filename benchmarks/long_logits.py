"""Logits made some tokens at a time against whole ones: the peak of memory and the time of a step's forward and backward pass.

    python benchmarks/long_logits.py [--pairs 3] [--positions 2048 8192] [--vocabulary 32768] [--hidden 256] [--out runs/bench/long_logits.json]

A Llama of two layers, fresh, rows of 128 tokens, every one learned but the first; each measurement is a process of its own, and does one small pass before.
The memory is the largest resident size of the process less that before the pass. Before the time the losses are compared: they must be equal to 1e-5.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
from pathlib import Path
from time import process_time

import torch
from timing import machine
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerBase

from everlearn import CausalModel, Example, Row, load_model
from everlearn.learn.objectives.base import Supervised
from everlearn.models import late
from everlearn.results import write_json

WIDTH = 128  # tokens a row


def model_of(vocabulary: int, hidden: int, tokenizer: PreTrainedTokenizerBase) -> CausalModel:
    torch.manual_seed(0)
    sides = {"hidden_size": hidden, "intermediate_size": 2 * hidden, "num_hidden_layers": 2, "num_attention_heads": 4, "max_position_embeddings": WIDTH}
    return CausalModel(LlamaForCausalLM(LlamaConfig(vocab_size=vocabulary, tie_word_embeddings=True, **sides)), tokenizer)


def one_pass(model: CausalModel, positions: int) -> float:
    """The loss of rows with so many learned tokens, after its backward pass."""
    size, made = int(model.module.config.vocab_size), torch.Generator().manual_seed(positions)
    texts = torch.randint(size, (-(-positions // (WIDTH - 1)), WIDTH), generator=made).tolist()
    batch = model.batch([Row(Example(text=str(n)), tuple(tokens), tuple(range(1, WIDTH))) for n, tokens in enumerate(texts)])
    loss = Supervised().loss(model, batch, model.outputs(batch)).sum() / len(batch.targets)
    loss.backward()
    return float(loss)


def measure(way: str, positions: int, vocabulary: int, hidden: int) -> dict[str, float]:
    """This process's own figures."""
    torch.set_num_threads(1)
    model = model_of(vocabulary, hidden, load_model("tiny").tokenizer)
    most, late.MOST_LOGITS = late.MOST_LOGITS, 1 << 60
    one_pass(model, WIDTH)
    late.MOST_LOGITS = most if way == "parts" else 1 << 60
    before, began = peak(), process_time()
    loss = one_pass(model, positions)
    return {"loss": loss, "seconds": process_time() - began, "bytes": peak() - before}


def peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--pairs", type=int, default=3)
    options.add_argument("--positions", type=int, nargs="+", default=[2048, 8192])
    options.add_argument("--vocabulary", type=int, default=32_768)
    options.add_argument("--hidden", type=int, default=256)
    options.add_argument("--out", type=Path, default=Path("runs/bench/long_logits.json"))
    options.add_argument("--one", help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.one:
        print(json.dumps(measure(given.one, given.positions[0], given.vocabulary, given.hidden)))
        return
    table = []
    for positions in given.positions:
        found: dict[str, list[dict[str, float]]] = {"parts": [], "whole": []}
        for number in range(given.pairs):
            for way in sorted(found, reverse=bool(number % 2)):
                asked = ["--one", way, "--positions", str(positions), "--vocabulary", str(given.vocabulary), "--hidden", str(given.hidden)]
                told = subprocess.run([sys.executable, __file__, *asked], check=True, capture_output=True, text=True)
                found[way].append(json.loads(told.stdout.splitlines()[-1]))
        apart = max(abs(one["loss"] - other["loss"]) / other["loss"] for one, other in zip(found["parts"], found["whole"], strict=True))
        assert apart < 1e-5, f"the losses differ by {apart:.1e}"
        ratios = [one["seconds"] / other["seconds"] for one, other in zip(found["parts"], found["whole"], strict=True)]
        size = {way: statistics.median(one["bytes"] for one in runs) / 2**20 for way, runs in found.items()}
        row = {"positions": positions, "vocabulary": given.vocabulary, "CPU time": statistics.median(ratios), "times": ratios, "MiB": size, "apart": apart}
        print(f"{positions} x {given.vocabulary}: CPU time {row['CPU time']:.2f} of whole, peak {size['parts']:.0f} MiB for {size['whole']:.0f}", flush=True)
        table.append(row)
    write_json(given.out, {"machine": machine(), "pairs": given.pairs, "hidden": given.hidden, "table": table})


if __name__ == "__main__":
    main()
