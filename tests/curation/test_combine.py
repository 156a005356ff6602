"""Ranks and the combinations: properties, and slow versions as witnesses."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline.curation.combine import COMBINATIONS, Combine, blend, by_rank, mean, median, quality
from pipeline.sections import CurateSettings

numbers = st.floats(-1e6, 1e6, allow_nan=False).map(lambda value: round(value, 3))
columns = st.lists(numbers, min_size=1, max_size=40)
opinions = st.floats(0, 1).map(lambda value: round(value, 3)) | st.just(float("nan"))
panels = st.integers(1, 5).flatmap(
    lambda annotators: st.lists(
        st.lists(opinions, min_size=annotators, max_size=annotators), min_size=1, max_size=12
    )
)


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


def test_what_has_no_score_has_no_rank_and_takes_none() -> None:
    ranks = by_rank([5.0, np.nan, 1.0, np.nan])
    assert ranks == pytest.approx([0.75, np.nan, 0.25, np.nan], nan_ok=True)


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


def named(rows: list[list[float]]) -> dict[str, NDArray[np.float64]]:
    return {f"annotator{number}": column for number, column in enumerate(np.array(rows).T)}


# With whole weights: the plain figure of every opinion repeated by its weight.
def slow_mean(row: list[tuple[float, int]]) -> float:
    repeated = [score for score, weight in row for _ in range(weight) if not np.isnan(score)]
    return float(np.mean(repeated)) if repeated else float("nan")


def slow_median(row: list[tuple[float, int]]) -> float:
    repeated = [score for score, weight in row for _ in range(weight) if not np.isnan(score)]
    return float(np.median(repeated)) if repeated else float("nan")


@pytest.mark.parametrize(("way", "slow"), [(mean, slow_mean), (median, slow_median)])
@given(rows=panels, weights=st.lists(st.integers(1, 4), min_size=5, max_size=5))
@settings(deadline=None)
def test_mean_and_median_are_those_of_the_opinions_there_are(
    way: Combine, slow: Any, rows: list[list[float]], weights: list[int]
) -> None:
    scores = named(rows)
    found = way(scores, dict(zip(scores, map(float, weights), strict=False)))
    expected = [slow(list(zip(row, weights, strict=False))) for row in rows]
    assert found == pytest.approx(expected, nan_ok=True)


def test_the_median_lies_midway_where_weights_without_an_exact_sum_balance() -> None:
    weights = {"annotator0": 0.1, "annotator1": 0.2, "annotator2": 0.3}
    assert median(named([[0.2, 0.0, 1.0]]), weights) == pytest.approx([0.6])


@pytest.mark.parametrize("name", sorted(COMBINATIONS))
@given(rows=panels)
@settings(deadline=None)
def test_every_combination_scores_what_anyone_scored_between_0_and_1(
    name: str, rows: list[list[float]]
) -> None:
    found = COMBINATIONS[name].combine(named(rows), {})
    scored = np.isfinite(np.array(rows)).any(axis=1)
    assert np.isfinite(found).tolist() == scored.tolist()
    assert ((found[scored] >= 0) & (found[scored] <= 1)).all()


@pytest.mark.parametrize("name", sorted(COMBINATIONS))
def test_an_annotator_of_weight_0_has_no_say_and_the_scale_of_weights_none(name: str) -> None:
    draw = np.random.default_rng(1)
    scores = {who: draw.uniform(size=60) for who in ("a", "b", "c")}
    scores["b"][:9] = np.nan
    combine = COMBINATIONS[name].combine
    two = combine({"a": scores["a"], "b": scores["b"]}, {"a": 2.0})
    assert combine(scores, {"a": 2.0, "c": 0.0}) == pytest.approx(two)
    assert combine(scores, {"a": 8.0, "b": 4.0, "c": 0.0}) == pytest.approx(two)


@pytest.mark.parametrize("name", sorted(COMBINATIONS))
def test_the_order_of_the_annotators_does_not_matter(name: str) -> None:
    draw = np.random.default_rng(2)
    scores = {who: draw.uniform(size=60) for who in ("a", "b", "c")}
    combine, weights = COMBINATIONS[name].combine, {"a": 1.0, "b": 2.0, "c": 3.0}
    turned = dict(reversed(scores.items()))
    assert combine(scores, weights) == pytest.approx(combine(turned, weights))


@pytest.mark.parametrize("name", sorted(COMBINATIONS))
def test_without_anyone_to_hear_there_is_no_combination(name: str) -> None:
    with pytest.raises(ValueError, match="no weight above 0 among the annotators a"):
        COMBINATIONS[name].combine({"a": np.array([0.5])}, {"a": 0.0})


def test_the_setting_offers_what_the_table_holds() -> None:
    offered = get_args(CurateSettings.model_fields["combine"].annotation)
    assert sorted(offered) == sorted(COMBINATIONS)


def test_the_graded_model_does_not_depend_on_the_annotators_scales() -> None:
    draw = np.random.default_rng(3)
    scores = {who: draw.uniform(size=80) for who in ("a", "b", "c")}
    combine = COMBINATIONS["dawid_skene"].combine
    moved = scores | {"b": scores["b"] ** 3 / 10, "c": 0.4 + scores["c"] / 100}
    assert combine(moved, {}) == pytest.approx(combine(scores, {}))


def test_an_annotator_earns_more_for_a_higher_rho_and_next_to_nothing_at_chance() -> None:
    assert quality(-0.4) == quality(0.0) < 0.02
    assert quality(0.5) == pytest.approx(0.5 * np.log(3))
    assert quality(0.8) > 2 * quality(0.4)
    assert quality(1.0) < 3
