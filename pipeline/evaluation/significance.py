"""How sure a difference is: paired bootstrap with percentile intervals, and a p-value beside it.

Both systems are measured on the same resample of pairs or queries, so what a resample makes easier
for both cancels out (Efron and Tibshirani 1993; for systems of language, Berg-Kirkpatrick et al.
2012, https://aclanthology.org/D12-1091/). Spearman's ρ is computed anew in each resample, ranks
included: values are sorted once, and the ranks of a resample follow from how often it drew each
value (a cumulative sum), so no resample is sorted.

A resample in which a measure is undefined, because it drew one label or one score alone, counts as
no difference. In a set whose labels are nearly all the same such resamples are many, and draw the
interval to 0: it holds no gain that rests on a few pairs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from pipeline.errors import InputError
from pipeline.evaluation import binary, permutation, resampling
from pipeline.evaluation.metrics import Floats, paired, pearson, spearman, standard
from pipeline.evaluation.resampling import Bootstrap, Counts
from pipeline.records import Record

__all__ = [
    "POWER", "Bootstrap", "Comparison", "compare_average_precision", "compare_means",
    "compare_pearson", "compare_spearman", "holm", "spearmans",
]  # fmt: skip

POWER: Final = 0.8

_FLAT: Final = 1e-12  # a variance below this, of values in standard units, is that of a constant


class Comparison(Record):
    """A measure of base and adapted, their difference, and the interval that it lies in.

    ``minimum_detectable`` is the true difference that would be told from zero four times in five.
    ``p`` is that of the paired permutation test, two-sided; ``p_holm`` is the same for one of
    several sets, once all are known.
    """

    base: float
    adapted: float
    difference: float
    low: float
    high: float
    minimum_detectable: float
    p: float
    p_holm: float | None = None


def compare_spearman(
    gold: NDArray[Any], base: NDArray[Any], adapted: NDArray[Any], bootstrap: Bootstrap
) -> Comparison:
    """Compare two systems by Spearman's ρ with ``gold``; pairs are resampled together.

    All are of shape (pairs,).

    Raises:
        InputError: when there are fewer than two pairs or lengths differ, ``gold`` is constant, or
            a value is not a finite number.
    """
    gold, base, adapted = _graded(gold, base, adapted)
    rhos = spearmans(gold, [base, adapted])

    def difference(drawn: Counts) -> Floats:
        found = rhos(drawn)
        step: Floats = found[:, 1] - found[:, 0]
        return step

    measured = spearman(gold, base), spearman(gold, adapted)
    p = permutation.of_spearman(gold, base, adapted, bootstrap)
    return _comparison(measured, resampling.draws(len(gold), bootstrap, difference), p, bootstrap)


def compare_pearson(
    gold: NDArray[Any], base: NDArray[Any], adapted: NDArray[Any], bootstrap: Bootstrap
) -> Comparison:
    """Compare two systems by Pearson's r with ``gold``; pairs are resampled together.

    All are of shape (pairs,).

    Raises:
        InputError: as ``compare_spearman``.
    """
    gold, base, adapted = _graded(gold, base, adapted)
    wanted, left, right = (standard(values) for values in (gold, base, adapted))
    powers = [wanted, wanted**2]
    powers += [power for side in (left, right) for power in (side, side**2, side * wanted)]
    table = np.stack(powers, axis=1)

    def difference(drawn: Counts) -> Floats:
        mean, square, *sides = (drawn.astype(np.float64) @ table).T / len(gold)
        found = []
        for own, own_square, shared in (sides[:3], sides[3:]):
            spread = np.stack([square - mean**2, own_square - own**2])
            found.append(_ratio(shared - mean * own, np.where(spread > _FLAT, spread, 0).prod(0)))
        return found[1] - found[0]

    measured = pearson(gold, base), pearson(gold, adapted)
    p = permutation.of_pearson(gold, base, adapted, bootstrap)
    return _comparison(measured, resampling.draws(len(gold), bootstrap, difference), p, bootstrap)


def compare_means(base: NDArray[Any], adapted: NDArray[Any], bootstrap: Bootstrap) -> Comparison:
    """Compare two systems by the mean of a measure that each query has, shapes (queries,).

    Raises:
        InputError: when there are fewer than two queries or lengths differ, or a value is not a
            finite number.
    """
    base, adapted = paired(base, adapted)
    _require_two(len(base))
    step = adapted - base
    found = resampling.draws(len(step), bootstrap, lambda drawn: drawn @ step / len(step))
    measured = float(np.mean(base)), float(np.mean(adapted))
    return _comparison(measured, found, permutation.of_means(base, adapted, bootstrap), bootstrap)


def compare_average_precision(
    labels: NDArray[Any], base: NDArray[Any], adapted: NDArray[Any], bootstrap: Bootstrap
) -> Comparison:
    """Compare two systems by average precision; pairs are resampled together.

    All are of shape (pairs,), labels 0 or 1.

    Raises:
        InputError: when lengths differ, a label is neither 0 nor 1 or all are the same, or a score
            is not a finite number.
    """
    labels, base = binary.labelled(labels, base)
    _, adapted = paired(labels, adapted)
    left, right = (binary.Thresholds.of(labels, scores) for scores in (base, adapted))

    def difference(drawn: Counts) -> Floats:
        return right.average_precision(drawn) - left.average_precision(drawn)

    measured = (binary.average_precision(labels, base), binary.average_precision(labels, adapted))
    p = permutation.of_average_precision(labels, base, adapted, bootstrap)
    return _comparison(measured, resampling.draws(len(labels), bootstrap, difference), p, bootstrap)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return the p-values adjusted for their number, in the order given.

    Holm's step-down procedure (1979, https://www.jstor.org/stable/4615733): the smallest of m
    times m, the next times m - 1, none below one before it or above 1. Calling those below 0.05
    significant errs in any of them at most once in twenty, however the sets depend on each other.

    Raises:
        InputError: when a value is not between 0 and 1.
    """
    values = np.asarray(p_values, dtype=np.float64)
    if not ((values >= 0) & (values <= 1)).all():
        raise InputError(f"p-values lie between 0 and 1; given are {list(p_values)}")
    order = np.argsort(values, kind="stable")
    raised = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1))
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(raised, 1.0)
    return [float(value) for value in adjusted]


def spearmans(gold: NDArray[Any], systems: Sequence[NDArray[Any]]) -> Callable[[Counts], Floats]:
    """Return the function from resamples to each system's ρ with ``gold``; values are sorted here.

    ``gold`` and each system are of shape (items,). The function takes how often each resample drew
    each item, shape (resamples, items), and gives ρ of shape (resamples, systems).
    """
    wanted, found = _Sorted.of(gold), [_Sorted.of(values) for values in systems]

    def rhos(drawn: Counts) -> Floats:
        ranks = wanted.ranks(drawn)
        return np.stack([_correlation(ranks, one.ranks(drawn), drawn) for one in found], axis=1)

    return rhos


class _Sorted(NamedTuple):
    """Values sorted once: their order, and each item's run of equal values in that order."""

    order: NDArray[np.intp]
    first: NDArray[np.intp]
    last: NDArray[np.intp]
    tied: bool

    @classmethod
    def of(cls, values: NDArray[Any]) -> _Sorted:
        order = np.argsort(values, kind="stable")
        _, group, sizes = np.unique(values, return_inverse=True, return_counts=True)
        ends = np.cumsum(sizes)
        return cls(order, (ends - sizes)[group], ends[group], len(sizes) < len(values))

    def ranks(self, drawn: Counts) -> Floats:
        """Return twice the centred mean rank of each item in each resample, shape of ``drawn``."""
        below = np.zeros((len(drawn), drawn.shape[1] + 1), dtype=np.int32)
        np.cumsum(np.take(drawn, self.order, axis=1), axis=1, out=below[:, 1:])
        ranks = np.take(below, self.last, axis=1)
        if self.tied:
            ranks += np.take(below, self.first, axis=1)
        else:  # all below an item's last copy, less its copies, are below its first
            ranks *= 2
            ranks -= drawn
        ranks -= drawn.shape[1]  # ranks run from 1 to n: their sum of two, less n + 1, has mean 0
        return ranks.astype(np.float64)


def _correlation(left: Floats, right: Floats, drawn: Counts) -> Floats:
    weighted = left * drawn
    spread = np.einsum("ij,ij->i", weighted, left) * np.einsum("ij,ij->i", right * drawn, right)
    return _ratio(np.einsum("ij,ij->i", weighted, right), spread)


def _ratio(shared: Floats, spread: Floats) -> Floats:
    values: Floats = np.zeros_like(shared)
    np.divide(shared, np.sqrt(spread), out=values, where=spread > 0)
    return values


def _graded(
    gold: NDArray[Any], base: NDArray[Any], adapted: NDArray[Any]
) -> tuple[Floats, Floats, Floats]:
    gold, base = paired(gold, base)
    _, adapted = paired(gold, adapted)
    _require_two(len(gold))
    if np.ptp(gold) == 0:
        message = (
            f"all {len(gold)} pairs have the gold label {gold[0]:g}: no order of them is right or "
            "wrong; give a set with labels that differ"
        )
        raise InputError(message)
    return gold, base, adapted


def _require_two(items: int) -> None:
    if items < 2:
        raise InputError(f"{items} items cannot tell two systems apart: give two at least")


def _comparison(
    measured: tuple[float, float], found: Floats, p: float, bootstrap: Bootstrap
) -> Comparison:
    base, adapted = measured
    tail = (1.0 - bootstrap.confidence) / 2.0
    low, high = np.quantile(found, [tail, 1.0 - tail])
    detectable = (norm.ppf(1.0 - tail) + norm.ppf(POWER)) * found.std(ddof=1)
    return Comparison(
        base=base,
        adapted=adapted,
        difference=adapted - base,
        low=float(low),
        high=float(high),
        minimum_detectable=float(detectable),
        p=p,
    )
