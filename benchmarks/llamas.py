"""What the benchmarks of speed learn with: Llamas of 6.5 and 1 million parameters made from a config, and rows of a stream in their own BPE."""

from __future__ import annotations

from pathlib import Path
from random import Random

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from everlearn import CausalModel, Example, load_stream

# Parameters: hidden size, of the feed-forward layer, layers, heads, of the keys, vocabulary.
SIZES = {"6.5M": (256, 704, 6, 8, 4, 8192), "3M": (192, 512, 4, 6, 3, 8192), "1M": (128, 352, 4, 4, 2, 2048)}
CONTEXT = 512


def llama(size: str, texts: list[str]) -> CausalModel:
    """A fresh Llama of that size, with a byte-level BPE made on these texts."""
    hidden, wide, layers, heads, keys, vocabulary = SIZES[size]
    tokenizer = bpe(texts, vocabulary)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=vocabulary, hidden_size=hidden, intermediate_size=wide, num_hidden_layers=layers, num_attention_heads=heads,
        num_key_value_heads=keys, max_position_embeddings=CONTEXT, tie_word_embeddings=True, bos_token_id=0, eos_token_id=0, pad_token_id=1,
    )  # fmt: skip
    return CausalModel(LlamaForCausalLM(config), tokenizer, f"llama {size}")


def bpe(texts: list[str], vocabulary: int) -> PreTrainedTokenizerFast:
    """A byte-level BPE with an end and a padding token."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer, made.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    special, alphabet = ["<|endoftext|>", "<|pad|>"], pre_tokenizers.ByteLevel.alphabet()
    made.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=vocabulary, special_tokens=special, initial_alphabet=alphabet, show_progress=False))
    end, pad = special
    return PreTrainedTokenizerFast(tokenizer_object=made, bos_token=end, eos_token=end, pad_token=pad, model_max_length=CONTEXT)


def examples_of(stream: Path, count: int, seed: int = 0) -> list[Example]:
    """`count` training rows of the stream, of all its experiences, in random order; no task named."""
    every = [example for experience in load_stream(stream) for example in experience.train]
    if count > len(every):
        raise SystemExit(f"the stream has {len(every)} training rows, {count} are needed. Give a larger stream.")
    return Random(seed).sample(every, count)


def texts_of(examples: list[Example]) -> list[str]:
    """What is read and learned of each."""
    return [(e.text or "") + (e.prompt or "") + (e.completion or "") for e in examples]


def subject(size: str, stream: Path, count: int) -> tuple[CausalModel, list[Example]]:
    """The Llama of that size and `count` rows of the stream; the BPE is made on all its training rows."""
    every = [example for experience in load_stream(stream) for example in experience.train]
    return llama(size, texts_of(every)), examples_of(stream, count)
