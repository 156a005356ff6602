"""Duplicate or not: average precision, the best F1 with its threshold, and AUROC.

Labels are 1 (same) or 0 (not), scores rise with similarity. Equal scores are one threshold: they
are accepted together or not at all, as in scikit-learn.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from pipeline.errors import InputError
from pipeline.evaluation.metrics import Floats, paired
from pipeline.evaluation.resampling import Counts


class BestF1(NamedTuple):
    """The best F1, what it is made of, and the score from which on a pair counts as the same."""

    f1: float
    precision: float
    recall: float
    threshold: float


class Thresholds(NamedTuple):
    """Items sorted by score, highest first, and the thresholds at which a positive is gained.

    ``ends`` are the numbers of items accepted at those thresholds, ascending.
    """

    order: NDArray[np.intp]
    positive: NDArray[np.int32]
    ends: NDArray[np.intp]

    @classmethod
    def of(cls, labels: NDArray[Any], scores: NDArray[Any]) -> Thresholds:
        """Sort the items; ``labels`` and ``scores`` of shape (items,)."""
        order = np.argsort(-scores, kind="stable")
        positive = labels[order].astype(np.int32)
        ends = _ends(scores[order])
        gained = np.diff(np.cumsum(positive)[ends - 1], prepend=0) > 0
        return cls(order, positive, ends[gained])

    def accepted(self, counts: Counts) -> tuple[Counts, Counts]:
        """Return true positives and all accepted at each threshold, item i ``counts[:, i]`` times.

        ``counts`` is of shape (resamples, items), both results of (resamples, thresholds).
        """
        counts = np.take(counts, self.order, axis=1)
        every = np.cumsum(counts, axis=1, dtype=np.int32)
        true = np.cumsum(counts * self.positive, axis=1, dtype=np.int32)
        return np.take(true, self.ends - 1, axis=1), np.take(every, self.ends - 1, axis=1)

    def average_precision(self, counts: Counts) -> Floats:
        """Return the average precision of each resample, 0 where it drew no positive."""
        return averaged(*self.accepted(counts))


def average_precision(labels: NDArray[Any], scores: NDArray[Any]) -> float:
    """Return the mean precision over the positives, each at its own threshold; in (0, 1].

    Without interpolation: the sum over thresholds of precision times the recall gained there, as
    scikit-learn, sentence-transformers and MTEB have it.

    Raises:
        InputError: when a label is neither 0 nor 1, only one of them occurs, or a score is not a
            finite number.
    """
    labels, scores = labelled(labels, scores)
    counts = np.ones((1, len(labels)), dtype=np.int32)
    return float(Thresholds.of(labels, scores).average_precision(counts)[0])


def best_f1(labels: NDArray[Any], scores: NDArray[Any]) -> BestF1:
    """Return the best F1 over all thresholds, the highest threshold among equals.

    A threshold lies midway between the lowest score accepted and the highest refused, as in
    sentence-transformers and MTEB; where all are accepted it is the lowest score.

    Raises:
        InputError: as ``average_precision``.
    """
    labels, scores = labelled(labels, scores)
    order = np.argsort(-scores, kind="stable")
    ends = _ends(scores[order])
    true = np.cumsum(labels[order])[ends - 1]
    f1 = 2.0 * true / (ends + labels.sum())
    best = int(np.argmax(f1))
    end = int(ends[best])
    accepted, refused = scores[order][end - 1], scores[order][min(end, len(scores) - 1)]
    middle = refused + (accepted - refused) / 2.0
    return BestF1(
        f1=float(f1[best]),
        precision=float(true[best] / end),
        recall=float(true[best] / labels.sum()),
        threshold=float(middle if middle > refused else accepted),
    )


def auroc(labels: NDArray[Any], scores: NDArray[Any]) -> float:
    """Return the chance that a positive scores above a negative, equal scores counting half.

    The area under the ROC curve by Mann and Whitney's U.

    Raises:
        InputError: as ``average_precision``.
    """
    labels, scores = labelled(labels, scores)
    positives = labels.sum()
    above = rankdata(scores)[labels == 1].sum() - positives * (positives + 1) / 2
    return float(above / (positives * (len(labels) - positives)))


def labelled(labels: NDArray[Any], scores: NDArray[Any]) -> tuple[Floats, Floats]:
    """Return labels and scores as float64.

    Raises:
        InputError: as ``average_precision``.
    """
    labels, scores = paired(labels, scores)
    wrong = np.flatnonzero((labels != 0) & (labels != 1))
    if len(wrong):
        message = (
            f"label {wrong[0]} of {len(labels)} is {labels[wrong[0]]:g}: a set of duplicates is "
            "labelled 0 or 1; measure a graded set by Spearman's ρ"
        )
        raise InputError(message)
    positives = int(labels.sum())
    if not 0 < positives < len(labels):
        message = (
            f"{positives} of {len(labels)} pairs are labelled 1: a set of duplicates needs pairs "
            "of both labels"
        )
        raise InputError(message)
    return labels, scores


def averaged(true: NDArray[Any], every: NDArray[Any]) -> Floats:
    """Return the average precision from what is accepted at each threshold; 0 without positives.

    ``true`` and ``every`` are of shape (resamples, thresholds) and do not fall along a row.
    """
    gained = np.diff(true, axis=1, prepend=0)
    found = np.einsum("ij,ij->i", gained, true / np.maximum(every, 1))
    values: Floats = found / np.maximum(true[:, -1], 1)
    return values


def _ends(descending: Floats) -> NDArray[np.intp]:
    """Return how many items are accepted at each threshold, equal scores together."""
    return np.append(np.flatnonzero(np.diff(descending)), len(descending) - 1) + 1
