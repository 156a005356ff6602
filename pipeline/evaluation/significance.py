"""How sure a difference is: paired bootstrap over pairs or queries, percentile intervals.

Both systems are measured on the same resample, so what a resample makes easier for both cancels
out. Spearman's ρ is computed anew in each resample, ranks included: values are sorted once, and
the ranks of a resample follow from how often it drew each value (a cumulative sum), so no
resample is sorted.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from pipeline.evaluation.metrics import Floats, spearman
from pipeline.records import Record

POWER: Final = 0.8

_BLOCK: Final = 1 << 16  # draws held at once: 512 KiB of float64 stays in the processor's cache
_COLUMNS: Final = 32  # resamples held at once, however many items there are

Counts = NDArray[np.float64]


class Bootstrap(NamedTuple):
    """How often to resample, how wide the interval is, and the seed of the draws."""

    resamples: int
    confidence: float
    seed: int


class Comparison(Record):
    """A measure of base and adapted, their difference, and the interval that it lies in.

    ``minimum_detectable`` is the true difference that would be told from zero four times in five.
    """

    base: float
    adapted: float
    difference: float
    low: float
    high: float
    minimum_detectable: float


def compare_spearman(
    gold: NDArray[Any], base: NDArray[Any], adapted: NDArray[Any], bootstrap: Bootstrap
) -> Comparison:
    """Compare two systems by Spearman's ρ with ``gold``; pairs are resampled together."""
    wanted, left, right = (_Sorted.of(values) for values in (gold, base, adapted))
    found = [_difference(wanted, left, right, drawn) for drawn in draws(len(gold), bootstrap)]
    measured = spearman(gold, base), spearman(gold, adapted)
    return _comparison(*measured, np.concatenate(found), bootstrap.confidence)


def compare_means(base: NDArray[Any], adapted: NDArray[Any], bootstrap: Bootstrap) -> Comparison:
    """Compare two systems by the mean of a measure that each query has."""
    differences = np.asarray(adapted, dtype=np.float64) - base
    found = [differences @ drawn / len(base) for drawn in draws(len(base), bootstrap)]
    return _comparison(
        float(np.mean(base)), float(np.mean(adapted)), np.concatenate(found), bootstrap.confidence
    )


def draws(size: int, bootstrap: Bootstrap) -> Iterator[Counts]:
    """Yield how often each of ``size`` items is drawn, shape (size, resamples of this block)."""
    generator = np.random.default_rng(bootstrap.seed)
    step = max(_COLUMNS, _BLOCK // size)
    for start in range(0, bootstrap.resamples, step):
        columns = min(step, bootstrap.resamples - start)
        items = generator.integers(0, size, (columns, size), dtype=np.int32).astype(np.intp)
        items += np.arange(columns)[:, None] * size
        counts = np.bincount(items.ravel(), minlength=columns * size)
        yield np.ascontiguousarray(counts.reshape(columns, size).T, dtype=np.float64)


def spearman_of_draws(left: NDArray[Any], right: NDArray[Any], drawn: Counts) -> Floats:
    """Return Spearman's ρ of each column of ``drawn``: item i repeated ``drawn[i]`` times."""
    return _correlation(_Sorted.of(left).ranks(drawn), _Sorted.of(right).ranks(drawn), drawn)


class _Sorted(NamedTuple):
    """Values sorted once: their order, and each item's run of equal values in that order."""

    order: NDArray[np.intp]
    first: NDArray[np.intp]
    last: NDArray[np.intp]

    @classmethod
    def of(cls, values: NDArray[Any]) -> _Sorted:
        order = np.argsort(values, kind="stable")
        _, group, sizes = np.unique(values, return_inverse=True, return_counts=True)
        ends = np.cumsum(sizes)
        return cls(order, (ends - sizes)[group], ends[group])

    def ranks(self, drawn: Counts) -> Floats:
        """Return the centred mean rank of each item in each resample, shape of ``drawn``."""
        below = np.zeros((len(drawn) + 1, drawn.shape[1]))
        np.cumsum(drawn[self.order], axis=0, out=below[1:])
        ranks: Floats = below[self.first]
        ranks += below[self.last]
        ranks -= len(drawn)  # ranks run from 1 to n: their sum of two, less n + 1, has mean 0
        return ranks


def _difference(gold: _Sorted, base: _Sorted, adapted: _Sorted, drawn: Counts) -> Floats:
    wanted = gold.ranks(drawn)
    measured = [_correlation(wanted, system.ranks(drawn), drawn) for system in (base, adapted)]
    return measured[1] - measured[0]


def _correlation(left: Floats, right: Floats, drawn: Counts) -> Floats:
    weighted = left * drawn
    spread = np.einsum("ij,ij->j", weighted, left)
    spread = spread * np.einsum("ij,ij,ij->j", drawn, right, right)
    shared = np.einsum("ij,ij->j", weighted, right)
    rho: Floats = np.zeros_like(shared)
    np.divide(shared, np.sqrt(spread), out=rho, where=spread > 0)
    return rho


def _comparison(base: float, adapted: float, found: Floats, confidence: float) -> Comparison:
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(found, [tail, 1.0 - tail])
    detectable = (norm.ppf(1.0 - tail) + norm.ppf(POWER)) * found.std(ddof=1)
    return Comparison(
        base=base,
        adapted=adapted,
        difference=adapted - base,
        low=float(low),
        high=float(high),
        minimum_detectable=float(detectable),
    )
