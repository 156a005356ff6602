"""The model of Dawid and Skene: planted errors are found, and its objective never falls."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import spearmanr

from pipeline.curation.dawid_skene import (
    GRADES,
    PRIOR_PAIRS,
    expected,
    fit,
    graded,
    usual_errors,
)

Floats = NDArray[np.float64]


def errors_of(hit: float, rest: Floats) -> Floats:
    """Return error rates: right with probability ``hit``, else as ``rest`` (true, given) says."""
    return hit * np.eye(GRADES) + (1 - hit) * rest


NEXT = np.array([[abs(i - j) == 1 for j in range(GRADES)] for i in range(GRADES)], dtype=float)
NEXT /= NEXT.sum(axis=1, keepdims=True)
ANY = np.full((GRADES, GRADES), 1 / GRADES)
PLANTED = np.stack([errors_of(0.85, NEXT), errors_of(0.75, NEXT), errors_of(0.1, ANY)])


def planted(pairs: int, seed: int = 0) -> tuple[Floats, Floats]:
    """Return true grades, and those that annotators with the planted errors give."""
    draw = np.random.default_rng(seed)
    truth = draw.choice(GRADES, pairs, p=[0.3, 0.2, 0.15, 0.15, 0.1, 0.1])
    given = np.array(
        [[draw.choice(GRADES, p=errors[grade]) for grade in truth] for errors in PLANTED]
    )
    return truth.astype(float), given.astype(float)


def test_planted_errors_and_shares_are_recovered() -> None:
    truth, given = planted(6_000)
    model = fit(given, np.ones(3))
    assert np.abs(model.errors - PLANTED).mean() < 0.03
    assert np.abs(model.errors - PLANTED).max() < 0.15
    assert model.shares == pytest.approx(np.bincount(truth.astype(int)) / 6_000, abs=0.05)
    assert model.truth.sum(axis=1) == pytest.approx(np.ones(6_000))


@pytest.mark.parametrize("seed", range(4))
def test_with_a_noisy_annotator_it_beats_mean_and_median(seed: int) -> None:
    truth, given = planted(600, seed)

    def figures(grades: Floats) -> tuple[float, float]:
        return float(spearmanr(grades, truth).statistic), float(np.abs(grades - truth).mean())

    rho, error = figures(expected(fit(given, np.ones(3))) * (GRADES - 1))
    rho_of_mean, error_of_mean = figures(given.mean(axis=0))
    rho_of_median, error_of_median = figures(np.median(given, axis=0))
    assert rho > rho_of_mean + 0.05
    assert rho > rho_of_median
    assert error < error_of_mean / 2
    assert error < error_of_median


def objective(given: Floats, shares: Floats, errors: Floats) -> float:
    """Return the log posterior of the parameters, pair by pair: what the steps climb."""
    total = np.log(shares).sum() + PRIOR_PAIRS * (usual_errors() * np.log(errors)).sum()
    for pair in given.T:
        likelihood = shares.copy()
        for annotator, grade in enumerate(pair):
            if not np.isnan(grade):
                likelihood *= errors[annotator][:, int(grade)]
        total += np.log(likelihood.sum())
    return float(total)


@given(st.integers(0, 10_000))
@settings(max_examples=15, deadline=None)
def test_every_step_climbs(seed: int) -> None:
    draw = np.random.default_rng(seed)
    given_grades = draw.integers(0, GRADES, (3, 30)).astype(float)
    given_grades[draw.uniform(size=given_grades.shape) < 0.2] = np.nan
    reached = [
        objective(given_grades, model.shares, model.errors)
        for model in (fit(given_grades, np.ones(3), steps) for steps in range(1, 12))
    ]
    assert (np.diff(reached) > -1e-9).all()


def test_unanimous_annotators_are_believed() -> None:
    grades = np.tile(np.arange(GRADES, dtype=float), (4, 30))
    assert expected(fit(grades, np.ones(4))) == pytest.approx(grades[0] / (GRADES - 1), abs=0.03)


def test_a_pair_that_nobody_scored_has_no_expectation_and_changes_no_other() -> None:
    _, given = planted(200)
    with_gap = np.column_stack([given, np.full(3, np.nan)])
    found = expected(fit(with_gap, np.ones(3)))
    assert np.isnan(found[-1])
    assert found[:-1] == pytest.approx(expected(fit(given, np.ones(3))), abs=0.02)


def test_a_score_goes_to_the_nearest_grade_and_halves_go_up() -> None:
    assert graded(np.array([0.0, 0.09, 0.1, 0.3, 0.5, 0.89, 0.9, 1.0])).tolist() == [
        0, 0, 1, 2, 3, 4, 5, 5
    ]  # fmt: skip
    assert np.isnan(graded(np.array([np.nan]))).all()
