"""What one more pass of a model costs, in tokens: what `tokens_a_pass` rests on (models/batch.py).

    python benchmarks/passes.py [--device cuda]

Forward and backward pass of fresh Llamas without a head, in float32 and in bfloat16: 2 rows of 32 tokens, where launching is nearly all, and 32 of 512. What
the first takes, over what a token takes in the second, is the tokens that a pass is worth: the fewer, the wider the model.
"""

from __future__ import annotations

import argparse
import statistics
from contextlib import nullcontext
from time import perf_counter

import torch
from transformers import LlamaConfig, LlamaModel

SHAPES = ((256, 6), (768, 12), (2048, 8), (4096, 4))  # width, layers
SMALL, LARGE = (2, 32), (32, 512)  # rows, tokens of each


def seconds(model: LlamaModel, shape: tuple[int, int], device: torch.device, bf16: bool, turns: int = 6) -> float:
    """The median of the later turns."""
    tokens, found = torch.randint(0, 4000, shape, device=device), []
    for _ in range(turns):
        begun = waited(device)
        with torch.autocast(device.type, dtype=torch.bfloat16) if bf16 else nullcontext():
            states = model(input_ids=tokens, attention_mask=torch.ones_like(tokens), use_cache=False).last_hidden_state
        states.float().pow(2).sum().backward()
        found.append(waited(device) - begun)
    return statistics.median(found[1:])


def waited(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return perf_counter()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--widths", type=int, nargs="*", default=[width for width, _ in SHAPES])
    given = parser.parse_args()
    device = torch.device(given.device)
    for width, layers in (shape for shape in SHAPES if shape[0] in given.widths):
        sizes = {"hidden_size": width, "intermediate_size": 4 * width, "num_hidden_layers": layers, "num_attention_heads": max(1, width // 64)}
        model = LlamaModel(LlamaConfig(vocab_size=4000, max_position_embeddings=512, **sizes)).to(device)
        for bf16 in (False, True):
            few, many = (seconds(model, shape, device, bf16) for shape in (SMALL, LARGE))
            worth = few * LARGE[0] * LARGE[1] / many
            name, unit = "bfloat16" if bf16 else "float32", worth * width**2 / 2**30
            print(
                f"width {width:5} {name:8} least {1e3 * few:6.1f} ms, 16,384 tokens {1e3 * many:7.1f} ms: {worth:7,.0f} tokens, {unit:.2f} x 2**30", flush=True
            )


if __name__ == "__main__":
    main()
