"""What trials show: ρ of each, its difference to the domain's own setting, and how sure that is.

Two things make a difference uncertain, and both are stated. *Items*: other gold pairs would have
given another figure; the pairs are resampled, the same ones for both settings, with the trained
models as they are (paired bootstrap, percentile interval). *Seeds*: training again with another
seed gives another model; the differences of the seeds are a sample (Student's t). With a variance
of each, v₁ of the items and v₂ = s² / seeds, the difference lies within ± t·√(v₁ + v₂), its degrees
of freedom after Satterthwaite (1946, https://doi.org/10.2307/3002019), and so does its p-value.
With one seed, the items are all that is known, and the table says so.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.stats import t as student

from pipeline.evaluation import resampling
from pipeline.evaluation.metrics import Floats, spearman
from pipeline.evaluation.resampling import Bootstrap
from pipeline.evaluation.significance import holm, spearmans
from pipeline.records import Record
from pipeline.trials.grid import Trial
from pipeline.trials.scores import GENERAL, ScoredPair

SPLITS: Final = ("dev", "test", GENERAL)

Interval = tuple[float, float]


class Effect(Record):
    """ρ of a trial on one split, and its difference to the domain's own setting.

    ``base`` is ρ of the backbone with this trial's template and pooling. Intervals are of the
    difference: over items, over seeds (None with one seed), and over both.
    """

    rho: float
    by_seed: tuple[float, ...]
    base: float
    difference: float = 0.0
    items: Interval | None = None
    seeds: Interval | None = None
    both: Interval | None = None
    p: float | None = None
    p_holm: float | None = None


class Row(Record):
    """A trial and what it came to; ``failed`` says why there is nothing."""

    trial: Trial
    dev: Effect | None = None
    test: Effect | None = None
    general: Effect | None = None
    pairs: int | None = Field(None, description="training pairs")
    seconds: float | None = Field(None, description="mean time of training")
    models: tuple[str, ...] = Field((), description="digests of the models, by seed")
    failed: str = ""


class Scored(NamedTuple):
    """What one split of a trial measured: gold and base (pairs,), adapted (seeds, pairs)."""

    gold: Floats
    base: Floats
    adapted: Floats


class Difference(NamedTuple):
    """A difference, with the draws of it over items and its values by seed."""

    by_seed: Floats
    draws: Floats


def scored(by_seed: Sequence[Sequence[ScoredPair]], split: str) -> Scored:
    """Return the pairs of a split as arrays, from the rows of each seed."""
    rows = [[pair for pair in some if pair.split == split] for some in by_seed]
    return Scored(
        np.array([pair.gold for pair in rows[0]]),
        np.array([pair.base for pair in rows[0]]),
        np.array([[pair.adapted for pair in some] for some in rows]),
    )


def effects(found: Sequence[Scored], bootstrap: Bootstrap) -> list[Effect]:
    """Return the effect of each trial against the first, which is the domain's own setting.

    Differences are taken seed by seed; p-values are adjusted for the number of trials (Holm).
    """
    own, *others = found
    reference = rhos(own), draws(own, bootstrap)
    plain = [_plain(one) for one in found]
    made = []
    for one, effect in zip(others, plain[1:], strict=True):
        step = Difference(rhos(one) - reference[0], draws(one, bootstrap) - reference[1])
        made.append(_against(effect, step, len(one.gold), bootstrap.confidence))
    adjusted = holm([effect.p or 0.0 for effect in made])
    return plain[:1] + [
        effect.model_copy(update={"p_holm": p}) for effect, p in zip(made, adjusted, strict=True)
    ]


def rhos(one: Scored) -> Floats:
    """Return Spearman's ρ of each seed, shape (seeds,)."""
    return np.array([spearman(one.gold, cosines) for cosines in one.adapted])


def draws(one: Scored, bootstrap: Bootstrap) -> Floats:
    """Return the mean ρ over the seeds in each resample of the pairs, shape (resamples,).

    Equal bootstraps draw the same pairs, so the draws of two trials can be subtracted.
    """
    rhos_of = spearmans(one.gold, list(one.adapted))

    def mean(drawn: NDArray[np.int32]) -> Floats:
        return np.asarray(rhos_of(drawn).mean(axis=1), dtype=np.float64)

    return resampling.draws(len(one.gold), bootstrap, mean)


def _plain(one: Scored) -> Effect:
    found = rhos(one)
    return Effect(
        rho=float(found.mean()), by_seed=tuple(map(float, found)), base=spearman(one.gold, one.base)
    )


def _against(effect: Effect, step: Difference, items: int, confidence: float) -> Effect:
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(step.draws, [tail, 1.0 - tail])
    count, difference = len(step.by_seed), float(step.by_seed.mean())
    of_items = Part(float(step.draws.var(ddof=1)), items - 1)
    parts, seeds = [of_items], None
    if count > 1:
        of_seeds = Part(float(step.by_seed.var(ddof=1)) / count, count - 1)
        parts.append(of_seeds)
        seeds = around(difference, [of_seeds], confidence)
    changes: dict[str, Any] = {
        "difference": difference, "items": (float(low), float(high)), "seeds": seeds,
        "both": around(difference, parts, confidence), "p": p_value(difference, parts),
    }  # fmt: skip
    return effect.model_copy(update=changes)


class Part(NamedTuple):
    """A variance and the degrees of freedom that it was estimated with."""

    variance: float
    freedom: float


def around(value: float, parts: Sequence[Part], confidence: float) -> Interval:
    """Return the interval about ``value`` whose variance is the sum of ``parts``."""
    whole = together(parts)
    reach = math.sqrt(whole.variance) * float(student.ppf((1 + confidence) / 2, whole.freedom))
    return value - reach, value + reach


def p_value(value: float, parts: Sequence[Part]) -> float:
    """Return how probable so large a value is, either way, where the truth is 0."""
    whole = together(parts)
    if whole.variance == 0:
        return 0.0 if value else 1.0
    return float(2 * student.sf(abs(value) / math.sqrt(whole.variance), whole.freedom))


def together(parts: Sequence[Part]) -> Part:
    """Return the sum of independent variances, its degrees of freedom after Satterthwaite."""
    variance = sum(part.variance for part in parts)
    spread = sum(part.variance**2 / part.freedom for part in parts)
    return Part(variance, variance**2 / spread if spread else sum(p.freedom for p in parts))


def best(rows: Sequence[Row], alpha: float, allowed_loss: float) -> tuple[Row, bool]:
    """Return the row to choose, by the dev pairs, and whether it is told from the first.

    That is the highest ρ of those whose gain is told from noise with all rows counted, and which
    forget no more of general text than is allowed; where there is none, the first row: the domain's
    own setting. The test pairs have no say.
    """
    told = [row for row in rows[1:] if row.dev and row.dev.difference > 0
            and (row.dev.p_holm or 0.0) <= alpha and not forgets(row, allowed_loss)]  # fmt: skip
    ranked = sorted(told, key=lambda row: -(row.dev.rho if row.dev else 0.0))
    return (ranked[0], True) if ranked else (rows[0], False)


def forgets(row: Row, allowed_loss: float) -> bool:
    """Return whether a trial is told to lose more on general text than is allowed."""
    return bool(row.general and row.general.both and row.general.both[1] < -allowed_loss)
