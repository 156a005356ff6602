"""The bootstrap against scipy's, resample by resample and interval by interval, and in truth."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats
from sklearn.metrics import average_precision_score

from pipeline.errors import InputError
from pipeline.evaluation import resampling, significance
from pipeline.evaluation.significance import (
    Bootstrap,
    Comparison,
    compare_average_precision,
    compare_means,
    compare_pearson,
    compare_spearman,
    holm,
)

Floats = NDArray[np.float64]
Compare = Callable[[Floats, Floats, Floats, Bootstrap], Comparison]

MEASURES: dict[str, tuple[Compare, Callable[[Floats, Floats], float]]] = {
    "spearman": (compare_spearman, lambda gold, found: float(stats.spearmanr(gold, found)[0])),
    "pearson": (compare_pearson, lambda gold, found: float(stats.pearsonr(gold, found)[0])),
    "average precision": (
        compare_average_precision,
        lambda labels, found: float(average_precision_score(labels, found)),
    ),
}


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
    drawn = np.bincount(items, minlength=pairs)[None].astype(np.int32)
    left_drawn, right_drawn = left[items], right[items]
    defined = np.ptp(left_drawn) > 0 and np.ptp(right_drawn) > 0
    expected = stats.spearmanr(left_drawn, right_drawn).statistic if defined else 0.0

    assert significance.spearmans(left, [right])(drawn)[0, 0] == pytest.approx(expected)


def test_draws_are_as_many_as_asked_and_each_as_large_as_the_sample() -> None:
    seen: list[tuple[int, ...]] = []

    def kept(drawn: NDArray[np.int32]) -> Floats:
        seen.extend(map(tuple, drawn.tolist()))
        return drawn.sum(axis=1).astype(float)

    assert resampling.draws(3_000, Bootstrap(100, 0.95, 1), kept).tolist() == [3_000] * 100
    assert len(set(seen)) == 100
    assert np.mean(np.array(seen) == 0) == pytest.approx(np.exp(-1), abs=0.005)


@pytest.mark.parametrize("name", MEASURES)
def test_the_interval_is_that_of_repeated_pairs_measured_one_resample_at_a_time(name: str) -> None:
    gold, base, adapted = systems(40, (0.5, 0.3))
    gold, base = np.round(gold), np.round(base, 1)  # labels 0 and 1, and scores with ties
    compare, measure = MEASURES[name]
    bootstrap = Bootstrap(150, 0.9, 3)

    def slow(drawn: NDArray[np.int32]) -> Floats:
        items = [np.repeat(np.arange(40), row) for row in drawn]
        return np.array([
            measure(gold[rows], adapted[rows]) - measure(gold[rows], base[rows]) for rows in items
        ])  # fmt: skip

    differences = resampling.draws(40, bootstrap, slow)
    found = compare(gold, base, adapted, bootstrap)

    assert (found.base, found.adapted) == pytest.approx((measure(gold, base),
                                                         measure(gold, adapted)))  # fmt: skip
    assert found.difference == pytest.approx(found.adapted - found.base)
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(differences, [0.05, 0.95])))


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
    assert (found.p, found.p_holm) == (1.0, None)


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

    assert time.perf_counter() - start < 10  # 0.2 s when the machine is not busy


def related(generator: np.random.Generator, pairs: int, r: tuple[float, float]) -> list[Floats]:
    """Return gold and two systems of normal scores, each as correlated with gold as ``r`` says."""
    gold, shared, *own = generator.normal(size=(4, pairs))
    noise = [np.sqrt(0.5) * shared + np.sqrt(0.5) * part for part in own]
    return [
        gold,
        *(of * gold + np.sqrt(1 - of**2) * part for of, part in zip(r, noise, strict=True)),
    ]


def rho(r: float) -> float:
    """Return Spearman's ρ of normal scores from their r (Pearson 1907)."""
    return float(6 / np.pi * np.arcsin(r / 2))


@pytest.mark.parametrize(("compare", "of"), [(compare_spearman, rho), (compare_pearson, float)])
def test_an_interval_of_95_percent_holds_the_true_difference_19_times_in_20(
    compare: Compare, of: Callable[[float], float]
) -> None:
    generator, r = np.random.default_rng(2), (0.6, 0.7)
    truth = of(r[1]) - of(r[0])
    found = [
        compare(*related(generator, 150, r), Bootstrap(400, 0.95, seed)) for seed in range(400)
    ]
    held = np.mean([comparison.low <= truth <= comparison.high for comparison in found])

    assert 0.92 < held < 0.98  # 0.95, give or take 0.011


def test_a_rho_difference_of_the_detectable_size_is_found_four_times_in_five() -> None:
    generator, bootstrap = np.random.default_rng(4), Bootstrap(300, 0.95, 1)
    smallest = np.mean([
        compare_spearman(*related(generator, 200, (0.6, 0.69)), bootstrap).minimum_detectable
        for _ in range(20)
    ])  # fmt: skip
    r = 2 * np.sin(np.pi / 6 * (rho(0.6) + smallest))
    found = [compare_spearman(*related(generator, 200, (0.6, r)), bootstrap) for _ in range(200)]

    assert 0.7 < np.mean([comparison.low > 0 for comparison in found]) < 0.9


def test_interval_and_p_mostly_agree_on_what_is_told_from_nothing() -> None:
    generator, bootstrap = np.random.default_rng(5), Bootstrap(400, 0.95, 1)
    found = [compare_spearman(*related(generator, 150, (0.6, 0.7)), bootstrap) for _ in range(150)]
    beyond = np.array([comparison.low > 0 or comparison.high < 0 for comparison in found])
    below = np.array([comparison.p < 0.05 for comparison in found])

    assert 0.2 < beyond.mean() < 0.8
    assert np.mean(beyond == below) > 0.9


@given(st.lists(st.floats(0, 1), max_size=8))
def test_holm_steps_down_as_its_definition_does(p_values: list[float]) -> None:
    slow = [
        min(1.0, max((sum(other >= mine for other in p_values)) * mine
                     for mine in p_values if mine <= own))
        for own in p_values
    ]  # fmt: skip

    assert holm(p_values) == pytest.approx(slow)


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.02]) == pytest.approx([0.9, 0.04])
    assert holm([]) == []
    for wrong in (-0.1, 1.1, float("nan")):
        with pytest.raises(InputError, match="p-values lie between 0 and 1"):
            holm([0.5, wrong])


@pytest.mark.parametrize("compare", [compare_spearman, compare_pearson])
def test_constant_labels_are_an_error_that_says_so(compare: Compare) -> None:
    with pytest.raises(InputError, match=r"all 5 pairs have the gold label 0.7: no order of them"):
        compare(np.full(5, 0.7), np.arange(5.0), np.arange(5.0), Bootstrap(50, 0.95, 1))


@pytest.mark.parametrize("name", MEASURES)
def test_what_cannot_be_compared_is_an_error(name: str) -> None:
    compare, bootstrap = MEASURES[name][0], Bootstrap(50, 0.95, 1)
    gold, base = np.array([0.0, 1, 1]), np.array([0.1, np.nan, 0.3])
    with pytest.raises(InputError, match="value 1 of 3 is nan"):
        compare(gold, base, gold, bootstrap)
    with pytest.raises(InputError, match="value 1 of 3 is nan"):
        compare(gold, gold, base, bootstrap)
    with pytest.raises(InputError, match="3 values against 2"):
        compare(gold, gold, gold[:2], bootstrap)
    with pytest.raises(InputError):
        compare(gold[:1], gold[:1], gold[:1], bootstrap)


@pytest.mark.parametrize("name", ["spearman", "pearson"])
def test_a_resample_of_one_label_or_one_score_has_a_correlation_of_0(name: str) -> None:
    gold, base, adapted = np.full((3, 12), [[0.1], [0.7], [0.3]])
    gold[3], base[3], adapted[[3, 5]] = 0.9, 0.8, (0.4, 0.6)
    compare, measure = MEASURES[name]
    bootstrap = Bootstrap(300, 0.9, 3)

    def rho(items: NDArray[np.intp], found: Floats) -> float:
        defined = np.ptp(gold[items]) > 0 and np.ptp(found[items]) > 0
        return measure(gold[items], found[items]) if defined else 0.0

    def slow(drawn: NDArray[np.int32]) -> Floats:
        samples = [np.repeat(np.arange(12), row) for row in drawn]
        return np.array([rho(items, adapted) - rho(items, base) for items in samples])

    differences = resampling.draws(12, bootstrap, slow)
    found = compare(gold, base, adapted, bootstrap)

    assert 80 < (differences == 0).sum() < 220  # (11 / 12) ** 12: a third drew one label
    assert (found.low, found.high) == pytest.approx(
        tuple(np.quantile(differences, [0.05, 0.95])), abs=1e-9
    )
    assert found.minimum_detectable == pytest.approx(2.486475 * differences.std(ddof=1))


def test_one_resample_shows_no_spread() -> None:
    with pytest.raises(InputError, match="1 resamples show no spread"):
        compare_means(np.arange(3.0), np.ones(3), Bootstrap(1, 0.95, 1))


def test_one_query_or_none_cannot_be_compared() -> None:
    for queries in (0, 1):
        with pytest.raises(InputError, match=f"{queries} items cannot tell two systems apart"):
            compare_means(np.ones(queries), np.ones(queries), Bootstrap(50, 0.95, 1))


@pytest.mark.parametrize("name", MEASURES)
def test_a_system_that_says_the_same_of_every_pair_has_figures(name: str) -> None:
    gold, _, adapted = systems(60, (0.5, 0.3))
    gold = np.round(gold)
    found = MEASURES[name][0](gold, np.full(60, 0.93), adapted, Bootstrap(200, 0.95, 1))

    assert found.base == pytest.approx(gold.mean() if name == "average precision" else 0)
    assert found.difference > 0.3
    assert 0 < found.low < found.difference < found.high
    assert found.p == 1 / 201


@pytest.mark.parametrize("name", MEASURES)
def test_a_set_with_one_other_label_never_tells_systems_apart(name: str) -> None:
    gold = np.zeros(40)
    gold[17] = 1
    base, adapted = np.random.default_rng(1).random((2, 40))
    base[17], adapted[17] = -1, 2  # the worst and the best there can be

    found = MEASURES[name][0](gold, base, adapted, Bootstrap(400, 0.95, 1))

    assert found.difference > 0.2
    assert found.low <= 0 <= found.high
    assert np.isfinite([*found.model_dump(exclude={"p_holm"}).values()]).all()
