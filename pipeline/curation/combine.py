"""From several annotators' scores to one: the combinations. Adding one is a function and a line.

A combination takes a column of scores for each annotator (NaN where it has no opinion) and a weight
for each (1 where not given; an annotator of weight 0 has no say), and returns one score for each
pair, from the opinions there are; NaN where there are none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from pipeline.curation import dawid_skene

Scores = NDArray[np.float64]
Combine = Callable[[Mapping[str, Scores], Mapping[str, float]], Scores]

# A perfect rho on 50 pairs is luck, and its Fisher z infinite. Of pairs that a useless annotator
# alone has scored, its calibrated score is still the best that is known.
_RHO: Final = (0.01, 0.99)


def by_rank(scores: Sequence[float] | Scores) -> Scores:
    """Return scores spread evenly over (0, 1) in the order of ``scores``; ties share a value.

    Without gold labels an annotator's scale means nothing, its order does; ranking objectives use
    the order alone. NaN stays NaN and takes no rank.
    """
    values = np.array(scores, dtype=np.float64)
    scored = np.isfinite(values)
    values[scored] = (rankdata(values[scored]) - 0.5) / max(1, int(scored.sum()))
    return values


def blend(scores: Mapping[str, Scores], weights: Mapping[str, float]) -> Scores:
    """Return the weighted mean of the annotators' ranks, ranked again.

    A rank is one among the pairs that the annotator scored: where those are chosen rather than any,
    take another combination.
    """
    ranks = {name: by_rank(values) for name, values in scores.items()}
    return by_rank(np.round(mean(ranks, weights), 9))  # equal sums stay equal


def mean(scores: Mapping[str, Scores], weights: Mapping[str, float]) -> Scores:
    """Return the weighted mean of the scores."""
    values, weight = panel(scores, weights)
    share = weight[:, None] * np.isfinite(values)
    total = share.sum(axis=0)
    found = np.full(values.shape[1], np.nan)
    np.divide((share * np.nan_to_num(values)).sum(axis=0), total, out=found, where=total > 0)
    return found


def median(scores: Mapping[str, Scores], weights: Mapping[str, float]) -> Scores:
    """Return the weighted median: half the weight lies on either side; midway between two."""
    values, weight = panel(scores, weights)
    order = np.argsort(values, axis=0)  # NaN last
    ordered = np.take_along_axis(values, order, axis=0)
    upto = np.cumsum(weight[order] * np.isfinite(ordered), axis=0)
    half, slack = upto[-1] / 2, 1e-9 * upto[-1]  # weights such as 0.1 have no exact sums
    lower, upper = (upto >= half - slack).argmax(axis=0), (upto > half + slack).argmax(axis=0)
    pairs = np.arange(values.shape[1])
    found: Scores = (ordered[lower, pairs] + ordered[upper, pairs]) / 2
    return found


def graded_model(scores: Mapping[str, Scores], weights: Mapping[str, float]) -> Scores:
    """Return the expected true grade under the model of Dawid and Skene (1979), in [0, 1].

    Grades are cut from ranks: of scores on gold's scale a weak annotator uses the middle ones only.
    """
    values, weight = panel({name: by_rank(column) for name, column in scores.items()}, weights)
    return dawid_skene.expected(dawid_skene.fit(dawid_skene.graded(values), weight))


def panel(scores: Mapping[str, Scores], weights: Mapping[str, float]) -> tuple[Scores, Scores]:
    """Return the scores (annotators, pairs) and weights of the annotators that have a say.

    Raises:
        ValueError: when no annotator has.
    """
    heard = {name: weights.get(name, 1.0) for name in scores if weights.get(name, 1.0) > 0}
    if not heard:
        message = f"no weight above 0 among the annotators {', '.join(scores) or '(none)'}"
        raise ValueError(message)
    return np.stack([scores[name] for name in heard]), np.array(list(heard.values()))


def quality(rho: float) -> float:
    """Return the weight that an annotator earns by its Spearman's rho with gold: Fisher's z.

    At most chance earns next to nothing. Why not the inverse squared error: docs/decisions/0008.
    """
    return float(np.arctanh(np.clip(rho, *_RHO)))


class Combination(NamedTuple):
    """A way to make one score of several.

    ``by_order``: only the order of each annotator's scores counts. ``by_gold``: weights are
    multiplied by each annotator's :func:`quality` on the gold pairs. ``stays``: the result is a
    rank, and is not brought to the scale of gold.
    """

    combine: Combine
    by_order: bool = False
    by_gold: bool = False
    stays: bool = False


COMBINATIONS: Final[dict[str, Combination]] = {
    "blend": Combination(blend, by_order=True, stays=True),
    "mean": Combination(mean),
    "median": Combination(median),
    "gold_weighted": Combination(mean, by_gold=True),
    "dawid_skene": Combination(graded_model, by_order=True),
}
