"""Measures against figures computed by hand and against the obvious slow way."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from pipeline.evaluation import metrics


def slow_ndcg(found: list[int], relevant: set[int], depth: int) -> float:
    gained = 0.0
    for place, item in enumerate(found[:depth], start=1):
        if item in relevant:
            gained += 1 / math.log2(place + 1)
    ideal = sum(1 / math.log2(place + 1) for place in range(1, min(len(relevant), depth) + 1))
    return gained / ideal


def slow_reciprocal_rank(found: list[int], relevant: set[int], depth: int) -> float:
    for place, item in enumerate(found[:depth], start=1):
        if item in relevant:
            return 1 / place
    return 0.0


def slow_search(queries: np.ndarray, corpus: np.ndarray, depth: int) -> list[list[int]]:
    ranking = []
    for query in queries:
        scores = [float(sum(a * b for a, b in zip(query, text, strict=True))) for text in corpus]
        ranking.append(sorted(range(len(corpus)), key=lambda i: (-scores[i], i))[:depth])
    return ranking


def test_a_single_relevant_text_scores_by_its_place() -> None:
    found = np.array([[7, 1, 2], [1, 7, 2], [1, 2, 7], [1, 2, 3]])
    relevant = [frozenset({7})] * 4

    assert metrics.ndcg(found, relevant) == pytest.approx([1, 1 / math.log2(3), 0.5, 0])
    assert metrics.reciprocal_rank(found, relevant) == pytest.approx([1, 1 / 2, 1 / 3, 0])


def test_several_relevant_texts_share_the_ideal() -> None:
    found = np.array([[1, 9, 2]])
    ideal = 1 + 1 / math.log2(3)

    assert metrics.ndcg(found, [{1, 2}]) == pytest.approx([(1 + 0.5) / ideal])
    assert metrics.reciprocal_rank(found, [{9, 2}]) == pytest.approx([0.5])


def test_more_relevant_texts_than_places_can_still_be_perfect() -> None:
    found = np.arange(10)[None, :]

    assert metrics.ndcg(found, [frozenset(range(40))]) == pytest.approx([1.0])


def test_places_beyond_ten_do_not_count() -> None:
    found = np.arange(12)[None, :]

    assert metrics.ndcg(found, [{11}]) == [0.0]
    assert metrics.reciprocal_rank(found, [{11}]) == [0.0]


@given(
    st.lists(
        st.tuples(st.permutations(range(12)), st.sets(st.integers(0, 14), min_size=1)), min_size=1
    ),
    st.integers(1, 10),
)
@settings(max_examples=60, deadline=None)
def test_ranking_measures_equal_the_slow_way(
    cases: list[tuple[list[int], set[int]]], depth: int
) -> None:
    found = np.array([order for order, _ in cases])
    relevant = [wanted for _, wanted in cases]

    assert metrics.ndcg(found, relevant, depth) == pytest.approx(
        [slow_ndcg(order, wanted, depth) for order, wanted in cases]
    )
    assert metrics.reciprocal_rank(found, relevant, depth) == pytest.approx(
        [slow_reciprocal_rank(order, wanted, depth) for order, wanted in cases]
    )


@given(st.integers(0, 10_000), st.integers(1, 30), st.integers(1, 12))
@settings(max_examples=60, deadline=None)
def test_search_equals_the_slow_way_even_with_ties(seed: int, texts: int, depth: int) -> None:
    generator = np.random.default_rng(seed)  # small integers: exact products, many ties
    queries = generator.integers(-2, 3, (4, 3)).astype(np.float32)
    corpus = generator.integers(-2, 3, (texts, 3)).astype(np.float32)

    assert metrics.search(queries, corpus, depth).tolist() == slow_search(queries, corpus, depth)


def test_search_in_blocks_equals_search_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(1)
    queries, corpus = generator.normal(size=(23, 8)), generator.normal(size=(50, 8))
    at_once = metrics.search(queries, corpus)

    monkeypatch.setattr(metrics, "_BLOCK", 200)  # four queries a block

    assert [rows.start for rows in metrics.blocks(23, 50)] == [0, 4, 8, 12, 16, 20]
    assert (metrics.search(queries, corpus) == at_once).all()


def test_spearman_shares_the_rank_of_ties() -> None:
    assert metrics.spearman(np.array([1, 2, 2, 4]), np.array([10, 20, 20, 40])) == pytest.approx(1)
    left, right = np.array([1.0, 2, 3, 3, 5]), np.array([2.0, 1, 4, 3, 3])
    by_ranks = stats.pearsonr(stats.rankdata(left), stats.rankdata(right)).statistic
    assert metrics.spearman(left, right) == pytest.approx(by_ranks)


def test_a_constant_side_agrees_with_nothing() -> None:
    assert metrics.spearman(np.ones(5), np.arange(5)) == 0.0
    assert metrics.spearman(np.array([1.0]), np.array([2.0])) == 0.0
