"""How many tokens are read for those that are there: cut by length as everlearn does, padded to a step's longest, and packed into lines of the longest.

    python benchmarks/padding.py STREAM [STREAM ...] [--sizes 1M 6.5M] [--pairs 5] [--vocabulary 8192] [--batch 16] [--out runs/bench/padding.json]

First counted: each stream's training rows, in its own byte-level BPE, as `plain` orders them. `at most N` is the padding that a micro-batch may have (512 by
default): less means more passes a step. Then timed, with a fresh Llama of each size: forward and backward pass of four steps, cut by length and packed, where
rows share lines as long as the step's longest (first fit), each seeing itself alone by a block-diagonal mask, with positions of its own. The losses are
compared: they must be equal to 1e-5.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from random import Random

import torch
from llamas import CONTEXT, bpe, subject, texts_of
from timing import Clock, Run, figure, interleaved, machine, now
from torch import Tensor
from torch.nn import functional

from everlearn import CausalModel, Row, Settings, load_stream
from everlearn.models.batch import MOST_PADDING, by_length
from everlearn.models.encode import Encoder
from everlearn.results import write_json

PADDINGS = (MOST_PADDING, 128, 32)


def counted(stream: Path, vocabulary: int, settings: Settings) -> dict[str, object]:
    experiences = list(load_stream(stream))
    encoder = Encoder(bpe(texts_of([e for experience in experiences for e in experience.train]), vocabulary), CONTEXT)
    read, passes, found = dict.fromkeys(PADDINGS, 0), dict.fromkeys(PADDINGS, 0), {"tokens": 0, "learned": 0, "padded": 0, "steps": 0}
    for number, experience in enumerate(experiences):
        rows = [row for row in encoder.rows(experience.train) if row.learned]
        order, count = Random(f"0/{number}/pass0").sample(rows, len(rows)), settings.steps(len(rows))
        for at in range(count):
            step = order[at * len(rows) // count : (at + 1) * len(rows) // count]
            found["steps"] += 1
            found["tokens"] += sum(row.learned[-1] for row in step)
            found["learned"] += sum(len(row.learned) for row in step)
            found["padded"] += len(step) * max(row.learned[-1] for row in step)
            for most in PADDINGS:
                parts = by_length(step, settings.micro_tokens, most)
                passes[most] += len(parts)
                read[most] += sum(len(part) * part[-1].learned[-1] for part in parts)
    ways = {str(most): {"read": read[most], "padding": 1 - found["tokens"] / read[most], "passes a step": passes[most] / found["steps"]} for most in PADDINGS}
    return {"stream": stream.name, **found, "padding to the longest": 1 - found["tokens"] / found["padded"], "most padding": ways}


def packed(model: CausalModel, rows: Sequence[Row]) -> tuple[dict[str, Tensor], Tensor, Tensor]:
    """What the module is given for a step's rows in lines of the longest, the places of the learned tokens' predictions among them, and the targets."""
    width, lines = max(row.learned[-1] for row in rows), list[list[Row]]()
    for row in sorted(rows, key=lambda row: -row.learned[-1]):
        room = (line for line in lines if sum(one.learned[-1] for one in line) + row.learned[-1] <= width)
        if (line := next(room, None)) is None:
            lines.append([row])
        else:
            line.append(row)
    tokens, positions = torch.full((len(lines), width), model.pad), torch.zeros(len(lines), width, dtype=torch.long)
    owner, keep, targets = torch.full((len(lines), width), -1), list[int](), list[int]()
    for number, line in enumerate(lines):
        start = 0
        for place, row in enumerate(line):
            here = slice(start, start + row.learned[-1])
            tokens[number, here], positions[number, here], owner[number, here] = torch.tensor(row.tokens[:-1]), torch.arange(row.learned[-1]), place
            keep += [number * width + start + at - 1 for at in row.learned]
            targets += [row.tokens[at] for at in row.learned]
            start += row.learned[-1]
    mask = (owner[:, :, None] == owner[:, None, :]) & torch.ones(width, width, dtype=torch.bool).tril()
    return {"input_ids": tokens, "position_ids": positions, "attention_mask": mask[:, None]}, torch.tensor(keep), torch.tensor(targets)


def timed(size: str, stream: Path, batch: int, pairs: int) -> dict[str, object]:
    """Packed steps' CPU time over that of steps cut by length, and how many tokens each reads."""
    model, examples = subject(size, stream, 4 * batch)
    rows = model.encoder.rows(examples)
    steps, read, losses = [rows[at : at + batch] for at in range(0, len(rows), batch)], dict[str, int](), dict[str, float]()
    model.module.train()

    def passes(way: str) -> Run:
        def run(clock: Clock) -> None:
            read[way], losses[way] = 0, 0.0
            clock.append(now())
            for step in steps:
                model.module.zero_grad()
                if way == "packed":
                    given, keep, targets = packed(model, step)
                    read[way] += given["input_ids"].numel()
                    losses[way] += back(model._at(keep, **given, use_cache=False)["logits"][0], targets)
                    continue
                for part in by_length(step, Settings().micro_tokens):
                    made = model.batch(part)
                    read[way] += made.tokens.numel()
                    losses[way] += back(model.logits(made).logits, made.targets)
            clock.append(now())

        return run

    times = interleaved({way: passes(way) for way in ("packed", "cut")}, pairs, Random(0))
    found = figure(f"{stream.name} {size} packed / cut by length", times["packed"], times["cut"])
    assert abs(losses["packed"] - losses["cut"]) < 1e-5 * losses["cut"], f"the losses differ: {losses}"
    print(f"{found.line}   reads {read['packed'] / read['cut']:.2f} of the tokens", flush=True)
    return {"stream": stream.name, "size": size, "read": read, **found.to_json()}


def back(logits: Tensor, targets: Tensor) -> float:
    loss = functional.cross_entropy(logits, targets, reduction="sum")
    loss.backward()
    return float(loss.detach())


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("streams", type=Path, nargs="+")
    options.add_argument("--sizes", nargs="*", default=["1M", "6.5M"])
    options.add_argument("--pairs", type=int, default=5)
    options.add_argument("--vocabulary", type=int, default=8192)
    options.add_argument("--batch", type=int, default=16)
    options.add_argument("--out", type=Path, default=Path("runs/bench/padding.json"))
    given = options.parse_args()
    table = [counted(stream, given.vocabulary, Settings(passes=1, batch=given.batch)) for stream in given.streams]
    for found in table:
        far = f"{found['padding to the longest']:.1%}"
        print(f"{found['stream']}: {found['tokens']:,} tokens, {found['learned']:,} learned; padded to a step's longest {far} padding")
        for most, way in found["most padding"].items():  # type: ignore[attr-defined]
            print(f"  at most {most:>4} a micro-batch: {way['padding']:.1%} padding, {way['passes a step']:.2f} passes a step", flush=True)
    torch.set_num_threads(1)
    times = [timed(size, stream, given.batch, given.pairs) for stream in given.streams for size in given.sizes]
    write_json(given.out, {"machine": machine(), "times": times, "vocabulary": given.vocabulary, "batch": given.batch, "table": table})


if __name__ == "__main__":
    main()
