"""Calibration by rank, and the blend of several annotators."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import pearsonr, rankdata

Scores = NDArray[np.float64]


def by_rank(scores: Sequence[float] | Scores) -> Scores:
    """Return scores spread evenly over (0, 1) in the order of ``scores``; ties share a value.

    Without gold labels an annotator's scale means nothing, its order does; ranking objectives use
    the order alone.
    """
    values = np.asarray(scores, dtype=np.float64)
    ranks: Scores = (rankdata(values) - 0.5) / max(1, len(values))
    return ranks


def blend(scores: Mapping[str, Scores], weights: Mapping[str, float]) -> Scores:
    """Return the weighted mean of the annotators' ranks, ranked again; weight 1 where not given."""
    total = sum(weights.get(name, 1.0) * by_rank(values) for name, values in scores.items())
    return by_rank(np.round(total, 9))  # equal sums stay equal


class Agreement(NamedTuple):
    """Spearman's rho with a 95 % interval, and the number of pairs it rests on."""

    spearman: float
    low: float
    high: float
    pairs: int


def agreement(scores: Sequence[float] | Scores, gold: Sequence[float] | Scores) -> Agreement | None:
    """Return how well ``scores`` order pairs as ``gold`` does; None where that is undefined.

    The interval is Fisher's z on the ranks.
    """
    first, second = rankdata(scores), rankdata(gold)
    if len(first) < 4 or first.std() == 0 or second.std() == 0:
        return None
    result = pearsonr(first, second)
    interval = result.confidence_interval(0.95)
    return Agreement(float(result.statistic), float(interval.low), float(interval.high), len(first))
