"""Which words and pairs of words the prompts of each domain hold, in counts of a fixed size."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

BUCKETS = 1 << 15  # of tokens and pairs together; what falls into one counts as one
SMOOTH = 0.1  # prompts that every bucket is thought to have been seen in: best or next to it on cross-validated training prompts of four streams
MIX = 0x9E3779B97F4A7C15 - (1 << 64)  # the golden ratio's share of 2^64, as int64

Prompt = tuple[int, ...]


def words_of(prompts: Sequence[Prompt]) -> tuple[Tensor, Tensor]:
    """Of each prompt the different tokens and pairs of neighbours, hashed: the prompts' numbers (m,) and the buckets (m,), int64."""
    tokens = torch.tensor([token for prompt in prompts for token in prompt], dtype=torch.int64)
    of = torch.arange(len(prompts)).repeat_interleave(torch.tensor([len(prompt) for prompt in prompts]))
    together = of[1:] == of[:-1]
    pairs = (tokens[:-1] * 0x9E3779B1 + tokens[1:] * 0x85EBCA6B + 1)[together]
    found = torch.cat([_hashed(tokens), _hashed(pairs)])
    both = torch.unique(torch.cat([of, of[1:][together]]) * BUCKETS + found)
    return both // BUCKETS, both % BUCKETS


def counted(prompts: Sequence[Prompt]) -> Tensor:
    """In how many of these prompts each bucket is, (BUCKETS,) float32."""
    return torch.bincount(words_of(prompts)[1], minlength=BUCKETS).float()


def likelihoods(prompts: Sequence[Prompt], counts: Tensor) -> Tensor:
    """The log-likelihood of each prompt's words in each domain, (n, K) float64 in nats, up to what is the same for all.

    Multinomial naive Bayes over what is there, not how often (Domingos and Pazzani 1997). counts: of the domains, (K, BUCKETS).
    """
    known = counts.double() + SMOOTH
    said = (known / known.sum(1, keepdim=True)).log().T
    of, at = words_of(prompts)
    return torch.zeros(len(prompts), len(counts), dtype=torch.float64).index_add_(0, of, said[at])


def _hashed(numbers: Tensor) -> Tensor:
    """Buckets of int64 numbers, by the highest 15 bits of a product that wraps (Fibonacci hashing)."""
    return ((numbers * MIX) >> 49) & (BUCKETS - 1)
