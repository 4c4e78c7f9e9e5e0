"""What a step's forward and backward pass needs: logits made some tokens at a time against whole ones, blocks computed again against kept ones.

    python benchmarks/step_memory.py [--pairs 3] [--positions 4608 8192] [--hidden 256] [--out runs/bench/step_memory.json]

Fresh Llamas, rows of 128 tokens, every one learned but the first: of two layers with a vocabulary of 32,768 for the logits, of eight with 2,048 for the blocks.
Each measurement is a process of its own, and does one small pass before. The memory is the largest resident size of the process less that before the pass.
Before the time the losses are compared: they must be equal to 1e-5.
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
from everlearn.models.recompute import blocks_of, recomputed
from everlearn.results import write_json

WIDTH = 128  # tokens a row
SHAPES = {"parts": (32_768, 2), "whole": (32_768, 2), "recomputed": (2048, 8), "kept": (2048, 8)}  # vocabulary, layers
PAIRS = (("parts", "whole"), ("recomputed", "kept"))


def model_of(way: str, hidden: int, tokenizer: PreTrainedTokenizerBase) -> CausalModel:
    torch.manual_seed(0)
    vocabulary, layers = SHAPES[way]
    sides = {"hidden_size": hidden, "intermediate_size": 2 * hidden, "num_hidden_layers": layers, "num_attention_heads": 4, "max_position_embeddings": WIDTH}
    return CausalModel(LlamaForCausalLM(LlamaConfig(vocab_size=vocabulary, tie_word_embeddings=True, **sides)).train(), tokenizer)


def one_pass(model: CausalModel, positions: int, again: bool) -> float:
    """The loss of rows with so many learned tokens, after its backward pass."""
    size, made = int(model.module.config.vocab_size), torch.Generator().manual_seed(positions)
    texts = torch.randint(size, (-(-positions // (WIDTH - 1)), WIDTH), generator=made).tolist()
    batch = model.batch([Row(Example(text=str(n)), tuple(tokens), tuple(range(1, WIDTH))) for n, tokens in enumerate(texts)])
    with recomputed(blocks_of(model.module) if again else ()):
        loss = Supervised().loss(model, batch, model.outputs(batch)).sum() / len(batch.targets)
    loss.backward()
    return float(loss)


def measure(way: str, positions: int, hidden: int) -> dict[str, float]:
    """This process's own figures."""
    torch.set_num_threads(1)
    model = model_of(way, hidden, load_model("tiny").tokenizer)
    if way == "whole":
        late.MOST_LOGITS = 1 << 60
    one_pass(model, WIDTH, way == "recomputed")
    before, began = peak(), process_time()
    loss = one_pass(model, positions, way == "recomputed")
    return {"loss": loss, "seconds": process_time() - began, "bytes": peak() - before}


def peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def compared(one: str, other: str, positions: int, hidden: int, pairs: int) -> dict[str, object]:
    """One way against another, in turns."""
    found: dict[str, list[dict[str, float]]] = {one: [], other: []}
    for number in range(pairs):
        for way in sorted(found, reverse=bool(number % 2)):
            asked = ["--one", way, "--positions", str(positions), "--hidden", str(hidden)]
            told = subprocess.run([sys.executable, __file__, *asked], check=True, capture_output=True, text=True)
            found[way].append(json.loads(told.stdout.splitlines()[-1]))
    apart = max(abs(a["loss"] - b["loss"]) / b["loss"] for a, b in zip(found[one], found[other], strict=True))
    assert apart < 1e-5, f"the losses differ by {apart:.1e}"
    ratios = [a["seconds"] / b["seconds"] for a, b in zip(found[one], found[other], strict=True)]
    size = {way: statistics.median(run["bytes"] for run in runs) / 2**20 for way, runs in found.items()}
    time = statistics.median(ratios)
    print(f"{positions} tokens: {one} {size[one]:.0f} MiB, {other} {size[other]:.0f} MiB; CPU time {time:.2f} of {other}'s", flush=True)
    return {"ways": [one, other], "positions": positions, "MiB": size, "CPU time": time, "times": ratios, "losses differ by": apart}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--pairs", type=int, default=3)
    options.add_argument("--positions", type=int, nargs="+", default=[4608, 8192])
    options.add_argument("--hidden", type=int, default=256)
    options.add_argument("--out", type=Path, default=Path("runs/bench/step_memory.json"))
    options.add_argument("--one", choices=list(SHAPES), help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.one:
        print(json.dumps(measure(given.one, given.positions[0], given.hidden)))
        return
    table = [compared(*pair, positions, given.hidden, given.pairs) for pair in PAIRS for positions in given.positions]
    write_json(given.out, {"machine": machine(), "pairs": given.pairs, "hidden": given.hidden, "table": table})


if __name__ == "__main__":
    main()
