"""The learning curve: the line, its interval, and when it says nothing."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pipeline.errors import ConfigError
from pipeline.evaluation.resampling import Bootstrap
from pipeline.trials import curve, table
from pipeline.trials.curve import Fit
from pipeline.trials.table import Scored

SHARES, SIZES = (0.25, 0.5, 1.0), (200, 400, 800)


def world(seed: int, gains: tuple[float, ...], seeds: int = 3, spread: float = 0.02,
          pairs: int = 150) -> list[Scored]:  # fmt: skip
    """Return what models measure whose agreement with gold is that of ``gains``, and wavers."""
    generator = np.random.default_rng(seed)
    gold, common = generator.normal(size=(2, pairs))
    found = []
    for gain in gains:
        wanted = gain + generator.normal(0, spread, (seeds, 1))
        noise = 0.9 * common + math.sqrt(1 - 0.81) * generator.normal(size=(seeds, pairs))
        found.append(Scored(gold, gold, wanted * gold + np.sqrt(1 - wanted**2) * noise))
    return found


def fitted(found: list[Scored], seed: int = 0) -> Fit:
    return curve.fit(SHARES, SIZES, found, Bootstrap(200, 0.95, seed))


def test_the_line_is_that_of_generalised_least_squares() -> None:
    found = world(1, (0.5, 0.6, 0.7))
    fit = fitted(found)
    values = np.array([table.rhos(one).mean() for one in found])
    drawn = np.array([table.draws(one, Bootstrap(200, 0.95, 0)) for one in found])
    noise = np.mean([table.rhos(one).var(ddof=1) for one in found]) / 3
    root = np.linalg.cholesky(np.cov(drawn) + noise * np.eye(3))
    across = np.stack([np.ones(3), np.array([-2.0, -1.0, 0.0])], axis=1)
    level, slope = np.linalg.lstsq(
        np.linalg.solve(root, across), np.linalg.solve(root, values), rcond=None
    )[0]
    assert (fit.at, fit.gain) == pytest.approx((level, slope), rel=1e-5)
    assert [point.pairs for point in fit.points] == list(SIZES)
    assert [point.rho for point in fit.points] == pytest.approx(values)


def test_a_rising_curve_is_told_and_a_flat_one_is_not() -> None:
    rising, flat = fitted(world(2, (0.5, 0.6, 0.7))), fitted(world(3, (0.6, 0.6, 0.6)))
    falling = fitted(world(2, (0.7, 0.6, 0.5)))
    assert rising.rising
    assert "More labels help: +0.1" in curve.stated(rising)
    assert not flat.rising
    assert curve.stated(flat).startswith("Not told from flat")
    assert curve.stated(falling).startswith("More labels hurt")


def test_the_interval_holds_the_true_gain_of_a_doubling_nearly_always() -> None:
    held = 0
    for seed in range(60):
        found = fitted(world(seed, (0.55, 0.6, 0.65)), seed)
        truth = 0.05 * 0.96  # Spearman's ρ of normal values is a little below Pearson's r
        held += found.interval[0] <= truth <= found.interval[1]
    assert held >= 51  # 57 are expected


def test_a_bent_curve_says_that_it_is_no_line_and_widens_its_interval() -> None:
    bent = fitted(world(4, (0.3, 0.8, 0.8), spread=0.001))
    straight = fitted(world(4, (0.3, 0.5, 0.7), spread=0.001))
    assert bent.misfit is not None
    assert bent.misfit < 0.01
    assert "not on a line" in curve.stated(bent)
    assert np.ptp(bent.interval) > 2 * np.ptp(straight.interval)


def test_more_labels_bring_the_doublings_they_make() -> None:
    fit = fitted(world(2, (0.5, 0.6, 0.7)))
    doubled = curve.more(fit, 1_000, kept=0.8)
    assert (doubled.pairs, doubled.far) == (800, False)
    assert doubled.gain == pytest.approx(fit.gain)
    assert doubled.within == pytest.approx((fit.interval[1] - fit.interval[0]) / 2)
    further = curve.more(fit, 3_000, kept=0.8)
    assert further.far
    assert further.gain == pytest.approx(2 * fit.gain)


def test_two_sizes_make_a_line_without_a_misfit_and_one_makes_none() -> None:
    found = world(5, (0.5, 0.6), seeds=1)
    fit = curve.fit((0.5, 1.0), (400, 800), found, Bootstrap(200, 0.95, 0))
    assert fit.misfit is None
    assert fit.gain == pytest.approx(fit.points[1].rho - fit.points[0].rho, rel=1e-6)
    with pytest.raises(ConfigError, match="two sizes"):
        curve.fit((0.5, 1.0), (2, 2), found, Bootstrap(200, 0.95, 0))


def test_models_that_score_all_pairs_alike_are_a_flat_curve() -> None:
    one = world(6, (0.6,), seeds=1)[0]
    fit = curve.fit(SHARES, SIZES, [one, one, one], Bootstrap(200, 0.95, 0))
    assert fit.gain == pytest.approx(0, abs=1e-6)
    assert not fit.rising
