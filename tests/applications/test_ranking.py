"""AUC, MRR and nDCG: against scikit-learn, by hand, and their errors."""

from __future__ import annotations

import math
from random import Random

import pytest

from everlearn import DataError
from everlearn.applications.ranking import measures


def test_they_are_those_of_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    random = Random(0)
    for _ in range(50):
        count = random.randint(3, 25)
        clicked = set(random.sample(range(count), random.randint(1, count - 1)))
        scores = random.sample(range(1000), count)
        truth = [int(at in clicked) for at in range(count)]
        found = measures(scores, clicked)
        assert found["AUC"] == pytest.approx(metrics.roc_auc_score(truth, scores))
        for most in (5, 10):
            assert found[f"nDCG@{most}"] == pytest.approx(metrics.ndcg_score([truth], [scores], k=most))
        if len(clicked) == 1:
            assert found["MRR"] == pytest.approx(metrics.label_ranking_average_precision_score([truth], [scores]))


def test_several_clicks_by_hand() -> None:
    found = measures([4, 3, 2, 1], {1, 3})  # ranks 2 and 4
    assert found["MRR"] == pytest.approx((1 / 2 + 1 / 4) / 2)
    assert found["AUC"] == pytest.approx(1 / 4)
    assert found["nDCG@5"] == pytest.approx((1 / math.log2(3) + 1 / math.log2(5)) / (1 + 1 / math.log2(3)))


def test_equal_scores_are_no_merit_and_what_is_no_number_ranks_last() -> None:
    assert measures([1, 1, 1], {0}) == {"AUC": 0.5, "MRR": pytest.approx(1 / 3), "nDCG@5": 0.5, "nDCG@10": 0.5}
    assert measures([float("nan"), 0, -1], {0})["MRR"] == pytest.approx(1 / 3)


@pytest.mark.parametrize("clicked", [set(), {0, 1}, {5}])
def test_where_all_or_nothing_was_clicked_there_is_no_score(clicked: set[int]) -> None:
    with pytest.raises(DataError, match=r"candidates=2, clicked=\["):
        measures([1, 2], clicked)
