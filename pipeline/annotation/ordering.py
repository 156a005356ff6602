"""Which pairs to ask about first, so that wherever a budget ends the labels are worth having."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from scipy.stats import rankdata

BINS: Final = 10  # parts of the similarity range that are asked about in turn


def by_information(scores: Sequence[Sequence[float]], count: int, first: int = 0) -> list[int]:
    """Return the order in which ``count`` pairs are worth asking about.

    ``scores`` holds what free annotators said of each pair, a row each. The pairs are spread over
    the range of similarity in equal parts by their mean rank; the parts are gone through in turn,
    each starting with the pairs that the annotators disagree most about. Wherever a budget ends,
    what was asked covers the whole range. The ``first`` pairs (gold, for calibration) come before
    all others.
    """
    rest = np.arange(first, count)
    if not scores or not len(rest):
        return list(range(count))
    ranks = np.array([np.argsort(np.argsort(row, kind="stable")) for row in scores])[:, first:]
    # Rounded, so that pairs which are equal keep their order on every machine.
    mean, spread = ranks.mean(axis=0).round(9), ranks.std(axis=0).round(9)
    part = (np.argsort(np.argsort(mean, kind="stable")) * BINS) // len(rest)
    turn = np.zeros(len(rest), dtype=int)
    for number in range(BINS):
        inside = np.flatnonzero(part == number)
        turn[inside[np.argsort(-spread[inside], kind="stable")]] = np.arange(len(inside))
    return [*range(first), *(int(rest[index]) for index in np.lexsort((part, turn)))]


def most_apart(scores: Sequence[Sequence[float]], first: int, share: float) -> list[int]:
    """Return which pairs annotators disagree most about, the ``first`` (gold) and then in order.

    ``scores`` holds an annotator's scores of all pairs a row, NaN for none; disagreement is the
    spread of the ranks, each as a share of the pairs that the annotator scored. ``share`` of the
    pairs after the first are returned.
    """
    count = len(scores[0])
    ranks = np.full((len(scores), count), np.nan)
    for row, values in zip(ranks, np.asarray(scores, dtype=float), strict=True):
        held = np.flatnonzero(np.isfinite(values))
        row[held] = rankdata(values[held]) / max(1, len(held))
    known = np.isfinite(ranks).sum(axis=0) > 1
    spread = np.zeros(count)
    spread[known] = np.nanmax(ranks[:, known], axis=0) - np.nanmin(ranks[:, known], axis=0)
    rest = np.arange(first, count)
    chosen = rest[np.argsort(-spread[rest], kind="stable")][: round(share * len(rest))]
    return [*range(first), *map(int, chosen)]
