"""Calibration by rank, the blend, and agreement: properties, and scipy as witness."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from pipeline.curation.combine import agreement, blend, by_rank

numbers = st.floats(-1e6, 1e6, allow_nan=False).map(lambda value: round(value, 3))
columns = st.lists(numbers, min_size=1, max_size=40)


@given(columns)
def test_ranks_lie_inside_zero_and_one_around_one_half(scores: list[float]) -> None:
    ranks = by_rank(scores)
    assert ranks.min() > 0
    assert ranks.max() < 1
    assert ranks.mean() == pytest.approx(0.5)


@given(columns)
def test_ranks_keep_the_order_and_ties_share_a_value(scores: list[float]) -> None:
    ranks = by_rank(scores)
    for one, rank in zip(scores, ranks, strict=True):
        assert [rank < other for other in ranks] == [one < other for other in scores]
        assert [rank == other for other in ranks] == [one == other for other in scores]


@given(columns)
def test_ranks_do_not_depend_on_the_scale(scores: list[float]) -> None:
    assert by_rank([3 * score - 7 for score in scores]) == pytest.approx(by_rank(scores))
    assert by_rank(by_rank(scores)) == pytest.approx(by_rank(scores))
    assert by_rank([-score for score in scores]) == pytest.approx(1 - by_rank(scores))


def test_distinct_scores_are_spread_evenly() -> None:
    assert by_rank([30.0, -1.0, 2.0, 5.0]) == pytest.approx([0.875, 0.125, 0.375, 0.625])
    assert by_rank([]).tolist() == []


@given(columns)
def test_the_blend_of_one_annotator_is_its_ranks(scores: list[float]) -> None:
    column = np.array(scores)
    assert blend({"a": column}, {}) == pytest.approx(by_rank(column))
    assert blend({"a": column}, {"a": 0.3}) == pytest.approx(by_rank(column))
    assert blend({"a": column, "b": 2 * column + 1}, {}) == pytest.approx(by_rank(column))


@given(st.lists(st.tuples(numbers, numbers), min_size=1, max_size=30))
def test_a_pair_that_every_annotator_puts_higher_is_higher(rows: list[tuple[float, float]]) -> None:
    first, second = np.array(rows).T
    labels = blend({"a": first, "b": second}, {"a": 2.0})
    for i in range(len(rows)):
        above = (first > first[i]) & (second > second[i])
        assert (labels[above] > labels[i]).all()


def test_weights_decide_whose_order_counts() -> None:
    scores = {"a": np.array([1.0, 2.0, 3.0]), "b": np.array([3.0, 2.0, 1.0])}
    assert np.argsort(blend(scores, {"a": 3.0})).tolist() == [0, 1, 2]
    assert np.argsort(blend(scores, {"b": 3.0})).tolist() == [2, 1, 0]
    assert blend(scores, {}) == pytest.approx([0.5] * 3)
    assert np.argsort(blend(scores, {"b": 0.0})).tolist() == [0, 1, 2]


def test_equal_totals_share_a_label() -> None:
    """Thirds and sevenths have no exact sum; the order of such sums is no opinion."""
    first = np.arange(30.0)
    second = first * 7 % 30
    totals = np.array([int(a + b) for a, b in zip(first, second, strict=True)])
    assert blend({"a": first, "b": second}, {}) == pytest.approx(by_rank(totals))


@given(st.lists(st.tuples(numbers, numbers), min_size=4, max_size=40))
def test_agreement_is_scipys_spearman(rows: list[tuple[float, float]]) -> None:
    first, second = np.array(rows).T
    found = agreement(first, second)
    if len(set(first)) == 1 or len(set(second)) == 1:
        assert found is None
    else:
        assert found is not None
        assert found.spearman == pytest.approx(spearmanr(first, second).statistic, abs=1e-9)
        assert -1 <= found.low <= found.spearman + 1e-9
        assert found.spearman - 1e-9 <= found.high <= 1
        assert found.pairs == len(rows)


@pytest.mark.parametrize("scores", [[1.0, 2.0, 3.0], [2.0] * 9, []])
def test_too_few_pairs_or_equal_scores_have_no_agreement(scores: list[float]) -> None:
    assert agreement(scores, list(range(len(scores)))) is None
    assert agreement(list(range(len(scores))), scores) is None


def test_the_interval_is_fishers_and_narrows_with_the_pairs() -> None:
    draw = np.random.default_rng(0)
    gold = draw.normal(size=400)
    scores = gold + draw.normal(size=400)
    few, many = agreement(scores[:50], gold[:50]), agreement(scores, gold)
    assert few is not None
    assert many is not None
    half = 1.959964 / np.sqrt(400 - 3)
    z = np.arctanh(many.spearman)
    assert (many.low, many.high) == pytest.approx((np.tanh(z - half), np.tanh(z + half)), abs=1e-6)
    assert few.high - few.low > 2 * (many.high - many.low)


@pytest.mark.parametrize("sign", [1, -1])
def test_perfect_agreement_is_finite(sign: int) -> None:
    found = agreement(list(range(9)), [sign * value for value in range(9)])
    assert found is not None
    assert found[:3] == pytest.approx((sign, sign, sign))
