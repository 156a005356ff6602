"""How far scores agree: two columns with each other, and all annotators together.

Two columns: Spearman's rho for their order, and Cohen's kappa with quadratic weights for their
grades (Cohen 1968). All together: Krippendorff's alpha (Krippendorff 2011; Hayes and Krippendorff
2007), which takes any number of annotators and missing opinions. Every figure has a 95 % interval
by resampling pairs (`pipeline.curation.bootstrap`).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import numpy as np

from pipeline.curation.bootstrap import Measure, estimates
from pipeline.curation.combine import Scores
from pipeline.curation.dawid_skene import graded

FEWEST: Final = 4  # pairs

Figures = dict[str, float]


def agreement(
    first: Sequence[float] | Scores,
    second: Sequence[float] | Scores,
    scaled: Sequence[float] | Scores | None = None,
) -> Figures:
    """Return how far two columns agree over the pairs that have both; empty where undefined.

    The keys are spearman, low, high; kappa, kappa_low, kappa_high; pairs. Kappa compares grades,
    for which both have to lie in [0, 1]: ``scaled`` is ``first`` on the scale of ``second``, where
    ``first`` itself is not. It is missing where all grades are one.
    """
    scaled = first if scaled is None else scaled
    columns = np.column_stack(
        [np.asarray(one, dtype=np.float64) for one in (first, second, scaled)]
    )
    columns = columns[np.isfinite(columns).all(axis=1)]
    if len(columns) < FEWEST or not np.ptp(columns[:, :2], axis=0).all():
        return {}
    rho, kappa = estimates(_pairwise, columns)
    return rho.named("spearman") | kappa.named("kappa", "kappa_") | {"pairs": len(columns)}


def between(columns: Mapping[str, Scores]) -> list[dict[str, str | float]]:
    """Return the agreement of each two annotators, with their names as a and b.

    ``columns`` are scores in [0, 1] by annotator, NaN where one has no opinion.
    """
    rows: list[dict[str, str | float]] = []
    for first, second in itertools.combinations(sorted(columns), 2):
        if found := agreement(columns[first], columns[second]):
            rows.append({"a": first, "b": second, **found})
    return rows


def krippendorff(columns: Mapping[str, Scores]) -> dict[str, Figures]:
    """Return Krippendorff's alpha of all annotators: alpha, low, high by level of measurement.

    ``interval`` takes the distance between two scores as squared difference, ``ordinal`` counts the
    scores between them. Empty where fewer than four pairs have two opinions, or all are the same.
    """
    if len(columns) < 2:
        return {}
    scores = np.column_stack(list(columns.values()))
    scores = scores[np.isfinite(scores).sum(axis=1) > 1]  # a single opinion cannot disagree
    if len(scores) < FEWEST or np.nanmin(scores) == np.nanmax(scores):
        return {}
    found = zip(("interval", "ordinal"), estimates(_alphas, scores), strict=True)
    return {level: alpha.named("alpha") for level, alpha in found}


def _pairwise(columns: Scores) -> Measure:
    """Return rho and kappa as a function of counts; columns are first, second, and first scaled.

    With quadratic weights kappa is a ratio of moments: 1 less the mean squared difference over the
    one expected if the two were independent (Fleiss and Cohen 1973).
    """
    first, second = _ranks(columns[:, 0]), _ranks(columns[:, 1])
    one, other = graded(columns[:, 2]), graded(columns[:, 1])

    def measure(counts: Scores) -> Scores:
        _, left, right, common = _moments(first(counts), second(counts), counts)
        rho = common / np.sqrt(left * right)
        apart, left, right, common = _moments(one, other, counts)
        kappa = 2 * common / (left + right + apart**2)
        return np.column_stack([rho, kappa])

    return measure


def _moments(
    first: Scores, second: Scores, counts: Scores
) -> tuple[Scores, Scores, Scores, Scores]:
    """Return the difference of the means, both variances and the covariance, of each resample."""
    total = counts.sum(axis=1)
    means = [(counts * values).sum(axis=1) / total for values in (first, second)]
    left, right = first - means[0][:, None], second - means[1][:, None]
    weighted = counts * left
    return (
        means[0] - means[1],
        np.einsum("rp,rp->r", weighted, left) / total,
        np.einsum("rp,rp,rp->r", counts, right, right) / total,
        np.einsum("rp,rp->r", weighted, right) / total,
    )


def _ranks(values: Scores) -> Callable[[Scores], Scores]:
    """Return the function from counts (resamples, values) to the mean ranks in each resample.

    Sorted once: in a resample, equal values take the mean of the places that their counts fill.
    """
    _, place, sizes = np.unique(values, return_inverse=True, return_counts=True)
    order, last = np.argsort(place, kind="stable"), np.cumsum(sizes) - 1

    def ranks(counts: Scores) -> Scores:
        upto = np.cumsum(counts[:, order], axis=1)[:, last]
        below = np.pad(upto[:, :-1], ((0, 0), (1, 0)))
        return ((below + upto + 1) / 2)[:, place]

    return ranks


def _alphas(scores: Scores) -> Measure:
    """Return alpha by interval and by order as a function of counts; every row has two opinions.

    Between c and k the ordinal difference is the number of values from one to the other, each end
    counted half: the difference of their mean ranks among all values. So alpha by order is alpha by
    interval of those ranks, which are other ones in each resample.
    """
    held = np.isfinite(scores)
    opinions = held.sum(axis=1)
    centred = np.nan_to_num(scores - np.nanmean(scores))
    ranks = _ranks(scores.ravel())

    def measure(counts: Scores) -> Scores:
        places = ranks((counts[:, :, None] * held).reshape(len(counts), -1))
        middle = (counts @ opinions + 1)[:, None] / 2
        ranked = (places - middle).reshape(-1, *scores.shape) * held
        return np.column_stack(
            [_alpha(values, opinions, counts) for values in (centred[None], ranked)]
        )

    return measure


def _alpha(values: Scores, opinions: Scores, counts: Scores) -> Scores:
    """Return 1 less observed over expected disagreement of values (resamples, pairs, annotators).

    Missing values are 0 and not among the ``opinions``. Over the ordered pairs of m values, squared
    differences sum to 2 (m times the sum of squares less the square of the sum).
    """
    total, squares = values.sum(axis=2), np.einsum("rpa,rpa->rp", values, values)
    within = (opinions * squares - total**2) / (opinions - 1)
    size = counts @ opinions
    observed = (counts * within).sum(axis=1) / size
    spread = size * (counts * squares).sum(axis=1) - (counts * total).sum(axis=1) ** 2
    alpha: Scores = 1 - observed / (spread / (size * (size - 1)))
    return alpha
