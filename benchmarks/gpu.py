"""What a GPU gives: plain training beside a loop by hand, TF32 and bfloat16, what methods cost, and memory.

    python benchmarks/gpu.py [--pairs 5] [--steps 6] [--hidden 768] [--layers 12] [--vocabulary 32768] [--out runs/bench/gpu.json]

One command on a machine with one CUDA device; where there is none it says so and ends with code 2. A fresh Llama learns rows of random tokens, 64 to 512
long, a third of them learned, 16 a step. Rivals run in turns, in random order; a figure is the ratio of the wall times of an experience in the same round,
its steps each waited for, the median over rounds. Memory is the most that torch held at once beyond what it held before. Before the time the last step's
losses are compared. `--device cpu` is there to try the command; its numbers mean nothing.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from random import Random
from time import perf_counter
from unittest.mock import patch

import torch
from timing import machine
from torch.nn import functional
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerBase

from everlearn import EWC, L2SP, CausalModel, Distill, Example, Gradient, Method, Row, Settings, load_model
from everlearn.learn.fit import fit
from everlearn.learn.objectives.base import Supervised
from everlearn.models import late
from everlearn.models.batch import MOST_PADDING, by_length
from everlearn.results import write_json

BASE = Settings(rate=1e-4, passes=1, batch=16)
Run = Callable[[], float]  # the seconds of an experience


def subject(given: argparse.Namespace, tokenizer: PreTrainedTokenizerBase) -> CausalModel:
    torch.manual_seed(0)
    shape = {"hidden_size": given.hidden, "intermediate_size": 4 * given.hidden, "num_hidden_layers": given.layers, "max_position_embeddings": 512}
    config = LlamaConfig(vocab_size=given.vocabulary, num_attention_heads=max(1, given.hidden // 64), tie_word_embeddings=True, **shape)
    return CausalModel(LlamaForCausalLM(config).to(given.device), tokenizer, "llama")


def rows_of(count: int, vocabulary: int) -> list[Row]:
    """Rows of random tokens whose last third is learned."""
    random, found = Random(0), []
    for number in range(count):
        tokens = tuple(random.randrange(vocabulary) for _ in range(random.randint(64, 512)))
        found.append(Row(Example(text=str(number)), tokens, tuple(range(2 * len(tokens) // 3, len(tokens)))))
    return found


class Bench:
    """The model, its start and the rows; a run learns them from that start."""

    def __init__(self, given: argparse.Namespace) -> None:
        self.given, self.device = given, torch.device(given.device)
        self.model = subject(given, load_model("tiny", device="cpu").tokenizer)
        self.start, self.rows = self.model.state(), rows_of(BASE.batch * given.steps, given.vocabulary)
        self.losses: dict[str, float] = {}

    def wait(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return perf_counter()

    def plain(self, name: str, settings: Settings = BASE, methods: Sequence[Method] = (), tf32: bool = False) -> Run:
        """everlearn's loop; what a method does before and after the steps counts too."""

        def run() -> float:
            self.model.load(self.start)
            optimizer = torch.optim.AdamW(self.model.trained().values(), lr=settings.rate, weight_decay=0.0, fused=True)
            torch.set_float32_matmul_precision("high" if tf32 else "highest")
            began = self.wait()
            log = fit(self.model, self.rows, Supervised(), methods, optimizer, settings, "0", checkpoint=lambda step, state: self.wait() and None)
            self.losses[name] = log.loss
            return self.wait() - began

        return run

    def in_parts(self, name: str, settings: Settings) -> Run:
        """As plain, the rows of a step cut as for a CPU, where padding costs more than another pass."""

        def run() -> float:
            with patch.object(CausalModel, "tokens_a_pass", return_value=MOST_PADDING):
                return self.plain(name, settings)()

        return run

    def by_hand(self, precision: str = "no") -> Run:
        """A loop over the same batches, head and loss on learned positions."""

        def run() -> float:
            self.model.load(self.start)
            optimizer = torch.optim.AdamW(self.model.module.parameters(), lr=BASE.rate, weight_decay=0.0, fused=True)
            torch.set_float32_matmul_precision("highest")
            self.model.module.train()
            order, count, loss = Random("0/pass0").sample(self.rows, len(self.rows)), BASE.steps(len(self.rows)), 0.0
            began = self.wait()
            for number in range(count):
                rows = order[number * len(order) // count : (number + 1) * len(order) // count]
                optimizer.zero_grad()
                total = torch.zeros((), device=self.device)
                for part in by_length(rows, BASE.micro_tokens, self.model.tokens_a_pass(precision)):
                    batch = self.model.batch(part)
                    with torch.autocast(self.device.type, dtype=torch.bfloat16) if precision == "bf16" else nullcontext():
                        hidden = self.model.module.model(input_ids=batch.tokens, attention_mask=batch.mask, use_cache=False).last_hidden_state
                        logits = self.model.module.lm_head(hidden.flatten(0, 1)[batch.at])
                    value = functional.cross_entropy(logits.float(), batch.targets, reduction="sum") / sum(len(row.learned) for row in rows)
                    value.backward()
                    total += value.detach()
                torch.nn.utils.clip_grad_norm_(self.model.module.parameters(), 1.0)
                optimizer.step()
                self.wait()
                loss = float(total)
            self.losses["by hand" if precision == "no" else f"by hand {precision}"] = loss
            return self.wait() - began

        return run

    def most_bytes(self, run: Run) -> int:
        """What torch holds at most in a run beyond what it held before; 0 on a CPU."""
        if self.device.type != "cuda":
            run()
            return 0
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(self.device)
        before = torch.cuda.memory_allocated(self.device)
        run()
        return torch.cuda.max_memory_allocated(self.device) - before


def remembered(bench: Bench, method: Method) -> Method:
    """A method with a past, that takes no further one."""
    bench.model.load(bench.start)
    Gradient([method], BASE).remember(bench.model, [Example(text=f"Something that was known, the {n}th time.") for n in range(16)])
    method.end = lambda model, step, random: None  # type: ignore[method-assign]
    return method


def runs_of(bench: Bench) -> tuple[dict[str, Run], list[tuple[str, str]]]:
    """The rivals, and which is divided by which."""
    bf16 = replace(BASE, precision="bf16")
    runs = {
        "plain": bench.plain("plain"),
        "by hand": bench.by_hand(),
        "plain tf32": bench.plain("plain tf32", tf32=True),
        "plain bf16": bench.plain("plain bf16", bf16),
        "by hand bf16": bench.by_hand("bf16"),
        "recomputed": bench.plain("recomputed", replace(BASE, activation_checkpointing=True)),
        "plain bf16 in parts": bench.in_parts("plain bf16 in parts", bf16),
        "l2_sp": bench.plain("l2_sp", methods=[L2SP(0.01)]),
        "ewc": bench.plain("ewc", methods=[remembered(bench, EWC(1.0))]),
        "distill": bench.plain("distill", methods=[Distill()]),
    }
    others = [("plain", "by hand"), ("plain bf16", "by hand bf16"), ("plain tf32", "plain"), ("plain bf16", "plain")]
    others += [("plain bf16", "plain bf16 in parts"), ("recomputed", "plain")]
    return runs, others + [(name, "plain") for name in ("l2_sp", "ewc", "distill")]


def alike(found: dict[str, float]) -> dict[str, float]:
    """By rival how far its last loss is from plain's, as a share of it. Raises AssertionError where it is further than its precision allows."""
    apart = {name: abs(value - found["plain"]) / found["plain"] for name, value in found.items()}
    for name, far in apart.items():
        allowed = 2e-2 if "bf16" in name or "tf32" in name else 1e-4 if name in ("by hand", "recomputed") else 1.0
        assert far <= allowed, f"{name}: its loss is {far:.1e} from plain's"
    return apart


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in (("pairs", 5), ("steps", 6), ("hidden", 768), ("layers", 12), ("vocabulary", 32_768)):
        options.add_argument(f"--{name}", type=int, default=value)
    options.add_argument("--device", default="cuda")
    options.add_argument("--out", type=Path, default=Path("runs/bench/gpu.json"))
    given = options.parse_args()
    if given.device.startswith("cuda") and not torch.cuda.is_available():
        print(f"This measures a GPU, and torch finds none here (torch {torch.__version__}). Run it on a machine with a CUDA device.", file=sys.stderr)
        raise SystemExit(2)
    bench, random = Bench(given), Random(0)
    runs, pairs = runs_of(bench)
    memory = {name: bench.most_bytes(run) for name, run in runs.items()}  # the first round, which warms up
    late.MOST_LOGITS, kept = 0, late.MOST_LOGITS
    memory["logits in parts"] = bench.most_bytes(runs["plain"])
    late.MOST_LOGITS = kept
    apart = alike(bench.losses)
    times: dict[str, list[float]] = {name: [] for name in runs}
    told = torch.cuda.get_device_name(bench.device) if bench.device.type == "cuda" else given.device
    about = {"machine": machine(), "device": told, "parameters": sum(p.numel() for p in bench.model.module.parameters()), "losses differ by": apart}
    for number in range(given.pairs):
        for name in random.sample(list(runs), len(runs)):
            times[name].append(runs[name]())
        ratios = {f"{one} / {other}": [a / b for a, b in zip(times[one], times[other], strict=True)] for one, other in pairs}
        tokens = sum(len(row.tokens) for row in bench.rows) / statistics.median(times["plain bf16"])
        write_json(given.out, {**about, "tokens a second": tokens, "ratios": ratios, "bytes": memory, "seconds": times})  # each round: a stopped run loses none
        print(f"round {number + 1} of {given.pairs}", file=sys.stderr, flush=True)
    for name, of in ratios.items():
        print(f"{name:34} {statistics.median(of):.3f} ({min(of):.3f} to {max(of):.3f})", flush=True)
    for name, size in memory.items():
        print(f"{name:34} {size / 2**20:,.0f} MiB", flush=True)
    print(f"plain bf16 reads {tokens:,.0f} tokens a second", flush=True)


if __name__ == "__main__":
    main()
