"""Plain training on ragged instruction rows against what people would pick instead, at equal learned tokens.

    python benchmarks/plain_speed.py STREAM [--pairs 15] [--rows 32] [--sizes 6.5M 1M] [--out runs/bench/plain_speed.json]

STREAM: a stream's folder, such as `instructions`. Four rivals learn the same rows, in the same order, 16 a step, with the same AdamW and clipping:

    equal batches   a hand-written loop over the batches that everlearn makes, output head on learned positions only
    padded          a hand-written loop as most are: a step's rows padded to the longest, logits everywhere, the model's own loss
    Trainer         transformers' Trainer with its collator for padding
    SFTTrainer      TRL's, its gradient checkpointing (on by default) and bf16 off

Before the time the values are compared: the loss of every step must be equal to 1e-5 of itself at the first, to 1e-4 at the last.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from random import Random

import torch
from datasets import Dataset
from datasets.utils.logging import disable_progress_bar
from llamas import subject
from timing import Began, Clock, Figure, Run, figure, interleaved, now, parser, told
from torch.nn import functional
from transformers import DataCollatorForTokenClassification, PrinterCallback, Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from trl import SFTConfig, SFTTrainer

from everlearn import CausalModel, Example, Experience, Gradient, Row, Settings
from everlearn.models.batch import by_length

SETTINGS = Settings(rate=1e-4, passes=1, batch=16)
Tensors = tuple[torch.Tensor, torch.Tensor, torch.Tensor]
Loop = Callable[[CausalModel, list[Example], Clock], list[float]]  # the loss of every step
EQUAL, AHEAD = 1.02, 0.70


def plain(model: CausalModel, examples: list[Example], clock: Clock) -> list[float]:
    """everlearn; of its loop the weights at the end are compared, not the losses."""
    Gradient([Began(clock)], SETTINGS).learn(model, Experience("1", tuple(examples)), lambda step, state: clock.append(now()))
    return []


def equal(model: CausalModel, examples: list[Example], clock: Clock) -> list[float]:
    """By hand over the batches that everlearn makes."""

    def step(rows: list[Row]) -> torch.Tensor:
        count, total = sum(len(row.learned) for row in rows), torch.zeros(())
        for part in by_length(rows, SETTINGS.micro_tokens):
            tokens, mask, targets = (of[:, :-1] for of in tensors(list(part), model.pad))  # a row's last token predicts nothing
            learned = targets != -100
            hidden = model.module.model(input_ids=tokens, attention_mask=mask, use_cache=False).last_hidden_state
            loss = functional.cross_entropy(model.module.lm_head(hidden[learned]), targets[learned], reduction="sum") / count
            loss.backward()
            total += loss.detach()
        return total

    return by_hand(model, examples, clock, step)


def padded(model: CausalModel, examples: list[Example], clock: Clock) -> list[float]:
    """By hand, a step's rows padded to its longest."""

    def step(rows: list[Row]) -> torch.Tensor:
        tokens, mask, targets = tensors(rows, model.pad)
        logits = model.module(input_ids=tokens, attention_mask=mask, use_cache=False).logits
        loss = functional.cross_entropy(logits.flatten(0, 1), targets.flatten())
        loss.backward()
        return loss.detach()

    return by_hand(model, examples, clock, step)


def by_hand(model: CausalModel, examples: list[Example], clock: Clock, step: Callable[[list[Row]], torch.Tensor]) -> list[float]:
    losses = []
    optimizer = torch.optim.AdamW(model.module.parameters(), lr=SETTINGS.rate, weight_decay=0.0, fused=True)
    model.module.train()
    clock.append(now())
    for rows in steps(model, examples):
        optimizer.zero_grad()
        losses.append(step(rows))
        torch.nn.utils.clip_grad_norm_(model.module.parameters(), 1.0)
        optimizer.step()
        clock.append(now())
    return [float(loss) for loss in losses]


def steps(model: CausalModel, examples: list[Example]) -> list[list[Row]]:
    """The rows of each step as everlearn orders them."""
    rows = model.encoder.rows(examples)
    order, count = Random("0/0/pass0").sample(rows, len(rows)), SETTINGS.steps(len(rows))
    return [order[number * len(rows) // count : (number + 1) * len(rows) // count] for number in range(count)]


def tensors(rows: list[Row], pad: int) -> Tensors:
    """tokens, mask and targets, (B, T); the target of a position is the token after it, or -100."""
    width = max(len(row.tokens) for row in rows)
    tokens, mask = torch.full((len(rows), width), pad), torch.zeros(len(rows), width, dtype=torch.long)
    targets = torch.full((len(rows), width), -100)
    for i, row in enumerate(rows):
        tokens[i, : len(row.tokens)], mask[i, : len(row.tokens)] = torch.tensor(row.tokens), 1
        targets[i, torch.tensor(row.learned) - 1] = torch.tensor([row.tokens[at] for at in row.learned])
    return tokens, mask, targets


class Noting(TrainerCallback):
    """Notes the time after every step, and the losses that are logged."""

    def __init__(self, clock: Clock) -> None:
        self.clock, self.losses = clock, list[float]()

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **more: object) -> None:
        self.clock.append(now())

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **more: object) -> None:
        self.clock.append(now())

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, logs: dict[str, float] | None = None, **more: object) -> None:
        if logs and "loss" in logs:
            self.losses.append(logs["loss"])


def of_trainer(kind: type[Trainer], logged: bool) -> Loop:
    """transformers' Trainer or TRL's, on rows already encoded, in the order given."""

    def learn(model: CausalModel, examples: list[Example], clock: Clock) -> list[float]:
        rows = [row for part in steps(model, examples) for row in part]
        labels = [[token if at in set(row.learned) else -100 for at, token in enumerate(row.tokens)] for row in rows]
        data = Dataset.from_dict({"input_ids": [list(row.tokens) for row in rows], "labels": labels})
        noting = Noting(clock)
        with tempfile.TemporaryDirectory() as folder:
            how = {
                "output_dir": folder, "use_cpu": True, "per_device_train_batch_size": SETTINGS.batch, "num_train_epochs": 1, "learning_rate": SETTINGS.rate,
                "lr_scheduler_type": "constant", "weight_decay": 0.0, "max_grad_norm": 1.0, "optim": "adamw_torch_fused", "bf16": False, "report_to": [],
                "save_strategy": "no", "logging_strategy": "steps" if logged else "no", "logging_steps": 1, "disable_tqdm": True,
                "activation_checkpointing": False, "train_sampling_strategy": "sequential", "dataloader_pin_memory": False,
            }  # fmt: skip
            if kind is SFTTrainer:
                made: Trainer = SFTTrainer(
                    model.module, SFTConfig(**how, max_length=None), train_dataset=data, processing_class=model.tokenizer, callbacks=[noting]
                )
            else:
                collator = DataCollatorForTokenClassification(model.tokenizer)
                made = Trainer(model.module, TrainingArguments(**how), data_collator=collator, train_dataset=data, callbacks=[noting])
            made.remove_callback(PrinterCallback)
            made.train()
        return noting.losses

    return learn


def compared(model: CausalModel, start: dict[str, torch.Tensor], examples: list[Example]) -> dict[str, float]:
    """By rival the largest difference of a step's loss from the padded loop's, as a share of it; everlearn is compared by its weights at the end."""
    losses: dict[str, list[float]] = {}
    ends: dict[str, dict[str, torch.Tensor]] = {}
    trainers = {"Trainer": of_trainer(Trainer, True), "SFTTrainer": of_trainer(SFTTrainer, True)}
    for name, loop in {"plain": plain, "equal batches": equal, "padded": padded, **trainers}.items():
        model.load(start)
        losses[name] = loop(model, examples, [])
        ends[name] = model.state()
    wrong = {}
    for name, found in losses.items():
        if name != "plain":
            apart = [abs(one - other) / other for one, other in zip(found, losses["padded"], strict=True)]
            assert apart[0] < 1e-5, f"{name}: the first loss differs by {apart[0]:.1e}"
            assert max(apart) < 1e-4, f"{name}: a loss differs by {max(apart):.1e}"
            wrong[name] = max(apart)
    weights = max(float((ends["plain"][name] - value).abs().max()) for name, value in ends["equal batches"].items())
    assert weights < 1e-5, f"everlearn's weights at the end differ by {weights:.1e}"
    return wrong | {"plain's weights": weights}


def measured(size: str, stream: Path, count: int, pairs: int) -> tuple[list[Figure], dict[str, object]]:
    model, examples = subject(size, stream, count)
    start = model.state()
    values = compared(model, start, examples)
    print(f"{size}: {sum(p.numel() for p in model.module.parameters()):,} parameters; losses differ by at most {max(values.values()):.1e}", flush=True)

    def run(loop: Loop) -> Run:
        def learn(clock: Clock) -> None:
            model.load(start)
            loop(model, examples, clock)

        return learn

    rivals: dict[str, Loop] = {"equal batches": equal, "padded": padded, "Trainer": of_trainer(Trainer, False), "SFTTrainer": of_trainer(SFTTrainer, False)}
    times = interleaved({name: run(loop) for name, loop in {"plain": plain, **rivals}.items()}, pairs, Random(0))
    figures = [
        figure(f"{size} plain / {name}", times["plain"], times[name], EQUAL if name == "equal batches" else AHEAD, by_step=name == "equal batches")
        for name in rivals
    ]
    rows = model.encoder.rows(examples)
    tokens = {"rows": len(rows), "tokens": sum(len(r.tokens) for r in rows), "learned tokens": sum(len(r.learned) for r in rows)}
    parameters = sum(p.numel() for p in model.module.parameters())
    return figures, {"parameters": parameters, **tokens, "padded tokens": padded_tokens(model, examples), "losses differ by": values}


def padded_tokens(model: CausalModel, examples: list[Example]) -> dict[str, int]:
    """What is read with padding, by everlearn and by a loop that pads to a step's longest."""
    parts = steps(model, examples)
    ours = sum(len(run) * max(row.learned[-1] for row in run) for rows in parts for run in by_length(rows, SETTINGS.micro_tokens))
    return {"everlearn": ours, "padded": sum(len(rows) * max(len(row.tokens) for row in rows) for rows in parts)}


def main() -> None:
    options = parser(__doc__, 15, "runs/bench/plain_speed.json")
    options.add_argument("stream", type=Path)
    options.add_argument("--rows", type=int, default=32)
    options.add_argument("--sizes", nargs="+", default=["6.5M", "1M"])
    given = options.parse_args()
    torch.set_num_threads(given.threads)
    disable_progress_bar()
    figures, about = [], {}
    for size in given.sizes:
        found, about[size] = measured(size, given.stream, given.rows, given.pairs)
        figures += found
    told(figures, given.out, about=about)


if __name__ == "__main__":
    main()
