"""The recommended threshold of a model: the lowest that keeps a target precision, with intervals.

The lowest has the highest recall. Only thresholds with ten pairs at or above count, and a threshold
lies halfway to the next lower cosine. Intervals are percentiles of a bootstrap over pairs: that of
the threshold over the resamples in which the target is reachable, those of precision and recall for
the threshold that is recommended.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pipeline.evaluation import resampling
from pipeline.evaluation.binary import Thresholds
from pipeline.evaluation.metrics import Floats
from pipeline.evaluation.resampling import Bootstrap, Counts
from pipeline.records import Record

FEWEST_ABOVE: Final = 10  # with fewer pairs above a threshold a precision of 0.9 is not seen


class Threshold(Record):
    """The recommended threshold of one model, what it reaches, and intervals.

    Where the target precision is not reachable there are no figures but ``best_precision``, the
    highest of any threshold with ten pairs above (None when there are not ten), and ``reached``,
    the share of resamples that reach the target.
    """

    reachable: bool
    reached: float
    best_precision: float | None
    threshold: float | None = None
    low: float | None = None
    high: float | None = None
    precision: float | None = None
    precision_low: float | None = None
    precision_high: float | None = None
    recall: float | None = None
    recall_low: float | None = None
    recall_high: float | None = None
    above: int | None = None


def recommend(
    cosines: NDArray[Any], positive: NDArray[Any], target: float, bootstrap: Bootstrap
) -> Threshold:
    """Return the lowest threshold at which pairs at or above it are positive to a share ``target``.

    Thresholds lie at positive pairs: one that lets no further positive through is only worse.
    ``positive`` is 1 for positive pairs and else 0; both of shape (pairs,).
    """
    ranked = Thresholds.of(positive, cosines)
    if not len(ranked.ends):  # not one positive
        return Threshold(reachable=False, reached=0.0, best_precision=None)
    values = _between(cosines[ranked.order], ranked.ends)
    once = np.ones((1, len(cosines)), dtype=np.int32)
    true, every = (counts[0] for counts in ranked.accepted(once))
    chosen = int(_lowest(true[None], every[None], target)[0])
    precision = true / np.maximum(every, 1)

    def measured(counts: Counts) -> Floats:
        found, accepted = ranked.accepted(counts)
        at = _lowest(found, accepted, target)
        own = found[:, chosen], accepted[:, chosen], found[:, -1]
        columns = [np.where(at < 0, np.nan, values[at]), _ratio(*own[:2]), _ratio(own[0], own[2])]
        return np.stack(columns, axis=1)

    drawn = resampling.draws(len(cosines), bootstrap, measured)
    enough = every >= FEWEST_ABOVE
    best = float(precision[enough].max()) if enough.any() else None
    reached = float(np.mean(~np.isnan(drawn[:, 0])))
    if chosen < 0:
        return Threshold(reachable=False, reached=reached, best_precision=best)
    named = zip(("", "precision_", "recall_"), drawn.T, strict=True)
    return Threshold(
        reachable=True,
        reached=reached,
        best_precision=best,
        threshold=float(values[chosen]),
        precision=float(precision[chosen]),
        recall=float(true[chosen] / true[-1]),
        above=int(every[chosen]),
        **{
            key: value
            for name, column in named
            for key, value in _bounds(name, column, bootstrap.confidence)
        },
    )


def _lowest(true: Counts, every: Counts, target: float) -> NDArray[np.intp]:
    """Return the place of the lowest threshold that keeps the target in each row, -1 for none."""
    kept = (every >= FEWEST_ABOVE) & (true >= target * every - 1e-9)
    last = kept.shape[1] - 1 - np.argmax(kept[:, ::-1], axis=1)
    return np.where(kept.any(axis=1), last, -1)


def _between(descending: Floats, ends: NDArray[np.intp]) -> Floats:
    """Return a threshold for each number of accepted pairs: halfway to the next lower cosine."""
    least = descending[ends - 1]
    following = np.append(descending, descending[-1])[ends]
    middle: Floats = (least + following) / 2.0
    return np.where(middle > following, middle, least)


def _ratio(part: Counts, whole: Counts) -> Floats:
    found: Floats = np.where(whole > 0, part / np.maximum(whole, 1), np.nan)
    return found


def _bounds(name: str, column: Floats, confidence: float) -> list[tuple[str, float]]:
    tail = (1.0 - confidence) / 2.0
    known = column[~np.isnan(column)]
    if not len(known):
        return []
    low, high = np.quantile(known, [tail, 1.0 - tail])
    return [(f"{name}low", float(low)), (f"{name}high", float(high))]
