"""The learning curve: what more labels would bring, from models trained on nested subsets.

The curve is ρ(n) = a + b·log₂ n for n training pairs: b is the gain of a doubling. A power law that
levels off (ρ = c − k·n^−a; Figueroa et al. 2012, https://doi.org/10.1186/1472-6947-12-8) has three
parameters, goes through three points exactly, and so says nothing of how wrong it is; the logarithm
leaves a degree of freedom to see a bend by, and within a doubling the two hardly differ.

The points are not independent: all are measured on the same gold pairs. They are fitted by
generalised least squares with Σ = (covariance of the points over resamples of the pairs) +
(variance over seeds, pooled, per mean), so what makes the pairs easy or hard for all models cancels
out of the slope. Where the points scatter about the line more than Σ allows, the interval is made
wider by the root of χ² / degrees of freedom (Birge's ratio).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from scipy.stats import chi2

from pipeline.errors import ConfigError
from pipeline.evaluation.metrics import Floats
from pipeline.evaluation.resampling import Bootstrap
from pipeline.records import Record
from pipeline.trials import table
from pipeline.trials.table import Interval, Part, Scored

FAR: Final = 2.0  # beyond so many times the pairs, a figure is called extrapolated far
BENT: Final = 0.05

_ROUNDING: Final = 1e-9


class Point(Record):
    """One share: its training pairs, ρ with the interval over pairs and seeds, and ρ by seed."""

    share: float
    pairs: int
    rho: float
    interval: Interval
    by_seed: tuple[float, ...]


class Fit(Record):
    """The line through the points of one split.

    ``gain`` is that of twice the pairs, with its interval; ``rising`` whether the interval lies
    above 0; ``misfit`` how probable points so far from a line are, None with two.
    """

    points: tuple[Point, ...]
    at: float
    gain: float
    interval: Interval
    rising: bool
    misfit: float | None
    seeds: int


class More(Record):
    """What more labels would bring: ρ gained, ± ``within``; ``far`` beyond a doubling."""

    labels: int
    pairs: int
    gain: float
    within: float
    far: bool


class _Line(NamedTuple):
    level: float
    slope: float
    weights: Floats  # by which the points make up the slope
    surprise: float  # χ² of the points about the line


def fit(shares: Sequence[float], sizes: Sequence[int], found: Sequence[Scored],
        bootstrap: Bootstrap) -> Fit:  # fmt: skip
    """Return the curve through the models of each share.

    Args:
        shares: of the training pairs, ascending; the last one is what the curve is seen from.
        sizes: the training pairs of each share.
        found: what each share's models measured, the same gold pairs and seeds in each.
        bootstrap: how the gold pairs are resampled.

    Raises:
        ConfigError: when there are fewer than two different sizes.
    """
    if len(set(sizes)) < 2:
        message = f"a learning curve needs two sizes of the training set or more, not {sizes}"
        raise ConfigError(message)
    by_seed = np.array([table.rhos(one) for one in found])
    drawn = np.array([table.draws(one, bootstrap) for one in found])
    items, pooled = np.cov(drawn), _pooled(by_seed)
    count = by_seed.shape[1]
    line = _line(sizes, by_seed.mean(axis=1), items + np.eye(len(found)) * pooled.variance)
    freedom = len(found) - 2
    stretch = max(1.0, line.surprise / freedom) if freedom else 1.0
    parts = [
        Part(stretch * float(line.weights @ items @ line.weights), len(found[0].gold) - 1),
        Part(stretch * float(line.weights @ line.weights) * pooled.variance, pooled.freedom),
    ]
    interval = table.around(line.slope, parts[: 1 + (count > 1)], bootstrap.confidence)
    return Fit(
        points=_points((shares, sizes), by_seed, (drawn, pooled), bootstrap.confidence),
        at=line.level,
        gain=line.slope,
        interval=interval,
        rising=interval[0] > _ROUNDING,
        misfit=float(chi2.sf(line.surprise, freedom)) if freedom else None,
        seeds=count,
    )


def _pooled(by_seed: Floats) -> Part:
    """Return the variance of a mean over seeds, pooled over the shares."""
    shares, seeds = by_seed.shape
    if seeds == 1:
        return Part(0.0, 1.0)
    return Part(float(by_seed.var(axis=1, ddof=1).mean()) / seeds, shares * (seeds - 1))


def _line(sizes: Sequence[int], values: Floats, covariance: Floats) -> _Line:
    """Return the line by generalised least squares; its level is that at the last size."""
    across = np.stack([np.ones(len(sizes)), np.log2(np.array(sizes) / sizes[-1])], axis=1)
    least = 1e-9 * max(float(np.trace(covariance)), 1e-12)  # two models may score all pairs alike
    inverse = np.linalg.inv(covariance + np.eye(len(sizes)) * least)
    weights = np.linalg.solve(across.T @ inverse @ across, across.T @ inverse)
    level, slope = weights @ values
    off = values - across @ np.array([level, slope])
    return _Line(float(level), float(slope), weights[1], float(off @ inverse @ off))


def _points(
    shares_sizes: tuple[Sequence[float], Sequence[int]],
    by_seed: Floats,
    spread: tuple[Floats, Part],
    confidence: float,
) -> tuple[Point, ...]:
    drawn, pooled = spread
    made = []
    for share, size, some, draws in zip(*shares_sizes, by_seed, drawn, strict=True):
        parts = [Part(float(draws.var(ddof=1)), float(len(draws) - 1))]
        parts += [pooled] if len(some) > 1 else []
        made.append(
            Point(
                share=share, pairs=size, rho=float(some.mean()), by_seed=tuple(map(float, some)),
                interval=table.around(float(some.mean()), parts, confidence),
            )
        )  # fmt: skip
    return tuple(made)


def more(found: Fit, labels: int, kept: float) -> More:
    """Return what ``labels`` more labelled pairs would bring.

    Args:
        found: the curve.
        labels: pairs to be labelled, beside those that are.
        kept: share of the labelled pairs that can be trained on, in (0, 1].
    """
    pairs, now = round(labels * kept), found.points[-1].pairs
    doublings = math.log2(1 + pairs / now)
    reach = (found.interval[1] - found.interval[0]) / 2
    return More(
        labels=labels, pairs=pairs, gain=found.gain * doublings, within=reach * doublings,
        far=now + pairs > FAR * now,
    )  # fmt: skip


def stated(found: Fit) -> str:
    """Return what the curve says, in one sentence or two."""
    low, high = found.interval
    change = f"{found.gain:+.3f} ({low:+.3f} to {high:+.3f}) for twice the pairs"
    if found.rising:
        text = f"More labels help: {change}."
    elif high < -_ROUNDING:
        text = f"More labels hurt: {change}. Look at the labels before buying more."
    else:
        text = f"Not told from flat: {change}. Nothing here says that more labels would help."
    if found.misfit is not None and found.misfit < BENT:
        text += f" The points are not on a line (p = {found.misfit:.3f}): take it as a hint only."
    return text
