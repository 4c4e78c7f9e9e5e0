"""A small encoder-decoder model with random weights and the tiny model's tokenizer."""

from __future__ import annotations

import pytest
import torch
from transformers import T5Config, T5ForConditionalGeneration

from everlearn import CausalModel
from everlearn.models.seq2seq import Seq2SeqModel


@pytest.fixture
def small_t5(shared_tiny: CausalModel) -> Seq2SeqModel:
    size = len(shared_tiny.tokenizer)
    config = T5Config(vocab_size=size, d_model=16, d_kv=8, d_ff=32, num_layers=1, num_heads=2, decoder_start_token_id=0, pad_token_id=1, eos_token_id=0)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Seq2SeqModel(T5ForConditionalGeneration(config), shared_tiny.tokenizer)
