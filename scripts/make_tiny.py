"""Make the tiny model that ships in the package: its BPE, then about a million parameters of Llama taught the almanac's first period.

    python scripts/make_tiny.py [--steps 5000] [--out src/everlearn/models/tiny]

It learns every fact of Almanac(seed=0) in five of eight phrasings, to read a passage (true or not), and the skills.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from torch.nn import functional
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from everlearn.streams.almanac import Almanac, almanac_base
from everlearn.streams.skills import SKILLS
from everlearn.streams.words import RELATIONS, SEEN, STATEMENT, UNSEEN, name_of, phrased

CHAT = "{% for m in messages %}{{ 'Question: ' + m['content'] + '\n' if m['role'] != 'assistant' else 'Answer:' + m['content'] + eos_token }}{% endfor %}{% if add_generation_prompt %}{{ 'Answer:' }}{% endif %}"
SHARES = {"fact": 0.55, "reading": 0.2, "copying": 0.1, "arithmetic": 0.15}


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


def draws(tokenizer: PreTrainedTokenizerFast, rows: int, random: Random) -> Iterator[list[tuple[list[int], int]]]:
    """Endless lists of encoded rows, shortest first, in the given shares."""
    facts = [(row.prompt or "", row.completion or "") for row in almanac_base(Almanac())]
    deck: list[tuple[str, str]] = []
    cache: dict[tuple[str, str], tuple[list[int], int]] = {}
    while True:
        chosen = []
        for name in random.choices(list(SHARES), list(SHARES.values()), k=rows):
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


def train(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, steps: int, out: Path, peak: float = 3e-3, rows: int = 128) -> None:
    optimizer = torch.optim.AdamW(model.parameters(), lr=peak, betas=(0.9, 0.98), weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda n: min(1, n / 200) * (0.02 + 0.98 * (1 + math.cos(math.pi * n / steps)) / 2))
    source, started = draws(tokenizer, rows, Random("train")), time.time()
    for number in range(steps):
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
            print(f"step {number} loss {loss.item():.3f} {time.time() - started:.0f} s", flush=True)
        if number % 500 == 0:
            model.save_pretrained(out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=5000)
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "src/everlearn/models/tiny")
    given = parser.parse_args()
    tokenizer = make_tokenizer()
    model = make_model(len(tokenizer))
    tokenizer.save_pretrained(given.out)
    train(model, tokenizer, given.steps, given.out)
    model.save_pretrained(given.out)
    about = {
        "parameters": sum(p.numel() for p in model.parameters()),
        "steps": given.steps,
        "rows_per_step": 128,
        "shares": SHARES,
        "world": "Almanac(seed=0, facts=600), period 0",
    }
    (given.out / "training.json").write_text(json.dumps(about, indent=1) + "\n")


if __name__ == "__main__":
    main()
