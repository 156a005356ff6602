"""How often chance alone gives such a difference: the paired permutation test, two-sided.

Were two systems the same, it would not matter which of them gave which of an item's two scores. So
the two are swapped at random, item by item, and the share of swaps that differ at least as much as
the systems do is the p-value, the given order being one of them: (1 + count) / (1 + permutations),
which is never 0 (Phipson and Smyth 2010, https://doi.org/10.2202/1544-6115.1585).

Scores can be swapped only where they mean the same, and cosines of two models do not: one has them
all between 0.8 and 0.9, the other between 0 and 1, and a mixture of both would order items by the
model that they were taken from. Spearman's ρ and average precision depend on the order within a
system alone, so mid-ranks are swapped; Pearson's r does not change with a system's mean and spread,
so scores in units of standard deviations are. A system's ranks are taken once, before swapping.

All but average precision are sums over items that change by a known amount where the item is
swapped: a matrix of swaps times those amounts gives every permutation at once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from pipeline.evaluation import binary, resampling
from pipeline.evaluation.metrics import Floats, paired, standard
from pipeline.evaluation.resampling import Bootstrap, Swaps

_ROUNDING: Final = 1e-9  # differences this close to each other are equal
_FLAT: Final = 1e-12  # a variance below this, of values in standard units, is that of a constant


def of_spearman(
    gold: NDArray[Any], base: NDArray[Any], adapted: NDArray[Any], bootstrap: Bootstrap
) -> float:
    """Return the p-value of the difference in Spearman's ρ with ``gold``, all of shape (pairs,).

    Raises:
        InputError: when lengths differ, or a value is not a finite number.
    """
    gold, base, adapted = _three(gold, base, adapted)
    return of_pearson(rankdata(gold), rankdata(base), rankdata(adapted), bootstrap)


def of_pearson(
    gold: NDArray[Any], base: NDArray[Any], adapted: NDArray[Any], bootstrap: Bootstrap
) -> float:
    """Return the p-value of the difference in Pearson's r with ``gold``, all of shape (pairs,).

    Raises:
        InputError: when lengths differ, or a value is not a finite number.
    """
    gold, base, adapted = _three(gold, base, adapted)
    gold, left, right = standard(gold), standard(base), standard(adapted)
    step = right - left
    steps = np.stack([gold * step, step, right**2 - left**2], axis=1)

    def difference(swapped: Swaps) -> Floats:
        shared, moved, squares = (swapped.astype(np.float64) @ steps).T / len(gold)
        return (
            _correlation(gold @ right / len(gold) - shared, np.mean(right) - moved,
                         np.mean(right**2) - squares)
            - _correlation(gold @ left / len(gold) + shared, np.mean(left) + moved,
                           np.mean(left**2) + squares)
        )  # fmt: skip

    return _p(len(gold), bootstrap, difference)


def _three(
    gold: NDArray[Any], base: NDArray[Any], adapted: NDArray[Any]
) -> tuple[Floats, Floats, Floats]:
    """Return three columns as finite numbers of one length."""
    wanted, left = paired(gold, base)
    return wanted, left, paired(gold, adapted)[1]


def of_means(base: NDArray[Any], adapted: NDArray[Any], bootstrap: Bootstrap) -> float:
    """Return the p-value of the difference of two means of a measure that each query has.

    Raises:
        InputError: when lengths differ, or a value is not a finite number.
    """
    base, adapted = paired(base, adapted)
    step = adapted - base
    scale = np.abs(step).max(initial=0.0) or 1.0

    def difference(swapped: Swaps) -> Floats:
        found: Floats = (1.0 - 2.0 * swapped) @ (step / scale) / len(step)
        return found

    return _p(len(base), bootstrap, difference)


def of_average_precision(
    labels: NDArray[Any], base: NDArray[Any], adapted: NDArray[Any], bootstrap: Bootstrap
) -> float:
    """Return the p-value of the difference in average precision, all of shape (pairs,).

    Raises:
        InputError: when lengths differ, a label is neither 0 nor 1 or all are the same, or a score
            is not a finite number.
    """
    labels, base = binary.labelled(labels, base)
    _, adapted = paired(labels, adapted)
    # Both systems' ranks are sorted together once; each permutation accepts one of an item's two.
    both = np.concatenate([rankdata(base), rankdata(adapted)])
    thresholds = binary.Thresholds.of(np.tile(labels, 2), both)
    whole = thresholds.accepted(np.ones((1, len(both)), dtype=np.int32))

    def difference(swapped: Swaps) -> Floats:
        ours = thresholds.accepted(np.hstack([1 - swapped, swapped]).astype(np.int32))
        others = [every - mine for every, mine in zip(whole, ours, strict=True)]
        return binary.averaged(*others) - binary.averaged(*ours)

    return _p(len(labels), bootstrap, difference)


def _p(size: int, bootstrap: Bootstrap, difference: Callable[[Swaps], Floats]) -> float:
    given = float(difference(np.zeros((1, size), dtype=np.uint8))[0])
    found = resampling.swaps(size, bootstrap, difference)
    as_far = int((np.abs(found) >= abs(given) - _ROUNDING).sum())
    return (1 + as_far) / (1 + bootstrap.resamples)


def _correlation(shared: Floats, mean: Floats, square: Floats) -> Floats:
    """Return r with a standard gold, from the means of product, value and square; 0 if constant."""
    variance = square - mean**2
    values: Floats = np.zeros_like(variance)
    np.divide(shared, np.sqrt(np.maximum(variance, 0)), out=values, where=variance > _FLAT)
    return values
