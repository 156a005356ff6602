"""Whether cosines still tell pairs apart: the saturation zone, and how vectors fill the sphere.

AnglE (Li & Li, arXiv 2309.12871) starts from the slope of the cosine: with theta the angle between
two vectors, d cos(theta) / d theta = -sin(theta), which vanishes where vectors point the same way
or opposite ways. A pair is **saturated** here when sin(theta) < 0.2: a turn of its vectors changes
its cosine by less than a fifth of what it would at a right angle. That is a cosine above 0.98 or
below -0.98, an angle within 11.5 degrees of 0 or of 180. Shares under other bounds stand beside it.

With f(x) the unit-length vector of a text (Wang & Isola, arXiv 2005.10242):

* alignment, the mean of ||f(x) - f(y)||^2 over positive pairs: 0 where they coincide;
* uniformity, log of the mean of exp(-2 ||f(x) - f(y)||^2) over all pairs of distinct texts: from 0
  (all vectors equal) down to about -4 (spread evenly over a sphere of many dimensions);
* anisotropy, the mean cosine of two texts drawn at random (Ethayarajh, arXiv 1909.00512): 0 where
  no direction is preferred, 1 where all vectors are equal.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.encoder import Vectors, cosine
from pipeline.errors import InputError
from pipeline.evaluation import metrics
from pipeline.evaluation.metrics import Floats
from pipeline.evaluation.resampling import Bootstrap
from pipeline.evaluation.significance import Comparison, compare_means
from pipeline.records import Record

BOUND: Final = 0.2
BOUNDS: Final = (0.1, 0.2, 0.3, 0.5)
DEGREES: Final = 5  # width of a bin of angles
MOST_TEXTS: Final = 5_000  # whose uniformity is computed; of more texts a sample


class Options(NamedTuple):
    """From which gold score on a pair is a positive, and how differences get their intervals."""

    same_meaning: float = 0.8
    bootstrap: Bootstrap = Bootstrap(2_000, 0.95, 13)


class Pairs(NamedTuple):
    """Pairs as rows of the vectors, shape (pairs, 2), and their gold scores (NaN: none), (pairs,).

    ``gold`` is None when no pair has a score.
    """

    rows: NDArray[np.intp]
    gold: NDArray[Any] | None = None


class Space(Record):
    """One model: slopes of the pairs' cosines, and the places of the texts' vectors.

    ``saturated`` is the share of pairs in the zone, ``saturated_same`` and ``saturated_opposite``
    its parts near 0 and near 180 degrees, ``saturated_positives`` the share of positives in it.
    ``within`` is the share under each of `BOUNDS`, by bound such as "0.1". ``slope`` is the mean of
    sin(theta). ``angles`` counts pairs by angle in bins of 5 degrees from 0 to 180.
    """

    saturated: float
    saturated_same: float
    saturated_opposite: float
    saturated_positives: float | None
    within: dict[str, float]
    slope: float
    angles: tuple[int, ...]
    alignment: float | None
    uniformity: float | None
    anisotropy: float | None


class Saturation(Record):
    """Base and adapted on the same pairs; differences are those of ``saturated`` and ``slope``."""

    pairs: int
    positives: int
    texts: int
    bound: float
    same_meaning: float
    confidence: float
    base: Space
    adapted: Space
    saturated: Comparison | None
    slope: Comparison | None


def saturation(
    base: Vectors, adapted: Vectors, pairs: Pairs, options: Options | None = None
) -> Saturation:
    """Compare how two models use the sphere.

    Args:
        base: unit-length vectors of distinct texts, shape (texts, dimensions).
        adapted: those of the other model, in the same order; dimensions may differ.
        pairs: which texts are compared.
        options: see `Options`.

    Returns:
        Alignment is None without a positive, uniformity and anisotropy with fewer than two texts,
        the comparisons with fewer than two pairs.

    Raises:
        InputError: when there is no pair, or shapes do not fit.
    """
    options = options or Options()
    _check(base, adapted, pairs)
    positive = _positive(pairs, options.same_meaning)
    slopes = [np.sin(_angles(vectors, pairs)) for vectors in (base, adapted)]
    zones = [(slope < BOUND).astype(np.float64) for slope in slopes]
    several = len(pairs.rows) > 1
    return Saturation(
        pairs=len(pairs.rows),
        positives=int(positive.sum()),
        texts=len(base),
        bound=BOUND,
        same_meaning=options.same_meaning,
        confidence=options.bootstrap.confidence,
        base=space(base, pairs, positive),
        adapted=space(adapted, pairs, positive),
        saturated=compare_means(zones[0], zones[1], options.bootstrap) if several else None,
        slope=compare_means(slopes[0], slopes[1], options.bootstrap) if several else None,
    )


def space(vectors: Vectors, pairs: Pairs, positive: NDArray[np.bool_]) -> Space:
    """Return the figures of one model; ``positive`` says which pairs are, shape (pairs,)."""
    angles = _angles(vectors, pairs)
    slopes = np.sin(angles)
    zone, near = slopes < BOUND, angles < np.pi / 2
    bins = np.arange(0, 180 + DEGREES, DEGREES)
    return Space(
        saturated=float(zone.mean()),
        saturated_same=float((zone & near).mean()),
        saturated_opposite=float((zone & ~near).mean()),
        saturated_positives=float(zone[positive].mean()) if positive.any() else None,
        within={f"{bound:g}": float((slopes < bound).mean()) for bound in BOUNDS},
        slope=float(slopes.mean()),
        angles=tuple(np.histogram(np.degrees(angles), bins)[0].tolist()),
        alignment=alignment(angles[positive]) if positive.any() else None,
        uniformity=uniformity(vectors) if len(vectors) > 1 else None,
        anisotropy=anisotropy(vectors) if len(vectors) > 1 else None,
    )


def alignment(angles: Floats) -> float:
    """Return the mean squared distance of unit vectors at ``angles`` (radians): 2 - 2 cos."""
    return float(np.mean(2.0 - 2.0 * np.cos(angles)))


def uniformity(vectors: Vectors) -> float:
    """Return log mean exp(-2 ||x - y||^2) over all pairs of unit vectors, each pair once.

    Exact for up to 5,000 vectors, in blocks; of more, that of 5,000 drawn with a fixed seed.
    """
    if len(vectors) > MOST_TEXTS:
        chosen = np.random.default_rng(0).choice(len(vectors), MOST_TEXTS, replace=False)
        vectors = vectors[np.sort(chosen)]
    total, count = 0.0, len(vectors)
    for rows in metrics.blocks(count, count):
        squared = 2.0 - 2.0 * (vectors[rows] @ vectors.T)
        own = np.arange(count)[rows]
        squared[np.arange(len(own)), own] = np.inf  # a vector and itself are no pair
        total += float(np.exp(-2.0 * squared).sum(dtype=np.float64))
    return float(np.log(total / (count * (count - 1))))


def anisotropy(vectors: Vectors) -> float:
    """Return the mean cosine over all pairs of unit vectors, each with every other.

    From the length of their sum: ||sum x||^2 is the sum of all cosines, those with itself included.
    """
    whole = vectors.astype(np.float64)
    total, own = whole.sum(axis=0), (whole**2).sum()
    return float((total @ total - own) / (len(whole) * (len(whole) - 1)))


def _angles(vectors: Vectors, pairs: Pairs) -> Floats:
    """Return the angle of each pair in radians, [0, pi]."""
    left, right = vectors[pairs.rows[:, 0]], vectors[pairs.rows[:, 1]]
    angles: Floats = np.arccos(np.clip(cosine(left, right), -1.0, 1.0))
    return angles


def _positive(pairs: Pairs, same_meaning: float) -> NDArray[np.bool_]:
    if pairs.gold is None:
        return np.zeros(len(pairs.rows), dtype=bool)
    found: NDArray[np.bool_] = np.asarray(pairs.gold, dtype=np.float64) >= same_meaning
    return found


def _check(base: Vectors, adapted: Vectors, pairs: Pairs) -> None:
    if len(base) != len(adapted):
        message = f"{len(base)} vectors of the base, {len(adapted)} of the adapted model"
        raise InputError(message)
    if pairs.rows.ndim != 2 or pairs.rows.shape[1] != 2 or not len(pairs.rows):
        message = f"pairs of shape {pairs.rows.shape}: give at least one, as two rows of vectors"
        raise InputError(message)
    if pairs.rows.min() < 0 or pairs.rows.max() >= len(base):
        message = f"a pair names vector {pairs.rows.max()}, but there are {len(base)}"
        raise InputError(message)
    if pairs.gold is not None and len(pairs.gold) != len(pairs.rows):
        message = f"{len(pairs.gold)} gold scores for {len(pairs.rows)} pairs: NaN for none"
        raise InputError(message)
