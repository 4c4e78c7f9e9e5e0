"""Small encoder-decoder models with random weights, saved to disk as a hub would hold them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    BartConfig,
    BartForConditionalGeneration,
    MarianConfig,
    MarianMTModel,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    T5Config,
    T5ForConditionalGeneration,
)

PAIRS = [
    ("one cat", "eine Katze"),
    ("two cats", "zwei Katzen"),
    ("three dogs and a cat", "drei Hunde und eine Katze"),
    ("a dog", "ein Hund"),
    ("the old house by the river", "das alte Haus am Fluss"),
    ("two houses", "zwei Häuser"),
]
PAD, END, START = 0, 1, 2


def pair_tokenizer(opens: bool = False) -> PreTrainedTokenizerFast:
    """Byte-level BPE over the pairs; a text is closed with </s> (T5, Marian), and opened with <s> where `opens` (BART)."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<pad>", "</s>", "<s>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=300, special_tokens=special, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator([text for pair in PAIRS for text in pair], trainer)
    single = "<s> $A </s>" if opens else "$A </s>"
    tokenizer.post_processor = processors.TemplateProcessing(single=single, special_tokens=[("</s>", END), ("<s>", START)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        eos_token="</s>",
        bos_token="<s>" if opens else None,
        model_max_length=48,
    )


def saved(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, folder: Path) -> Path:
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def rough(model: PreTrainedModel) -> PreTrainedModel:
    """Weights of some size, so that answers differ from each other."""
    seeded = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.dim() > 1:
                weight.normal_(0, 0.2 if "embed_tokens" in name or "shared" in name else 1.0, generator=seeded)
    return model


def t5(size: int, **given: object) -> T5ForConditionalGeneration:
    shape = {"d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_heads": 4, "dropout_rate": 0.0}
    return T5ForConditionalGeneration(T5Config(vocab_size=size, decoder_start_token_id=PAD, **(shape | given)))


def wide(size: int) -> dict[str, int]:
    """What BART and Marian call their shape."""
    sides = {f"{side}_{part}": n for side in ("encoder", "decoder") for part, n in (("layers", 2), ("attention_heads", 4), ("ffn_dim", 48))}
    return sides | {"vocab_size": size, "d_model": 32, "max_position_embeddings": 48, "dropout": 0, "pad_token_id": PAD, "eos_token_id": END}


@pytest.fixture(scope="session")
def fresh_t5_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """T5 as it is before training, with dropout as published."""
    tokenizer = pair_tokenizer()
    torch.manual_seed(0)
    return saved(t5(len(tokenizer), num_layers=1, dropout_rate=0.1), tokenizer, tmp_path_factory.mktemp("fresh-t5"))


@pytest.fixture(scope="session")
def still_t5_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same without dropout, so that two forward passes are equal."""
    tokenizer = pair_tokenizer()
    torch.manual_seed(0)
    return saved(t5(len(tokenizer), num_layers=1), tokenizer, tmp_path_factory.mktemp("still-t5"))


@pytest.fixture(scope="session")
def t5_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """T5: one embedding for everything, scaled before the head; relative positions."""
    tokenizer = pair_tokenizer()
    return saved(rough(t5(len(tokenizer))), tokenizer, tmp_path_factory.mktemp("t5"))


@pytest.fixture(scope="session")
def t5_v1_1_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """T5 1.1, the shape of mT5: gated, its head not scaled."""
    tokenizer = pair_tokenizer()
    model = t5(len(tokenizer), tie_word_embeddings=False, feed_forward_proj="gated-gelu")
    return saved(rough(model), tokenizer, tmp_path_factory.mktemp("t5-1-1"))


@pytest.fixture(scope="session")
def bart_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """BART: the decoder starts with </s> and is forced to say <s>; a bias on the logits."""
    tokenizer = pair_tokenizer(opens=True)
    model = BartForConditionalGeneration(BartConfig(**wide(len(tokenizer)), bos_token_id=START, decoder_start_token_id=END, forced_eos_token_id=None))
    model.generation_config.forced_bos_token_id = START
    model.generation_config.forced_eos_token_id = None
    model.final_logits_bias.normal_(0, 0.1, generator=torch.Generator().manual_seed(0))
    return saved(rough(model), tokenizer, tmp_path_factory.mktemp("bart"))


@pytest.fixture(scope="session")
def marian_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Marian: the decoder starts with padding, which it must not say although it is the likeliest."""
    tokenizer = pair_tokenizer()
    model = MarianMTModel(MarianConfig(**wide(len(tokenizer)), decoder_start_token_id=PAD, forced_eos_token_id=None))
    model.generation_config.bad_words_ids = [[PAD]]
    model.generation_config.forced_eos_token_id = None
    model.final_logits_bias[0, PAD] = 1e4
    return saved(rough(model), tokenizer, tmp_path_factory.mktemp("marian"))


@pytest.fixture(params=["t5_folder", "t5_v1_1_folder", "bart_folder", "marian_folder"])
def folder(request: pytest.FixtureRequest) -> Path:
    """Each of them in turn."""
    found: Path = request.getfixturevalue(request.param)
    return found
