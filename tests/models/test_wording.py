"""Words of prompts, counted by domain."""

from __future__ import annotations

import math

import torch

from everlearn.models.wording import BUCKETS, SMOOTH, counted, likelihoods, words_of


def test_a_word_counts_once_a_prompt_and_pairs_keep_their_order() -> None:
    of, at = words_of([(5, 9, 5), (5,), (9, 5), (5, 9)])
    each = [set(at[of == number].tolist()) for number in range(4)]
    assert [len(found) for found in each] == [4, 1, 3, 3]
    assert each[1] < each[2] < each[0], "5, then 9 and the pair 9 5 beside it, then the pair 5 9 too"
    assert each[3] < each[0]
    assert each[2] != each[3], "9 5 is not 5 9"


def test_buckets_do_not_depend_on_the_run_and_spread() -> None:
    assert words_of([(1, 2)])[1].tolist() == [7735, 20251, 29416]
    filled = int((counted([(token,) for token in range(BUCKETS)]) > 0).sum())
    assert filled > 0.6 * BUCKETS, "as many as a good hash fills, or more"


def test_likelihoods_are_naive_bayes() -> None:
    a, b = [(3, 4), (3, 7)], [(7, 8), (7,), (8, 4)]
    counts = torch.stack([counted(a), counted(b)])
    found = likelihoods([(3,), (7, 8), ()], counts)
    three, total = int(words_of([(3,)])[1][0]), counts.sum(1) + SMOOTH * BUCKETS
    assert float(counts[0, three]) == 2.0
    assert math.isclose(float(found[0, 0]), math.log((2 + SMOOTH) / float(total[0])), rel_tol=1e-5)
    assert float(found[1, 1]) > float(found[1, 0])
    assert found[2].tolist() == [0.0, 0.0]
