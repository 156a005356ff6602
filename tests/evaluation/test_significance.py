"""The bootstrap against scipy's, resample by resample and interval by interval."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from pipeline.evaluation import significance
from pipeline.evaluation.significance import Bootstrap, compare_means, compare_spearman

Floats = NDArray[np.float64]


def systems(pairs: int, noise: tuple[float, float], seed: int = 0) -> tuple[Floats, Floats, Floats]:
    """Return graded gold scores and two systems that follow them, more or less closely."""
    generator = np.random.default_rng(seed)
    gold = generator.integers(0, 11, pairs) / 10
    base, adapted = (gold + generator.normal(scale=scale, size=pairs) for scale in noise)
    return gold, base, adapted


@given(st.integers(0, 10_000), st.integers(3, 25))
@settings(max_examples=60, deadline=None)
def test_rho_of_a_resample_is_that_of_the_repeated_pairs(seed: int, pairs: int) -> None:
    generator = np.random.default_rng(seed)
    left, right = generator.integers(0, 6, (2, pairs)).astype(float)
    items = generator.integers(0, pairs, pairs)
    drawn = np.bincount(items, minlength=pairs)[:, None].astype(float)
    left_drawn, right_drawn = left[items], right[items]
    defined = np.ptp(left_drawn) > 0 and np.ptp(right_drawn) > 0
    expected = stats.spearmanr(left_drawn, right_drawn).statistic if defined else 0.0

    assert significance.spearman_of_draws(left, right, drawn)[0] == pytest.approx(expected)


def test_draws_are_as_many_as_asked_and_each_as_large_as_the_sample() -> None:
    drawn = np.concatenate(list(significance.draws(3_000, Bootstrap(100, 0.95, 1))), axis=1)

    assert drawn.shape == (3_000, 100)
    assert (drawn.sum(axis=0) == 3_000).all()
    assert len({tuple(column) for column in drawn.T}) == 100


def test_the_interval_of_a_rho_difference_is_scipys() -> None:
    gold, base, adapted = systems(60, (0.5, 0.3))

    def difference(gold: Floats, base: Floats, adapted: Floats) -> float:
        rho = [stats.spearmanr(gold, found).statistic for found in (base, adapted)]
        return float(rho[1] - rho[0])

    witness = stats.bootstrap(
        (gold, base, adapted), difference, paired=True, vectorized=False, n_resamples=1_500,
        method="percentile", rng=np.random.default_rng(5),
    )  # fmt: skip
    found = compare_spearman(gold, base, adapted, Bootstrap(20_000, 0.95, 7))

    assert found.difference == pytest.approx(difference(gold, base, adapted))
    assert found.low == pytest.approx(witness.confidence_interval.low, abs=0.025)
    assert found.high == pytest.approx(witness.confidence_interval.high, abs=0.025)
    assert found.minimum_detectable == pytest.approx(2.802 * witness.standard_error, rel=0.1)


def test_the_interval_of_a_mean_difference_is_scipys() -> None:
    base, adapted = np.random.default_rng(3).random((2, 200))
    witness = stats.bootstrap(
        (adapted - base,), np.mean, n_resamples=20_000, method="percentile", confidence_level=0.9,
        rng=np.random.default_rng(5),
    )  # fmt: skip
    found = compare_means(base, adapted, Bootstrap(20_000, 0.9, 7))

    assert found.difference == pytest.approx(np.mean(adapted - base))
    assert found.low == pytest.approx(witness.confidence_interval.low, abs=0.003)
    assert found.high == pytest.approx(witness.confidence_interval.high, abs=0.003)


def test_the_seed_alone_decides_the_draws() -> None:
    sample = systems(80, (0.5, 0.3))

    first, again, other = (
        compare_spearman(*sample, Bootstrap(500, 0.95, seed)) for seed in (1, 1, 2)
    )

    assert first == again
    assert first.low != other.low


def test_a_wider_confidence_gives_a_wider_interval() -> None:
    sample = systems(80, (0.5, 0.3))
    narrow, wide = (compare_spearman(*sample, Bootstrap(2_000, c, 1)) for c in (0.8, 0.99))

    assert wide.low < narrow.low < narrow.high < wide.high


def test_equal_systems_differ_by_nothing() -> None:
    gold, base, _ = systems(50, (0.4, 0.4))
    found = compare_spearman(gold, base, base.copy(), Bootstrap(300, 0.95, 1))

    assert (found.difference, found.low, found.high, found.minimum_detectable) == (0, 0, 0, 0)


def test_more_pairs_detect_smaller_differences() -> None:
    few, many = (
        compare_spearman(*systems(pairs, (0.5, 0.4)), Bootstrap(1_000, 0.95, 1)).minimum_detectable
        for pairs in (100, 1_600)
    )

    assert many < few / 2.5


def test_a_difference_of_the_detectable_size_is_found_four_times_in_five() -> None:
    generator = np.random.default_rng(11)
    bootstrap = Bootstrap(300, 0.95, 1)
    smallest = compare_means(*generator.normal(size=(2, 300)), bootstrap).minimum_detectable
    found = [
        compare_means(generator.normal(size=300), generator.normal(smallest, 1, 300), bootstrap)
        for _ in range(150)
    ]

    assert 0.68 < np.mean([comparison.low > 0 for comparison in found]) < 0.92


def test_the_usual_bootstrap_takes_seconds_at_most() -> None:
    start = time.perf_counter()
    compare_spearman(*systems(500, (0.5, 0.3)), Bootstrap(10_000, 0.95, 1))

    assert time.perf_counter() - start < 10  # 0.4 s when the machine is not busy
