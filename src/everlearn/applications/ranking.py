"""The scores of a ranking: AUC, MRR and nDCG of what was clicked among what was shown."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

from everlearn.errors import DataError

MEASURES = {
    "AUC": "the chance that something clicked ranks above something that was not; 50 % is a guess",
    "MRR": "the mean of 1 / rank over what was clicked",
    "nDCG@5": "the gain of what was clicked among the first five, over the best possible",
    "nDCG@10": "the gain of what was clicked among the first ten, over the best possible",
}


def measures(scores: Sequence[float], clicked: Collection[int]) -> dict[str, float]:
    """AUC, MRR, nDCG@5 and nDCG@10 of one impression, each 0 to 1.

    scores: one a candidate, higher is better.   clicked: the places of what was clicked, some and not all.
    Equal scores count half in AUC, and elsewhere against what was clicked; what is no number ranks last. MRR is the mean over everything clicked,
    as MIND counts it (Wu et al. 2020, "MIND: A Large-scale Dataset for News Recommendation"). Raises DataError where all or nothing was clicked.

    >>> {name: round(value, 3) for name, value in measures([0.1, 0.9, 0.4, 0.3], {2}).items()}
    {'AUC': 0.667, 'MRR': 0.5, 'nDCG@5': 0.631, 'nDCG@10': 0.631}
    """
    wanted = set(clicked)
    if not 0 < len(wanted) < len(scores) or not wanted <= set(range(len(scores))):
        raise DataError(f"a ranking is scored where some of the candidates were clicked, and not all (candidates={len(scores)}, clicked={sorted(wanted)!r}).")
    sound = [-math.inf if math.isnan(value) else value for value in scores]
    order = sorted(range(len(sound)), key=lambda at: (-sound[at], at in wanted))
    ranks = [rank for rank, at in enumerate(order, 1) if at in wanted]
    others = [value for at, value in enumerate(sound) if at not in wanted]
    above = sum((mine > other) + (mine == other) / 2 for mine in (sound[at] for at in wanted) for other in others)
    return {
        "AUC": above / (len(wanted) * len(others)),
        "MRR": sum(1 / rank for rank in ranks) / len(ranks),
        "nDCG@5": _gain(ranks, 5),
        "nDCG@10": _gain(ranks, 10),
    }


def _gain(ranks: Sequence[int], most: int) -> float:
    """Discounted gain within the first `most`, over that of the best order (Järvelin and Kekäläinen 2002)."""
    best = sum(1 / math.log2(rank + 1) for rank in range(1, min(len(ranks), most) + 1))
    return sum(1 / math.log2(rank + 1) for rank in ranks if rank <= most) / best
