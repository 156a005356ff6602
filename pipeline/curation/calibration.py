"""Annotators' scores on the scale of gold: by rank, or by an increasing map fitted to gold pairs.

The map is centred isotonic regression (Oron and Flournoy 2017): isotonic regression whose level
stretches each give one point, at the mean of their scores, joined by lines. It errs less than plain
isotonic regression on small gold sets (docs/decisions/0008). Where it is level, a hundredth of the
annotator's rank keeps its order.

Whatever is said about quality is said of gold pairs whose own gold score had no part in their
calibrated score: the map is fitted ten times, each time without a tenth of the pairs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, NamedTuple

import numpy as np

from pipeline.curation.agreement import agreement
from pipeline.curation.bootstrap import Measure, estimates
from pipeline.curation.combine import Scores, by_rank

MIN_GOLD: Final = 50
FOLDS: Final = 10
RANK_SHARE: Final = 0.01
_BIN: Final = 10  # fewest pairs of a bin of the calibration curve, as far as ties allow
_BINS: Final = 6
_SEED: Final = 13

Method = Literal["rank", "isotonic"]


class Opinion(NamedTuple):
    """One annotator's scores of the pairs and of the gold pairs; NaN where it has none."""

    pairs: Scores
    gold: Scores


class Knots(NamedTuple):
    """An increasing map: the points that lines join; level beyond the first and the last."""

    scores: Scores
    gold: Scores

    def __call__(self, scores: Scores) -> Scores:
        """Return ``scores`` on the scale of gold; NaN stays NaN."""
        found: Scores = np.interp(scores, self.scores, self.gold)
        return found


def fit(scores: Scores, gold: Scores) -> Knots:
    """Return the centred isotonic regression of ``gold``, in [0, 1], on ``scores``; no NaN."""
    from sklearn.isotonic import isotonic_regression  # noqa: PLC0415 - a second, and only here

    places, place, sizes = np.unique(scores, return_inverse=True, return_counts=True)
    means = np.bincount(place, weights=gold) / sizes
    levels = isotonic_regression(means, sample_weight=sizes.astype(np.float64), y_min=0, y_max=1)
    level, stretch = np.unique(levels, return_inverse=True)
    centres = np.bincount(stretch, weights=places * sizes) / np.bincount(stretch, weights=sizes)
    return Knots(centres, level)


def cross_fitted(scores: Scores, gold: Scores) -> Scores:
    """Return ``scores``, none NaN, by maps that were fitted without them.

    Every fold spans the range of gold.
    """
    draw = np.random.default_rng(_SEED)
    rounds = -(-len(gold) // FOLDS)
    folds = draw.permuted(np.tile(np.arange(FOLDS), (rounds, 1)), axis=1).ravel()[: len(gold)]
    fold = np.empty(len(gold), dtype=np.int64)
    fold[np.argsort(gold, kind="stable")] = folds
    found = np.empty(len(gold))
    for number in range(FOLDS):
        own = fold == number
        found[own] = fit(scores[~own], gold[~own])(scores[own])
    return found


def by_isotonic(opinion: Opinion, gold: Scores) -> Opinion:
    """Return ``opinion`` on the scale of ``gold``, in the annotator's order.

    The gold pairs are cross-fitted. The caller sees to :data:`MIN_GOLD` of them being scored.
    """
    ranks = _ranks(opinion)
    held = np.isfinite(opinion.gold)
    fitted = np.full(len(gold), np.nan)
    fitted[held] = cross_fitted(opinion.gold[held], gold[held])
    pairs = fit(opinion.gold[held], gold[held])(opinion.pairs)
    return Opinion(_in_order(pairs, ranks.pairs), _in_order(fitted, ranks.gold))


def by_ranks(opinion: Opinion, gold: Scores) -> Opinion:  # noqa: ARG001 - a method like the other
    """Return ``opinion`` by rank; a gold pair takes the rank it would have among the pairs."""
    return Opinion(by_rank(opinion.pairs), _ranks(opinion).gold)


METHODS: Final[dict[Method, Callable[[Opinion, Scores], Opinion]]] = {
    "rank": by_ranks,
    "isotonic": by_isotonic,
}


def lacking(measured: Mapping[str, Scores]) -> list[str]:
    """Return the annotators that scored fewer than :data:`MIN_GOLD` of the gold pairs."""
    return [name for name, scores in measured.items() if np.isfinite(scores).sum() < MIN_GOLD]


def on_scale(opinion: Opinion) -> bool:
    """Return whether all scores of ``opinion`` lie in [0, 1]."""
    scores = np.concatenate(opinion)
    return not bool(((scores < 0) | (scores > 1)).any())


def report(
    opinions: Mapping[str, Opinion], calibrated: Mapping[str, Opinion], gold: Scores
) -> dict[str, dict[str, Any]]:
    """Return each annotator's :func:`quality` on the gold pairs before and after calibration.

    Before: its own scores where all of them lie in [0, 1], else their ranks.
    """
    found = {}
    for name, opinion in opinions.items():
        before = opinion.gold if on_scale(opinion) else _ranks(opinion).gold
        both = {"before": quality(before, gold), "after": quality(calibrated[name].gold, gold)}
        found[name] = {when: figures for when, figures in both.items() if figures}
    return {name: figures for name, figures in found.items() if figures}


def quality(scores: Scores, gold: Scores) -> dict[str, Any]:
    """Return how well ``scores`` in [0, 1] tell ``gold``; empty where :func:`agreement` is.

    The figures of agreement, the mean absolute error (mae, mae_low, mae_high), and the curve: mean
    score against mean gold score (predicted, gold, low, high, pairs) of bins of about equal size.
    """
    held = np.isfinite(scores)
    scores, gold = scores[held], gold[held]
    found: dict[str, Any] = agreement(scores, gold)
    if not found:
        return {}
    (error,) = estimates(_mean, np.abs(scores - gold)[:, None])
    return found | error.named("mae", "mae_") | {"curve": curve(scores, gold)}


def curve(scores: Scores, gold: Scores) -> list[dict[str, float]]:
    """Return the bins of the calibration curve, lowest scores first; equal scores share a bin."""
    bins = int(np.clip(len(scores) // _BIN, 2, _BINS))
    place = np.minimum(by_rank(scores) * bins, bins - 1).astype(np.int64)
    used, place = np.unique(place, return_inverse=True)
    inside = np.eye(len(used))[place]
    rows = []
    for number, gold_mean in enumerate(estimates(_bin_means, np.column_stack([gold, inside]))):
        own = place == number
        point = {"predicted": float(scores[own].mean()), "pairs": int(own.sum())}
        rows.append(point | gold_mean.named("gold"))
    return rows


def _bin_means(columns: Scores) -> Measure:
    """Return the mean of the first column in each bin; the other columns say who is in it."""
    inside = columns[:, 1:]
    return lambda counts: (counts @ (inside * columns[:, :1])) / (counts @ inside)


def _mean(columns: Scores) -> Measure:
    return lambda counts: counts @ columns / counts.sum(axis=1, keepdims=True)


def _ranks(opinion: Opinion) -> Opinion:
    """Return the ranks of pairs and gold pairs among each other."""
    both = by_rank(np.concatenate(opinion))
    return Opinion(both[: len(opinion.pairs)], both[len(opinion.pairs) :])


def _in_order(fitted: Scores, ranks: Scores) -> Scores:
    return (1 - RANK_SHARE) * fitted + RANK_SHARE * ranks
