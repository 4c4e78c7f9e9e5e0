"""A whole experience beside Avalanche 0.6 on the same work: EWC, LwF, replay, SI, MAS and A-GEM, each over its own library's plain training.

    make bench-peers        or        .venv-peers/bin/python benchmarks/peers.py [--pairs 5] [--rows 64] [--size 1M] [--out runs/bench/peers.json]

Avalanche knows classification alone: the model is wrapped to give the last position's logits, and the token that answers is the class. Both learn the
same rows of equal length, so that neither pads, 16 a step, one pass, AdamW, the same strength: a second experience after a first, whose Fisher, buffer,
teacher or importance was taken before the clock starts; what comes after the second (its Fisher, on equal rows) is inside. Avalanche squares the mean gradient
of 16 rows and calls it Fisher, and takes the size of the mean gradient of 16 rows for MAS: beside them stand ours of the same formula ("batched"), and those of
single rows as rows of their own. Before the time the values are compared: both give the same loss.

A method's figures are our CPU time over theirs, and each one's over plain training of the same library.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import torch
from torch import Tensor, nn
from torch.nn import functional

_library = torch.library.Library("torchvision", "DEF")  # there is no CPU build of torchvision for this torch: its operators are declared, never called
_library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
_library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

from avalanche.benchmarks import benchmark_from_datasets  # noqa: E402
from avalanche.benchmarks.utils.classification_dataset import _make_taskaware_tensor_classification_dataset as as_dataset  # noqa: E402
from avalanche.training.plugins import EvaluationPlugin  # noqa: E402
from avalanche.training.supervised import AGEM as TheirAGEM  # noqa: E402
from avalanche.training.supervised import EWC as TheirEWC  # noqa: E402
from avalanche.training.supervised import MAS as TheirMAS  # noqa: E402
from avalanche.training.supervised import LwF, Naive, SynapticIntelligence  # noqa: E402
from avalanche.training.supervised import Replay as TheirReplay  # noqa: E402
from llamas import llama  # noqa: E402
from timing import Clock, Figure, Run, figure, interleaved, now, parser, told  # noqa: E402

from everlearn import AGEM, EWC, MAS, SI, CausalModel, Distill, Example, Experience, Gradient, Method, Replay, Row, Settings  # noqa: E402

BATCH, RATE, WIDTH = 16, 1e-4, 32
SETTINGS = Settings(rate=RATE, passes=1, batch=BATCH, clip=0)
NAMES = ("plain", "ewc", "ewc of single rows", "lwf", "replay", "si", "mas", "mas of single rows", "agem")


class LastPosition(nn.Module):
    """The language model as a classifier: tokens (B, T) to the last position's logits (B, V)."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, tokens: Tensor) -> Tensor:
        return self.module(input_ids=tokens, use_cache=False, logits_to_keep=1).logits[:, -1]  # type: ignore[no-any-return]


def given_rows(model: CausalModel, count: int, seed: int) -> list[Row]:
    """Rows of WIDTH tokens and one learned token after them, drawn at random."""
    draw, size = Random(seed), int(model.module.config.vocab_size)
    rows = []
    for at in range(count):
        tokens = tuple(draw.randrange(2, size) for _ in range(WIDTH + 1))
        rows.append(Row(Example(prompt=f"{seed}/{at}", completion=f" {at}"), tokens, (WIDTH,)))
    return rows


def ours(name: str, rows: int) -> list[Method]:
    made: dict[str, Callable[[], Method]] = {
        "ewc": lambda: EWC(1.0, samples=rows, normalise=False, fisher="batched"),
        "ewc of single rows": lambda: EWC(1.0, samples=rows, normalise=False),
        "lwf": lambda: Distill(1.0, temperature=2.0),
        "replay": lambda: Replay(1.0, rows=rows),
        "si": lambda: SI(1.0),
        "mas": lambda: MAS(1.0, samples=rows, normalise=False, sensitivity="batched"),
        "mas of single rows": lambda: MAS(1.0, samples=rows, normalise=False),
        "agem": lambda: AGEM(1.0, rows=rows),
    }
    return [made[name]()] if name in made else []


def theirs(name: str, model: nn.Module, rows: int):  # type: ignore[no-untyped-def]
    """Avalanche's strategy of that name, with the same settings."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.0, fused=True)
    how = {
        "model": model, "optimizer": optimizer, "criterion": nn.CrossEntropyLoss(), "train_mb_size": BATCH, "train_epochs": 1, "device": "cpu",
        "evaluator": EvaluationPlugin(loggers=[]),
    }  # fmt: skip
    made = {
        "plain": lambda: Naive(**how), "ewc": lambda: TheirEWC(ewc_lambda=1.0, mode="online", decay_factor=1.0, **how),
        "lwf": lambda: LwF(alpha=1.0, temperature=2.0, **how), "replay": lambda: TheirReplay(mem_size=rows, **how),
        "si": lambda: SynapticIntelligence(si_lambda=1.0, **how), "mas": lambda: TheirMAS(lambda_reg=1.0, **how),
        "agem": lambda: TheirAGEM(patterns_per_exp=rows, sample_size=BATCH, **how),
    }  # fmt: skip
    return made[name.removesuffix(" of single rows")]()


class Encoded:
    """An encoder that knows the rows by their examples: both libraries learn these very tokens."""

    def __init__(self, model: CausalModel, rows: list[Row]) -> None:
        self.known, self.inner = {row.id: row for row in rows}, model.encoder

    def rows(self, examples: list[Example], from_memory: bool = False) -> list[Row]:
        found = [self.known[example.id] for example in examples]
        return [Row(row.example, row.tokens, row.learned, from_memory) for row in found]

    def __getattr__(self, name: str) -> object:
        return getattr(self.inner, name)


def run_ours(make: Callable[[], CausalModel], name: str, parts: list[list[Row]]) -> Run:
    def learn(clock: Clock) -> None:
        model = make()
        model.encoder = Encoded(model, [row for part in parts for row in part])  # type: ignore[assignment]
        learner = Gradient(ours(name, len(parts[0])), SETTINGS)
        learner.prepare(model)
        learner.learn(model, Experience("1", tuple(row.example for row in parts[0])))
        clock.append(now())
        learner.learn(model, Experience("2", tuple(row.example for row in parts[1])))
        clock.append(now())

    return learn


def run_theirs(make: Callable[[], CausalModel], name: str, parts: list[list[Row]]) -> Run:
    def learn(clock: Clock) -> None:
        datasets = [
            as_dataset(torch.tensor([row.tokens[:-1] for row in part]), torch.tensor([row.tokens[-1] for row in part]), task_labels=0) for part in parts
        ]
        stream = benchmark_from_datasets(train=datasets, test=datasets).train_stream
        strategy = theirs(name, LastPosition(make().module), len(parts[0]))
        strategy.train(stream[0], num_workers=0)
        clock.append(now())
        strategy.train(stream[1], num_workers=0)
        clock.append(now())

    return learn


def values_equal(make: Callable[[], CausalModel], rows: list[Row]) -> float:
    """The largest difference of the loss on a batch, ours and theirs, as a share of it."""
    model = make()
    batch = model.batch(rows[:BATCH])
    one = float(functional.cross_entropy(model.logits(batch).logits, batch.targets))
    wrapped = LastPosition(model.module)(torch.tensor([row.tokens[:-1] for row in rows[:BATCH]]))
    apart = abs(one - float(functional.cross_entropy(wrapped, torch.tensor([row.tokens[-1] for row in rows[:BATCH]])))) / one
    assert apart < 1e-5, f"the losses differ by {apart:.1e}"
    return apart


def main() -> None:
    options = parser(__doc__, 15, "runs/bench/peers.json")
    options.add_argument("--rows", type=int, default=64)
    options.add_argument("--size", default="1M")
    options.add_argument("--names", nargs="+", default=list(NAMES))
    given = options.parse_args()
    torch.set_num_threads(given.threads)

    def make() -> CausalModel:
        return llama(given.size, ["a text"])

    parts = [given_rows(make(), given.rows, seed) for seed in (1, 2)]
    apart = values_equal(make, parts[0])
    rivals: dict[str, Run] = {}
    for name in given.names:
        rivals[f"ours {name}"], rivals[f"theirs {name}"] = run_ours(make, name, parts), run_theirs(make, name, parts)
    times = interleaved(rivals, given.pairs, Random(0))
    figures: list[Figure] = []
    for name in given.names:
        figures.append(figure(f"{name}: ours / Avalanche", times[f"ours {name}"], times[f"theirs {name}"], 1.0))
        if name != "plain" and "plain" in given.names:
            figures += [figure(f"{name} / plain, {who}", times[f"{who} {name}"], times[f"{who} plain"]) for who in ("ours", "theirs")]
    told(figures, given.out, rows=given.rows, size=given.size, losses_differ_by=apart)


if __name__ == "__main__":
    main()
