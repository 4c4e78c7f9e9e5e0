"""Which tokens and pairs of neighbouring tokens the prompts of each domain hold, in counts of a fixed size."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

BUCKETS = 1 << 15  # of tokens and pairs together; what falls into one counts as one
PRIOR = 1000.0  # tokens and pairs that a domain is thought to have had of what all domains have: best or next to it on training prompts, cross-validated
MIX = 0x9E3779B97F4A7C15 - (1 << 64)  # the golden ratio's share of 2^64, as int64

Prompt = tuple[int, ...]


def grams_of(prompts: Sequence[Prompt]) -> tuple[Tensor, Tensor]:
    """Of each prompt the different tokens and pairs of neighbours, hashed: the prompts' numbers (m,) and the buckets (m,), int64."""
    tokens = torch.tensor([token for prompt in prompts for token in prompt], dtype=torch.int64)
    of = torch.arange(len(prompts)).repeat_interleave(torch.tensor([len(prompt) for prompt in prompts], dtype=torch.int64))
    together = of[1:] == of[:-1]
    pairs = (tokens[:-1] * 0x9E3779B1 + tokens[1:] * 0x85EBCA6B + 1)[together]
    found = torch.cat([_hashed(tokens), _hashed(pairs)])
    both = torch.unique(torch.cat([of, of[1:][together]]) * BUCKETS + found)
    return both // BUCKETS, both % BUCKETS


def counted(prompts: Sequence[Prompt]) -> Tensor:
    """In how many of these prompts each bucket is, (BUCKETS,) float32."""
    return torch.bincount(grams_of(prompts)[1], minlength=BUCKETS).float()


def log_shares(counts: Tensor) -> Tensor:
    """The logarithm of each bucket's share of what a domain's prompts hold, (K, BUCKETS) float64, from the domains' counts (K, BUCKETS).

    Multinomial naive Bayes over what is there, not how often (McCallum and Nigam 1998; Schneider 2004), with a Dirichlet prior around the shares of all
    domains together (MacKay and Peto 1995): what all prompts share says nothing, however few a domain has had. What no domain has had says nothing
    either, and is 0 in all: its share would be the larger the fewer a domain has had.
    """
    known = counts.double()
    pool = known.sum(0) / known.sum().clamp_min(1)
    said = ((known + PRIOR * pool) / (known.sum(1, keepdim=True) + PRIOR)).log()
    return said.where(pool != 0, 0.0)


def likelihoods(prompts: Sequence[Prompt], said: Tensor) -> Tensor:
    """The log-likelihood of what each prompt holds in each domain, (n, K) float64 in nats, up to what is the same for all; said: as `log_shares` gives it."""
    of, at = grams_of(prompts)
    return torch.zeros(len(prompts), len(said), dtype=torch.float64).index_add_(0, of, said[:, at].T)


def _hashed(numbers: Tensor) -> Tensor:
    """Buckets of int64 numbers, by the highest 15 bits of a product that wraps (Fibonacci hashing)."""
    return ((numbers * MIX) >> 49) & (BUCKETS - 1)
