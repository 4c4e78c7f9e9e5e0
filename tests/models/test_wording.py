"""Words of prompts, counted by domain."""

from __future__ import annotations

from random import Random

import torch

from everlearn.models.wording import BUCKETS, PRIOR, counted, grams_of, likelihoods, log_shares


def test_a_token_counts_once_a_prompt_and_pairs_keep_their_order() -> None:
    of, at = grams_of([(5, 9, 5), (5,), (9, 5), (5, 9)])
    each = [set(at[of == number].tolist()) for number in range(4)]
    assert [len(found) for found in each] == [4, 1, 3, 3]
    assert each[1] < each[2] < each[0], "5, then 9 and the pair 9 5 beside it, then the pair 5 9 too"
    assert each[3] < each[0]
    assert each[2] != each[3], "9 5 is not 5 9"


def test_buckets_do_not_depend_on_the_run_and_spread() -> None:
    assert grams_of([(1, 2)])[1].tolist() == [7735, 20251, 29416]
    filled = int((counted([(token,) for token in range(BUCKETS)]) > 0).sum())
    assert filled > 0.6 * BUCKETS, "as many as a good hash fills, or more"


def test_likelihoods_are_naive_bayes_around_the_shares_of_all_domains() -> None:
    a, b = [(3, 4), (3, 7)], [(7, 8), (7,), (8, 4)]
    counts = torch.stack([counted(a), counted(b)])
    found = likelihoods([(3,), (7, 8), ()], log_shares(counts))
    pool = 2 / 13
    assert counts.sum(1).tolist() == [6.0, 7.0]
    assert torch.allclose(found[0].exp(), torch.tensor([(2 + PRIOR * pool) / (6 + PRIOR), PRIOR * pool / (7 + PRIOR)], dtype=torch.float64), rtol=1e-4)
    assert float(found[1, 1]) > float(found[1, 0])
    assert found[2].tolist() == [0.0, 0.0]
    seen = counts.sum(0) > 0
    assert torch.allclose(log_shares(counts)[:, seen].exp().sum(1), torch.ones(2, dtype=torch.float64), atol=1e-9)


def test_what_all_prompts_share_says_nothing_however_few_a_domain_has() -> None:
    """A fixed count for every bucket would cost the small domain two nats for each shared token."""
    template = tuple(range(100, 112))
    large = [(*template, 200 + n % 40, 200 + (n * 7) % 40) for n in range(1000)]
    small = [(*template, 300 + n % 40, 300 + (n * 7) % 40) for n in range(50)]
    said = log_shares(torch.stack([counted(large), counted(small)]))
    shared, unseen = likelihoods([template, (*template, 500, 600)], said)
    assert abs(float(shared[0] - shared[1])) < 1.5, "of 23 tokens and pairs together"
    assert torch.equal(unseen, shared), "what nobody has had is nobody's"
    held = likelihoods([(*template, 300 + n % 40, 300 + (n * 11) % 40) for n in range(50, 90)], said)
    assert int((held.argmax(1) == 1).sum()) >= 38


def test_a_large_domain_keeps_its_prompts_beside_a_small_one() -> None:
    """Of words that both have, one much oftener; half of each prompt's pairs are new to both."""
    draw = Random(0)
    large = [tuple(draw.choices(range(60), weights=[3] * 30 + [1] * 30, k=8)) for _ in range(1000)]
    small = [tuple(draw.choices(range(60), weights=[1] * 30 + [3] * 30, k=8)) for _ in range(50)]
    said = log_shares(torch.stack([counted(large[:800]), counted(small[:25])]))
    assert int((likelihoods(large[800:], said).argmax(1) == 0).sum()) >= 0.85 * 200
    assert int((likelihoods(small[25:], said).argmax(1) == 1).sum()) >= 0.6 * 25


def test_no_prompts_and_empty_ones_have_no_tokens() -> None:
    assert [len(part) for part in grams_of([])] == [0, 0]
    assert [len(part) for part in grams_of([(), ()])] == [0, 0]
