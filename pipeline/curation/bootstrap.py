"""How sure a figure over pairs is: percentile intervals from resampled pairs (Efron 1979).

A resample is a count for each pair, so figures are weighted sums and all resamples are one matrix
product. Where there are many pairs, the counts of all of them are spread over a part of them
(Kleiner, Talwalkar, Sarkar and Jordan 2014): the width of the interval is that of all the pairs, at
the cost of the part.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np

from pipeline.curation.combine import Scores

RESAMPLES: Final = 1_000
PART: Final = 2_000  # the most pairs that are resampled
CONFIDENCE: Final = 0.95
_SEED: Final = 13
_BLOCK: Final = 40  # resamples at a time: they stay in the processor's cache

Measure = Callable[[Scores], Scores]  # counts (resamples, pairs) -> figures (resamples, figures)


class Estimate(NamedTuple):
    """A figure with its 95 % interval; all three are NaN where it is undefined."""

    value: float
    low: float
    high: float

    def named(self, name: str, ends: str = "") -> dict[str, float]:
        """Return what of the three is defined, as ``name``, ``{ends}low`` and ``{ends}high``."""
        found = dict(zip((name, f"{ends}low", f"{ends}high"), self, strict=True))
        return {key: value for key, value in found.items() if np.isfinite(value)}


def estimates(prepare: Callable[[Scores], Measure], columns: Scores) -> list[Estimate]:
    """Return the figures over the rows of ``columns`` (pairs, any), each with its interval.

    ``prepare`` takes rows and returns the function from counts to figures; what does not depend on
    the counts is done there, once. Resamples in which a figure is NaN do not count.
    """
    part = columns
    if len(columns) > PART:
        chosen = np.random.default_rng(_SEED).choice(len(columns), PART, replace=False)
        part = columns[np.sort(chosen)]
    measure = prepare(part)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.concatenate([measure(counts) for counts in _blocks(len(columns), len(part))])
        values = prepare(columns)(np.ones((1, len(columns))))[0]
        centre = values if part is columns else measure(np.ones((1, len(part))))[0]
    return [
        _estimate(float(value), float(value - at), figures)
        for value, at, figures in zip(values, centre, found.T, strict=True)
    ]


def _estimate(value: float, shift: float, figures: Scores) -> Estimate:
    figures = figures[np.isfinite(figures)]
    if not np.isfinite(value) or not len(figures):
        return Estimate(np.nan, np.nan, np.nan)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(figures, (tail, 1 - tail)) + shift
    return Estimate(value, float(low), float(high))


def _blocks(pairs: int, part: int) -> Iterator[Scores]:
    counts = _counts(pairs, part)
    return (counts[start : start + _BLOCK] for start in range(0, RESAMPLES, _BLOCK))


@lru_cache(maxsize=2)
def _counts(pairs: int, part: int) -> Scores:
    """Return how often each of ``part`` pairs is drawn in ``pairs`` draws, for each resample."""
    draw = np.random.default_rng(_SEED)
    even = np.full(part, 1 / part)
    counts: Scores = draw.multinomial(pairs, even, size=RESAMPLES).astype(np.float64)
    counts.flags.writeable = False
    return counts
