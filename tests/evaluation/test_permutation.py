"""The permutation test against all swaps there are, against scipy's, and against chance itself."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from sklearn.metrics import average_precision_score

from pipeline.errors import InputError
from pipeline.evaluation import permutation, resampling
from pipeline.evaluation.resampling import Bootstrap

Floats = NDArray[np.float64]
Measure = Callable[[Floats, Floats], float]
Test = Callable[[Floats, Floats, Floats, Bootstrap], float]


def correlation(gold: Floats, found: Floats) -> float:
    return float(np.corrcoef(gold, found)[0, 1]) if np.ptp(found) else 0.0


def in_units(values: Floats) -> Floats:
    return (values - values.mean()) / values.std()


# Test, the measure that it is of, and what is swapped of each system.
CASES: dict[str, tuple[Test, Measure, Callable[[Floats], Floats]]] = {
    "spearman": (
        permutation.of_spearman, lambda gold, found: correlation(stats.rankdata(gold), found),
        stats.rankdata,
    ),
    "pearson": (permutation.of_pearson, correlation, in_units),
    "means": (
        lambda _, base, adapted, bootstrap: permutation.of_means(base, adapted, bootstrap),
        lambda _, found: float(found.mean()), np.asarray,
    ),
    "average precision": (
        permutation.of_average_precision,
        lambda labels, found: float(average_precision_score(labels, found)), stats.rankdata,
    ),
}  # fmt: skip


def systems(seed: int, pairs: int) -> tuple[Floats, Floats, Floats]:
    """Return labels and two systems; the second follows them more closely, with ties."""
    generator = np.random.default_rng(seed)
    labels = np.arange(pairs) % 2
    base = labels + generator.normal(scale=1.5, size=pairs)
    return labels.astype(float), base, np.round(labels + generator.normal(scale=0.8, size=pairs), 1)


def slow(name: str, data: tuple[Floats, Floats, Floats], swapped: NDArray[np.uint8]) -> Floats:
    """Return the difference after each of ``swapped``, one after another."""
    _, measure, swappable = CASES[name]
    gold, (base, adapted) = data[0], (swappable(side) for side in data[1:])
    return np.array([
        measure(gold, np.where(row, base, adapted)) - measure(gold, np.where(row, adapted, base))
        for row in swapped
    ])  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_p_is_the_share_of_swaps_that_differ_as_much(name: str) -> None:
    data, bootstrap = systems(3, 30), Bootstrap(300, 0.95, 7)
    given = slow(name, data, np.zeros((1, 30), dtype=np.uint8))[0]
    found = resampling.swaps(30, bootstrap, lambda swapped: slow(name, data, swapped))
    as_far = (np.abs(found) > abs(given) - 1e-9).sum()

    assert CASES[name][0](*data, bootstrap) == (1 + as_far) / 301
    assert 0 < as_far < 300


@pytest.mark.parametrize("name", CASES)
def test_p_is_near_that_of_all_swaps_there_are(name: str) -> None:
    data = systems(4, 8)
    found = slow(name, data, np.array([*itertools.product((0, 1), repeat=8)], dtype=np.uint8))
    exact = np.mean(np.abs(found) > abs(found[0]) - 1e-9)

    assert CASES[name][0](*data, Bootstrap(4_000, 0.95, 1)) == pytest.approx(exact, abs=0.04)


def test_p_of_means_is_scipys() -> None:
    _, base, adapted = systems(5, 9)
    witness = stats.permutation_test(
        (base, adapted), lambda one, two, axis: np.mean(two - one, axis=axis),
        permutation_type="samples", vectorized=True,
    )  # fmt: skip

    found = permutation.of_means(base, adapted, Bootstrap(4_000, 0.95, 1))
    assert found == pytest.approx(witness.pvalue, abs=0.04)


@pytest.mark.parametrize("name", CASES)
def test_p_is_below_a_twentieth_once_in_twenty_where_nothing_differs(name: str) -> None:
    bootstrap, found = Bootstrap(199, 0.95, 1), []
    for seed in range(300):
        generator = np.random.default_rng(seed)
        labels = np.arange(60) % 2
        base, adapted = labels + 0.5 * generator.normal(size=60) + generator.normal(size=(2, 60))
        found.append(CASES[name][0](labels.astype(float), base, adapted, bootstrap))

    assert 0.02 < np.mean(np.array(found) <= 0.05) < 0.09  # 0.05, give or take 0.0126
    assert 0.4 < np.mean(found) < 0.6


@pytest.mark.parametrize("name", CASES)
def test_a_large_difference_is_told_and_none_is_not(name: str) -> None:
    labels, base, adapted = systems(1, 200)
    bootstrap = Bootstrap(999, 0.95, 1)
    if name == "means":
        adapted = adapted + 1
    assert CASES[name][0](labels, base, adapted, bootstrap) == 0.001  # never 0: 1 / (1 + 999)
    assert CASES[name][0](labels, base, base, bootstrap) == 1.0


@pytest.mark.parametrize("name", ["spearman", "pearson", "average precision"])
def test_the_scale_of_a_systems_scores_does_not_matter(name: str) -> None:
    labels, base, adapted = systems(2, 50)
    bootstrap = Bootstrap(500, 0.95, 1)
    test = CASES[name][0]

    assert test(labels, base, adapted, bootstrap) == test(
        labels, base, 0.85 + adapted / 100, bootstrap
    )


def test_a_system_that_says_the_same_of_all_differs_from_one_that_does_not() -> None:
    labels, _, adapted = systems(2, 50)
    flat, bootstrap = np.full(50, 0.9), Bootstrap(499, 0.95, 1)

    for name in ("spearman", "pearson", "average precision"):
        p = CASES[name][0](labels, flat, adapted, bootstrap)
        assert 0 < p < 0.05
        assert CASES[name][0](labels, flat, flat, bootstrap) == 1.0


def test_what_is_no_number_is_an_error() -> None:
    labels, base, adapted = systems(2, 10)
    adapted[4] = np.nan
    for test, _, _ in CASES.values():
        with pytest.raises(InputError, match="value 4 of 10 is nan"):
            test(labels, base, adapted, Bootstrap(9, 0.95, 1))


def test_swaps_are_even_independent_and_as_many_as_asked() -> None:
    found = np.concatenate(
        [resampling.swaps(37, Bootstrap(1_000, 0.95, 1), lambda some, item=item: some[:, item])
         [None] for item in range(37)]
    ).astype(float)  # fmt: skip

    assert found.shape == (37, 1_000)
    assert set(np.unique(found)) == {0.0, 1.0}
    assert np.abs(found.mean(axis=1) - 0.5).max() < 0.07
    assert np.abs(np.corrcoef(found) - np.eye(37)).max() < 0.15


def test_neither_cores_nor_blocks_decide_what_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    weights, bootstrap = np.random.default_rng(1).normal(size=45), Bootstrap(150, 0.95, 1)

    def drawn() -> list[float]:
        return [
            *resampling.draws(45, bootstrap, lambda counts: counts @ weights),
            *resampling.swaps(45, bootstrap, lambda swapped: swapped @ weights),
        ]

    expected = drawn()
    monkeypatch.setattr(resampling, "_BLOCK", 45 * 3)
    monkeypatch.setattr(resampling.os, "cpu_count", lambda: 1)

    assert drawn() == pytest.approx(expected)
