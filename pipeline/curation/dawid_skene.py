"""Who errs how, without gold: the model of Dawid and Skene (1979) over ordinal grades.

Every pair has one true grade; every annotator has its own probabilities of giving grade l where k
is true, whatever the pair. Both are found by expectation maximisation from the given grades alone.
One thing is added for graded scores: annotators are taken to err by small steps rather than by
large ones until their answers say otherwise (a Dirichlet prior). Without it, three annotators and
six grades leave more to be found than some hundred pairs can tell (docs/decisions/0008).
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float64]

GRADES: Final = 6  # 0 to 5, as in the rubric and the gold sets
PRIOR_PAIRS: Final = 20.0  # pairs of each true grade that the prior counts for
_STEPS: Final = 200
_SETTLED: Final = 1e-4


class Model(NamedTuple):
    """What was found. Grades run over the last axis."""

    truth: Scores  # (pairs, grades): probability of each true grade
    shares: Scores  # (grades,): how frequent each true grade is
    errors: Scores  # (annotators, true grades, given grades)


def graded(scores: Scores) -> Scores:
    """Return scores in [0, 1] as the nearest of the grades 0 to 5; NaN stays NaN."""
    grades: Scores = np.floor(np.asarray(scores) * (GRADES - 1) + 0.5)
    return grades


def usual_errors() -> Scores:
    """Return the prior of an annotator's errors (true, given): e times rarer for each step."""
    steps = np.abs(np.subtract.outer(np.arange(GRADES), np.arange(GRADES)))
    likely = np.exp(-steps.astype(np.float64))
    return _shares(likely)


def fit(grades: Scores, weights: Scores, steps: int = _STEPS) -> Model:
    """Return the model of ``grades`` (annotators, pairs), NaN where there is no opinion.

    A weight is the power to which an annotator's evidence on a pair is taken, relative to the mean
    weight. Pairs with the same grades are counted, not repeated: the cost is that of the distinct
    ones. Starts from the votes, each spread by the usual errors; ends when no probability moves by
    more than 1e-4, or after ``steps``.
    """
    rows = np.nan_to_num(grades.T, nan=-1.0).astype(np.int64)
    patterns, place, counts = np.unique(rows, axis=0, return_inverse=True, return_counts=True)
    given = np.eye(GRADES)[patterns] * (patterns >= 0)[:, :, None]  # (patterns, annotators, grades)
    powers = (weights / weights.mean())[:, None, None]
    usual = usual_errors()
    truth = _shares(np.einsum("pal,a,kl->pk", given, weights, usual, optimize=True) + 1e-9)
    for _ in range(steps):
        held = truth * counts[:, None]
        shares = _shares(held.sum(axis=0) + 1.0)
        errors = _shares(np.einsum("pk,pal->akl", held, given, optimize=True) + PRIOR_PAIRS * usual)
        evidence = np.einsum("pal,akl->pk", given, powers * np.log(errors), optimize=True)
        before, truth = truth, _softmax(np.log(shares) + evidence)
        if np.abs(truth - before).max() < _SETTLED:
            break
    truth[(patterns < 0).all(axis=1)] = np.nan
    return Model(truth[place.reshape(-1)], shares, errors)


def expected(model: Model) -> Scores:
    """Return the mean of the true grade of each pair, in [0, 1]; NaN where nobody scored it."""
    mean: Scores = model.truth @ np.arange(GRADES) / (GRADES - 1)
    return np.clip(mean, 0.0, 1.0)


def _shares(values: Scores) -> Scores:
    shares: Scores = values / values.sum(axis=-1, keepdims=True)
    return shares


def _softmax(values: Scores) -> Scores:
    return _shares(np.exp(values - values.max(axis=-1, keepdims=True)))
