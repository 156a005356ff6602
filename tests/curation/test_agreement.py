"""Agreement: other libraries, a slow double loop and published values as witnesses."""

from __future__ import annotations

import time
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import spearmanr
from sklearn.metrics import cohen_kappa_score

from pipeline.curation import bootstrap
from pipeline.curation.agreement import agreement, between, krippendorff
from pipeline.curation.bootstrap import PART, RESAMPLES, estimates
from pipeline.curation.dawid_skene import GRADES, graded

Floats = NDArray[np.float64]

numbers = st.floats(0, 1).map(lambda value: round(value, 2))
NAN = float("nan")


def correlated(pairs: int, annotators: int, seed: int = 0) -> dict[str, Floats]:
    """Return scores in [0, 1] that share half of their variance."""
    draw = np.random.default_rng(seed)
    truth = draw.normal(size=pairs)
    return {
        f"annotator{number}": 1 / (1 + np.exp(-truth - draw.normal(size=pairs)))
        for number in range(annotators)
    }


@given(st.lists(st.tuples(numbers, numbers), min_size=4, max_size=30))
@settings(deadline=None)
def test_agreement_is_scipys_spearman_and_scikit_learns_kappa(
    rows: list[tuple[float, float]],
) -> None:
    first, second = np.array(rows).T
    found = agreement(first, second)
    if len(set(first)) == 1 or len(set(second)) == 1:
        assert found == {}
        return
    assert found["spearman"] == pytest.approx(spearmanr(first, second).statistic, abs=1e-9)
    assert found["pairs"] == len(rows)
    grades = graded(first), graded(second)
    if len({*grades[0], *grades[1]}) > 1:
        kappa = cohen_kappa_score(*grades, labels=range(GRADES), weights="quadratic")
        assert found["kappa"] == pytest.approx(kappa, abs=1e-9)
    else:
        assert "kappa" not in found


@pytest.mark.parametrize("scores", [[0.1, 0.2, 0.3], [0.2] * 9, [], [0.1, NAN, 0.3, NAN, 0.2]])
def test_too_few_pairs_or_equal_scores_have_no_agreement(scores: list[float]) -> None:
    others = [place / 10 for place in range(len(scores))]
    assert agreement(scores, others) == agreement(others, scores) == {}


def test_only_pairs_that_both_scored_count() -> None:
    first, second = correlated(60, 2).values()
    gaps = [first.copy(), second.copy()]
    gaps[0][:7], gaps[1][50:] = np.nan, np.nan
    assert agreement(*gaps) == agreement(first[7:50], second[7:50])


def test_kappa_compares_what_is_on_the_scale_and_rho_what_is_not() -> None:
    first, second = correlated(60, 2).values()
    own = 100 * first - 200
    assert agreement(own, second, first) == pytest.approx(agreement(first, second))


@pytest.mark.parametrize("sign", [1, -1])
def test_perfect_agreement_is_certain(sign: int) -> None:
    scores = np.arange(30) / 29
    found = agreement(scores, scores if sign > 0 else 1 - scores)
    assert found["low"] == pytest.approx(sign)
    assert found["spearman"] == found["high"] == pytest.approx(sign)


def test_figures_of_a_resample_are_those_of_the_repeated_pairs() -> None:
    """The interval's ends, from pairs that are drawn, ranked and graded one resample at a time."""
    first, second = (np.round(scores, 1) for scores in correlated(40, 2).values())
    found = agreement(first, second)
    rho, kappa = [], []
    for counts in bootstrap._counts(40, 40):
        drawn = np.repeat(np.arange(40), counts.astype(int))
        rho.append(spearmanr(first[drawn], second[drawn]).statistic)
        grades = graded(first[drawn]), graded(second[drawn])
        kappa.append(cohen_kappa_score(*grades, labels=range(GRADES), weights="quadratic"))
    assert (found["low"], found["high"]) == pytest.approx(tuple(np.quantile(rho, (0.025, 0.975))))
    ends = tuple(np.quantile(kappa, (0.025, 0.975)))
    assert (found["kappa_low"], found["kappa_high"]) == pytest.approx(ends)


def test_the_interval_holds_the_truth_19_times_in_20() -> None:
    truth = 6 / np.pi * np.arcsin(0.5 / 2)  # of two normal columns that correlate at 0.5
    held, width = 0, []
    for seed in range(150):
        draw = np.random.default_rng(seed)
        first = draw.normal(size=50)
        second = 0.5 * first + np.sqrt(0.75) * draw.normal(size=50)
        found = agreement(first, second)
        held += found["low"] <= truth <= found["high"]
        width.append(found["high"] - found["low"])
    assert 0.9 <= held / 150 <= 0.99
    assert np.mean(width) < 0.5


def test_many_pairs_are_resampled_in_part_with_the_width_of_all() -> None:
    pairs = 4 * PART
    columns = np.column_stack(list(correlated(pairs, 1).values()))

    def mean(values: Floats) -> bootstrap.Measure:
        return lambda counts: counts @ values / counts.sum(axis=1, keepdims=True)

    (found,) = estimates(mean, columns)
    error = columns.std() / np.sqrt(pairs)
    assert found.value == pytest.approx(columns.mean())
    assert (found.low + found.high) / 2 == pytest.approx(found.value, abs=error / 2)
    assert found.high - found.low == pytest.approx(2 * 1.96 * error, rel=0.15)


def test_resamples_draw_every_pair_alike_and_the_same_again() -> None:
    counts = bootstrap._counts(30, 30)
    assert counts.shape == (RESAMPLES, 30)
    assert (counts.sum(axis=1) == 30).all()
    assert counts.mean(axis=0) == pytest.approx(np.ones(30), abs=0.15)
    first, second = correlated(50, 2).values()
    assert agreement(first, second) == agreement(first, second)


def test_each_two_annotators_are_held_against_each_other() -> None:
    scores = correlated(80, 3)
    scores["annotator1"][:20] = np.nan
    rows = between(scores)
    assert [(row["a"], row["b"], row["pairs"]) for row in rows] == [
        ("annotator0", "annotator1", 60),
        ("annotator0", "annotator2", 80),
        ("annotator1", "annotator2", 60),
    ]
    rho = spearmanr(scores["annotator0"], scores["annotator2"]).statistic
    assert rows[1]["spearman"] == pytest.approx(rho)
    assert between({"alone": scores["annotator0"]}) == []


# Krippendorff (2011), "Computing Krippendorff's Alpha-Reliability", section C/D: four observers,
# twelve units; 0 stands for a missing value. Published: 0.815 ordinal, 0.849 interval.
PUBLISHED = np.array([
    [1, 2, 3, 3, 2, 1, 4, 1, 2, 0, 0, 0],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, 0, 3],
    [0, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, 0],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, 0],
], dtype=float)  # fmt: skip


def slow_alpha(scores: Floats, level: str) -> float:
    """Return alpha by a double loop over pairable values, as its definition says."""
    units = [[value for value in unit if not np.isnan(value)] for unit in scores]
    units = [unit for unit in units if len(unit) > 1]
    values = [value for unit in units for value in unit]

    def apart(one: float, other: float) -> float:
        if level == "interval":
            return (one - other) ** 2
        low, high = min(one, other), max(one, other)
        between_both = sum(low <= value <= high for value in values)
        return (between_both - (values.count(one) + values.count(other)) / 2) ** 2

    observed = sum(
        sum(apart(one, other) for one, other in permutations(unit, 2)) / (len(unit) - 1)
        for unit in units
    ) / len(values)
    expected = sum(apart(one, other) for one, other in permutations(values, 2))
    return 1 - observed / (expected / (len(values) * (len(values) - 1)))


@pytest.mark.parametrize(("level", "value"), [("ordinal", 0.815), ("interval", 0.849)])
def test_alpha_has_the_published_value(level: str, value: float) -> None:
    scores = np.where(PUBLISHED == 0, np.nan, PUBLISHED)
    found = krippendorff({str(number): row for number, row in enumerate(scores)})[level]
    assert found["alpha"] == pytest.approx(value, abs=0.0005)
    assert found["low"] < found["alpha"] < found["high"]


@given(st.lists(st.tuples(*[numbers | st.just(NAN)] * 3), min_size=1, max_size=15))
@settings(deadline=None)
def test_alpha_is_that_of_a_slow_double_loop(rows: list[tuple[float, float, float]]) -> None:
    scores = np.array(rows)
    found = krippendorff(dict(zip("abc", scores.T, strict=True)))
    pairable = scores[np.isfinite(scores).sum(axis=1) > 1]
    if len(pairable) < 4 or len(set(pairable[np.isfinite(pairable)])) < 2:
        assert found == {}
        return
    for level in ("interval", "ordinal"):
        assert found[level]["alpha"] == pytest.approx(slow_alpha(scores, level), abs=1e-9)


def test_alpha_by_order_of_a_resample_ranks_its_own_values() -> None:
    scores = np.column_stack(list(correlated(7, 3).values())).round(1)
    scores[2, 1] = np.nan
    found = krippendorff(dict(zip("abc", scores.T, strict=True)))["ordinal"]
    slow = []
    for counts in bootstrap._counts(7, 7):
        drawn = np.repeat(scores, counts.astype(int), axis=0)
        slow.append(slow_alpha(drawn, "ordinal"))
    assert (found["low"], found["high"]) == pytest.approx(tuple(np.quantile(slow, (0.025, 0.975))))


def test_alpha_needs_two_annotators() -> None:
    assert krippendorff(correlated(50, 1)) == {}
    assert krippendorff({}) == {}


def test_a_thousand_pairs_and_five_annotators_take_less_than_a_second() -> None:
    scores = correlated(1_000, 5)
    best = 60.0
    for _ in range(3):
        start = time.process_time()
        assert len(between(scores)) == 10
        assert len(krippendorff(scores)) == 2
        best = min(best, time.process_time() - start)
    assert best < 1
