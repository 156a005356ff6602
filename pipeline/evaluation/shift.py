"""What becomes of scores when the adapted model takes the base's place: a map, and new thresholds.

The map is by quantiles: a score under the base becomes the score that as large a share of the same
pairs lies below under the adapted model. It keeps how many pairs a threshold lets through, not
which; ``rank_agreement`` says how far the two models order the pairs alike. It holds for pairs like
those it was made of.

Thresholds are recommended by gold scores (`pipeline.evaluation.threshold`). A pair is a positive
when its score is at least ``same_meaning``, by default 0.8: 4 of 5, "mostly equivalent" in the STS
tasks.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import InputError
from pipeline.evaluation.metrics import Floats, paired, spearman
from pipeline.evaluation.resampling import Bootstrap
from pipeline.evaluation.threshold import FEWEST_ABOVE, Threshold, recommend
from pipeline.records import Record

LEVELS: Final = 101
BINS: Final = 40
QUANTILES: Final = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
FEWEST: Final = 100  # pairs for a map whose ends are worth something


class Options(NamedTuple):
    """What counts as a positive, what is aimed at, and the threshold in use with the base."""

    target_precision: float = 0.9
    same_meaning: float = 0.8
    threshold: float | None = None
    bootstrap: Bootstrap = Bootstrap(2_000, 0.95, 13)


class Distribution(Record):
    """The cosines of one model: ``counts`` fall into the bins that all share.

    ``positives`` are the counts of positive pairs alone, empty without gold; ``quantiles`` are by
    level, such as "0.05".
    """

    mean: float
    sd: float
    quantiles: dict[str, float]
    counts: tuple[int, ...]
    positives: tuple[int, ...]


class Table(Record):
    """Scores of the base, ascending and distinct, and what each becomes; linear in between."""

    old: tuple[float, ...]
    new: tuple[float, ...]


class Operating(Record):
    """A threshold, the share of all pairs at or above it, and by gold its precision and recall."""

    threshold: float
    above: float
    precision: float | None
    recall: float | None


class Present(Record):
    """The threshold in use under the base, the one that takes its place, and what stays.

    ``same_side`` is the share of pairs that both leave on the same side.
    """

    base: Operating
    adapted: Operating
    same_side: float


class Shift(Record):
    """Everything on scores before and after; ``edges`` bound the bins of both distributions."""

    pairs: int
    labelled: int
    positives: int
    target_precision: float
    same_meaning: float
    confidence: float
    rank_agreement: float
    edges: tuple[float, ...]
    base: Distribution
    adapted: Distribution
    table: Table
    recommended: dict[str, Threshold] | None
    present: Present | None
    notes: tuple[str, ...]


def score_shift(
    base: NDArray[Any],
    adapted: NDArray[Any],
    gold: NDArray[Any] | None = None,
    options: Options | None = None,
) -> Shift:
    """Compare the cosines that two models give the same pairs.

    Args:
        base: cosines of the pairs, shape (pairs,).
        adapted: those of the other model, in the same order.
        gold: scores in [0, 1], NaN for a pair without one; None: no pair has one.
        options: see `Options`.

    Returns:
        ``recommended`` has "base" and "adapted", or is None without any gold score; ``present`` is
        None without a threshold in use.

    Raises:
        InputError: when there is no pair, shapes differ, or a cosine is not a finite number.
    """
    options = options or Options()
    left, right = paired(base, adapted)
    if not len(left):
        message = "no pairs to compare the scores of: give at least one"
        raise InputError(message)
    left, right = np.clip(left, -1.0, 1.0), np.clip(right, -1.0, 1.0)
    labels = _labels(gold, len(left), options.same_meaning)
    edges = np.histogram_bin_edges(np.concatenate([left, right]), BINS)
    table = quantile_table(left, right)
    return Shift(
        pairs=len(left),
        labelled=int((~np.isnan(labels)).sum()),
        positives=int(np.nansum(labels)),
        target_precision=options.target_precision,
        same_meaning=options.same_meaning,
        confidence=options.bootstrap.confidence,
        rank_agreement=spearman(left, right) if len(left) > 1 else 0.0,
        edges=tuple(edges.tolist()),
        base=_distribution(left, labels, edges),
        adapted=_distribution(right, labels, edges),
        table=table,
        recommended=_recommended({"base": left, "adapted": right}, labels, options),
        present=_present(left, right, labels, (table, options.threshold)),
        notes=_notes(len(left), labels, table),
    )


def quantile_table(base: NDArray[Any], adapted: NDArray[Any], levels: int = LEVELS) -> Table:
    """Return the map from the quantiles of ``base`` to those of ``adapted``, within [-1, 1].

    Both are taken at ``levels`` levels from 0 to 1, linear between order statistics. Levels that
    share a score of the base share the mean of their new ones. Outside of the pairs' scores the map
    runs straight to (-1, -1) and (1, 1), the cosines of opposite and of equal texts.
    """
    at = np.linspace(0.0, 1.0, levels)
    old, place = np.unique(np.quantile(base, at), return_inverse=True)
    new = np.bincount(place, np.quantile(adapted, at)) / np.bincount(place)
    new = np.maximum.accumulate(new)  # a rounding apart, a mean of equal numbers may fall
    lowest, highest = [-1.0] * bool(old[0] > -1.0), [1.0] * bool(old[-1] < 1.0)
    return Table(
        old=(*lowest, *old.tolist(), *highest),
        new=(*lowest, *np.clip(new, -1.0, 1.0).tolist(), *highest),
    )


def map_score(table: Table, old: float) -> float:
    """Return the adapted model's score for ``old``, one of the base's; monotone, in [-1, 1].

    The same as ``numpy.interp(old, table.old, table.new)``, so JSON of the table is all that a
    user of the map needs.
    """
    return float(np.interp(old, table.old, table.new))


def _labels(gold: NDArray[Any] | None, pairs: int, same_meaning: float) -> Floats:
    """Return 1 for positives, 0 for other pairs with a gold score, NaN for those without."""
    scores = np.full(pairs, np.nan) if gold is None else np.asarray(gold, dtype=np.float64)
    if scores.shape != (pairs,):
        message = f"{len(scores)} gold scores for {pairs} pairs: give one each, NaN for none"
        raise InputError(message)
    return np.where(np.isnan(scores), np.nan, scores >= same_meaning)


def _distribution(cosines: Floats, labels: Floats, edges: Floats) -> Distribution:
    positives = cosines[labels == 1]
    return Distribution(
        mean=float(cosines.mean()),
        sd=float(cosines.std()),
        quantiles={f"{level:g}": float(np.quantile(cosines, level)) for level in QUANTILES},
        counts=tuple(np.histogram(cosines, edges)[0].tolist()),
        positives=()
        if np.isnan(labels).all()
        else tuple(np.histogram(positives, edges)[0].tolist()),
    )


def _recommended(
    systems: Mapping[str, Floats], labels: Floats, options: Options
) -> dict[str, Threshold] | None:
    known = ~np.isnan(labels)
    if not known.any():
        return None
    target, bootstrap = options.target_precision, options.bootstrap
    return {
        name: recommend(cosines[known], labels[known], target, bootstrap)
        for name, cosines in systems.items()
    }


def _present(
    base: Floats, adapted: Floats, labels: Floats, asked: tuple[Table, float | None]
) -> Present | None:
    table, threshold = asked
    if threshold is None:
        return None
    mapped = map_score(table, threshold)
    return Present(
        base=_operating(base, labels, threshold),
        adapted=_operating(adapted, labels, mapped),
        same_side=float(np.mean((base >= threshold) == (adapted >= mapped))),
    )


def _operating(cosines: Floats, labels: Floats, threshold: float) -> Operating:
    above, known = cosines >= threshold, ~np.isnan(labels)
    true, every = int((labels[above & known]).sum()), int((above & known).sum())
    positives = int(np.nansum(labels))
    return Operating(
        threshold=threshold,
        above=float(above.mean()),
        precision=true / every if every else None,
        recall=true / positives if positives else None,
    )


def _notes(pairs: int, labels: Floats, table: Table) -> tuple[str, ...]:
    positives = int(np.nansum(labels))
    notes = []
    if pairs < FEWEST:
        notes.append(f"{pairs} pairs are few for a map of scores: its ends rest on single pairs.")
    if not np.isnan(labels).all() and positives < FEWEST_ABOVE:
        notes.append(f"{positives} positive pairs are too few to recommend a threshold.")
    if len(set(table.old)) <= 3:
        notes.append("The base gives nearly all pairs the same score: it cannot be mapped.")
    return tuple(notes)
