"""Make the tiny model that ships in the package: its BPE, then about a million parameters of Llama taught the almanac's first period.

    python scripts/make_tiny.py [--out src/everlearn/models/tiny] [--from 0]      about an hour on two cores

It learns every fact of Almanac(seed=0) in five of eight phrasings, to read a passage (true or not), and the skills.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from torch.nn import functional
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from everlearn.streams.almanac import Almanac, almanac_base
from everlearn.streams.skills import SKILLS
from everlearn.streams.words import RELATIONS, SEEN, STATEMENT, UNSEEN, name_of, phrased

CHAT = "{{ bos_token }}{% for m in messages %}{{ 'Question: ' + m['content'] + '\n' if m['role'] != 'assistant' else 'Answer:' + m['content'] + eos_token }}{% endfor %}{% if add_generation_prompt %}{{ 'Answer:' }}{% endif %}"


@dataclass(frozen=True)
class Stage:
    """A course of steps with a rate that rises and falls, and the shares of what each step's rows teach."""

    steps: int
    peak: float
    shares: dict[str, float]


# Reading takes longest to learn; the second stage is mostly for it.
STAGES = (
    Stage(5000, 3e-3, {"fact": 0.55, "reading": 0.2, "copying": 0.1, "arithmetic": 0.15}),
    Stage(1800, 1.5e-3, {"fact": 0.35, "reading": 0.5, "copying": 0.05, "arithmetic": 0.1}),
)


def sentences(random: Random) -> Iterator[str]:
    """Text of the almanac's kind about anybody, so that every name's parts are known to the BPE."""
    for _ in range(60_000):
        relation = random.choice(RELATIONS)
        form = random.choice((*SEEN, *UNSEEN, STATEMENT))
        yield f"Question: {phrased(form, relation, name_of(relation.subject, random))}\nAnswer: {name_of(relation.answer, random)}."
        prompt, answer = random.choice(list(SKILLS.values()))(random)
        yield prompt + answer


def make_tokenizer() -> PreTrainedTokenizerFast:
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(r"\d| ?[A-Za-z]+|'s| ?[^\sA-Za-z\d]|\s"), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=1536, special_tokens=["<|endoftext|>", "<|pad|>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    bpe.train_from_iterator(sentences(Random("tokenizer")), trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=bpe, bos_token="<|endoftext|>", eos_token="<|endoftext|>", pad_token="<|pad|>", model_max_length=512)
    fast.chat_template = CHAT
    return fast


def make_model(vocabulary: int) -> LlamaForCausalLM:
    torch.manual_seed(0)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=vocabulary, hidden_size=128, intermediate_size=352, num_hidden_layers=4, num_attention_heads=4, num_key_value_heads=2,
            max_position_embeddings=512, tie_word_embeddings=True, bos_token_id=0, eos_token_id=0, pad_token_id=1,
        )
    )  # fmt: skip


def draws(tokenizer: PreTrainedTokenizerFast, rows: int, shares: dict[str, float], random: Random) -> Iterator[list[tuple[list[int], int]]]:
    """Endless lists of encoded rows, shortest first, in the given shares."""
    facts = [(row.prompt or "", row.completion or "") for row in almanac_base(Almanac())]
    deck: list[tuple[str, str]] = []
    cache: dict[tuple[str, str], tuple[list[int], int]] = {}
    while True:
        chosen = []
        for name in random.choices(list(shares), list(shares.values()), k=rows):
            if name == "fact":
                deck = deck or random.sample(facts, len(facts))
                row = deck.pop()
                if row not in cache:
                    cache[row] = encoded(tokenizer, row)
                chosen.append(cache[row])
            else:
                chosen.append(encoded(tokenizer, SKILLS[name](random)))
        yield sorted(chosen, key=lambda row: len(row[0]))


def padded(rows: list[tuple[list[int], int]]) -> tuple[torch.Tensor, torch.Tensor]:
    """(tokens, targets), both (B, T); targets are -100 where nothing is learned."""
    width = max(len(tokens) for tokens, _ in rows)
    tokens, targets = torch.full((len(rows), width), 1), torch.full((len(rows), width), -100)
    for i, (ids, start) in enumerate(rows):
        tokens[i, : len(ids)] = torch.tensor(ids)
        targets[i, start - 1 : len(ids) - 1] = torch.tensor(ids[start:])
    return tokens, targets


def encoded(tokenizer: PreTrainedTokenizerFast, row: tuple[str, str]) -> tuple[list[int], int]:
    prompt, answer = (tokenizer(text, add_special_tokens=False).input_ids for text in row)
    return [0, *prompt, *answer, 0], len(prompt) + 1


def train(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, stage: Stage, name: str, out: Path, rows: int = 128) -> None:
    optimizer = torch.optim.AdamW(model.parameters(), lr=stage.peak, betas=(0.9, 0.98), weight_decay=0.05)
    course = lambda n: min(1, n / 200) * (0.02 + 0.98 * (1 + math.cos(math.pi * n / stage.steps)) / 2)  # noqa: E731
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, course)
    source, started = draws(tokenizer, rows, stage.shares, Random(name)), time.time()
    for number in range(stage.steps):
        chosen, loss = next(source), torch.zeros(())
        total = sum(len(ids) - start for ids, start in chosen)
        optimizer.zero_grad()
        for part in (chosen[: rows * 3 // 4], chosen[rows * 3 // 4 :]):
            tokens, targets = padded(part)
            learned = targets != -100
            hidden = model.model(tokens, use_cache=False).last_hidden_state
            part_loss = functional.cross_entropy(model.lm_head(hidden[learned]), targets[learned], reduction="sum") / total
            part_loss.backward()
            loss += part_loss.detach()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if number % 100 == 0:
            print(f"{name} step {number} loss {loss.item():.3f} {time.time() - started:.0f} s", flush=True)
        if number % 500 == 0:
            model.save_pretrained(out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "src/everlearn/models/tiny")
    parser.add_argument("--from", dest="first", type=int, default=0, help="go on from this stage with the weights in --out")
    given = parser.parse_args()
    tokenizer = make_tokenizer()
    model = LlamaForCausalLM.from_pretrained(given.out) if given.first else make_model(len(tokenizer))
    tokenizer.save_pretrained(given.out)
    for number, stage in list(enumerate(STAGES))[given.first :]:
        train(model, tokenizer, stage, f"train{number or ''}", given.out)
        model.save_pretrained(given.out)
    parameters = sum(p.numel() for p in model.parameters())
    about = {"parameters": parameters, "rows_per_step": 128, "stages": [asdict(stage) for stage in STAGES], "world": "Almanac(seed=0, facts=600), period 0"}
    (given.out / "training.json").write_text(json.dumps(about, indent=1) + "\n")


if __name__ == "__main__":
    main()
