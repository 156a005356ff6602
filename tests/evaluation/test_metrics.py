"""Measures against figures computed by hand, the obvious slow way, and trec_eval."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import pytrec_eval
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from pipeline.errors import InputError
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
    relevant = [{7: 1}] * 4

    assert metrics.ndcg(found, relevant) == pytest.approx([1, 1 / math.log2(3), 0.5, 0])
    assert metrics.reciprocal_rank(found, relevant) == pytest.approx([1, 1 / 2, 1 / 3, 0])


def test_several_relevant_texts_share_the_ideal() -> None:
    found = np.array([[1, 9, 2]])
    ideal = 1 + 1 / math.log2(3)

    assert metrics.ndcg(found, [{1: 1, 2: 1}]) == pytest.approx([(1 + 0.5) / ideal])
    assert metrics.reciprocal_rank(found, [{9: 1, 2: 1}]) == pytest.approx([0.5])


def test_more_relevant_texts_than_places_can_still_be_perfect() -> None:
    found = np.arange(10)[None, :]

    assert metrics.ndcg(found, [dict.fromkeys(range(40), 1)]) == pytest.approx([1.0])


def test_places_beyond_ten_do_not_count() -> None:
    found = np.arange(12)[None, :]

    assert metrics.ndcg(found, [{11: 1}]) == [0.0]
    assert metrics.reciprocal_rank(found, [{11: 1}]) == [0.0]


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
    relevant = [dict.fromkeys(wanted, 1) for _, wanted in cases]

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
    assert metrics.pearson(np.full(5, 0.1), np.arange(5)) == 0.0
    assert metrics.pearson(np.empty(0), np.empty(0)) == 0.0


def test_a_side_that_varies_by_a_rounding_or_immensely_still_has_a_figure() -> None:
    gold = np.arange(6.0)
    for values in (
        0.9 + 1e-16 * gold,
        1e-200 * gold,
        1e300 * gold,
        np.append(np.ones(5), 1 + 1e-9),
    ):
        for measure in (metrics.spearman, metrics.pearson):
            assert 0.0 <= measure(gold, values) <= 1.0


@given(st.integers(0, 10_000), st.integers(2, 40))
@settings(max_examples=60, deadline=None)
def test_pearson_is_scipys(seed: int, pairs: int) -> None:
    generator = np.random.default_rng(seed)
    left, right = generator.normal(3, 2, pairs), generator.integers(0, 5, pairs).astype(float)
    expected = stats.pearsonr(left, right).statistic if np.ptp(right) else 0.0

    assert metrics.pearson(left, right) == pytest.approx(expected, abs=1e-12)
    assert metrics.pearson(7 - 2 * left, right) == pytest.approx(-expected, abs=1e-12)


@pytest.mark.parametrize("measure", [metrics.spearman, metrics.pearson])
def test_what_is_no_number_is_named(measure: Callable[..., float]) -> None:
    with pytest.raises(InputError, match=r"value 1 of 3 is nan \(2 such\)"):
        measure(np.arange(3.0), np.array([1.0, np.nan, np.inf]))
    with pytest.raises(InputError, match="3 values against 2"):
        measure(np.arange(3.0), np.arange(2.0))
    with pytest.raises(InputError, match=r"shape \(2, 2\)"):
        measure(np.eye(2), np.eye(2))


def test_groups_are_measured_apart_and_all_together() -> None:
    gold, scores = np.arange(5.0), np.array([0.1, 0.2, 0.9, 0.4, 0.3])
    found = metrics.by_group(gold, scores, ["news", "news", "forum", "forum", "forum"])

    assert found.groups == {"news": pytest.approx(1.0), "forum": pytest.approx(-1.0)}
    assert found.mean == pytest.approx(0.0)
    assert found.weighted_mean == pytest.approx((2 * 1 - 3 * 1) / 5)
    assert found.all == pytest.approx(stats.spearmanr(gold, scores).statistic)
    by_r = metrics.by_group(gold, scores, ["a"] * 5, metrics.pearson)
    assert by_r.all == by_r.mean == by_r.groups["a"] == metrics.pearson(gold, scores)


def test_every_pair_needs_a_group() -> None:
    with pytest.raises(InputError, match="2 pairs and 1 groups"):
        metrics.by_group(np.arange(2), np.arange(2), ["news"])
    with pytest.raises(InputError, match="0 pairs"):
        metrics.by_group(np.empty(0), np.empty(0), [])


def trec_eval(
    found: NDArray[np.intp], relevant: list[dict[int, int]], depth: int
) -> dict[str, list[float]]:
    """Return what trec_eval says of the rows found, told as scores that fall."""
    judged = {
        str(query): {str(row): grade for row, grade in wanted.items()} or {"none": 0}
        for query, wanted in enumerate(relevant)
    }
    run = {
        str(query): {str(row): float(-place) for place, row in enumerate(rows[:depth].tolist())}
        for query, rows in enumerate(found)
    }
    measures = {f"ndcg_cut.{depth}", f"recall.{depth}", "recip_rank"}
    values = pytrec_eval.RelevanceEvaluator(judged, measures).evaluate(run)
    names = {"ndcg": f"ndcg_cut_{depth}", "recall": f"recall_{depth}", "rank": "recip_rank"}
    return {
        name: [values[str(query)][long] for query in range(len(found))]
        for name, long in names.items()
    }


@given(
    st.lists(
        st.tuples(
            st.permutations(range(14)), st.dictionaries(st.integers(0, 17), st.integers(1, 4))
        ),
        min_size=1,
    ),
    st.integers(1, 14),
)
@settings(max_examples=80, deadline=None)
def test_graded_figures_are_those_of_trec_eval(
    cases: list[tuple[list[int], dict[int, int]]], depth: int
) -> None:
    found = np.array([order for order, _ in cases])
    relevant = [wanted for _, wanted in cases]
    expected = trec_eval(found, relevant, depth)

    assert metrics.ndcg(found, relevant, depth) == pytest.approx(expected["ndcg"])
    assert metrics.recall(found, relevant, depth) == pytest.approx(expected["recall"])
    assert metrics.reciprocal_rank(found, relevant, depth) == pytest.approx(expected["rank"])


def test_equal_scores_keep_the_order_of_the_corpus_where_trec_eval_takes_the_last_name() -> None:
    found = metrics.search(np.array([[1.0]]), np.array([[0.5], [0.5]]))
    theirs = pytrec_eval.RelevanceEvaluator({"q": {"row 0": 1}}, {"recip_rank"})

    assert metrics.reciprocal_rank(found, [{0: 1}]) == [1.0]
    assert theirs.evaluate({"q": {"row 0": 0.5, "row 1": 0.5}})["q"]["recip_rank"] == 0.5


def test_a_higher_grade_is_worth_more_higher_up() -> None:
    relevant = [{4: 3, 5: 1}] * 2
    best, worse = metrics.ndcg(np.array([[4, 5], [5, 4]]), relevant)

    assert best == 1.0
    assert worse == pytest.approx((1 + 3 / math.log2(3)) / (3 + 1 / math.log2(3)))


def test_a_query_without_relevant_texts_is_worth_nothing() -> None:
    found, relevant = np.array([[0, 1], [0, 1]]), [{}, {0: 1}]

    for measure in (metrics.ndcg, metrics.reciprocal_rank, metrics.recall):
        assert measure(found, relevant).tolist() == [0.0, 1.0]


def test_recall_counts_what_is_missing_from_the_places() -> None:
    found = np.arange(6)[None, :]

    assert metrics.recall(found, [{0: 2, 5: 1, 9: 1, 8: 1}], 6) == [0.5]
    assert metrics.recall(found, [{0: 2, 5: 1, 9: 1, 8: 1}], 3) == [0.25]


@given(st.integers(0, 10_000), st.integers(1, 20), st.integers(1, 12))
@settings(max_examples=60, deadline=None)
def test_excluded_rows_are_not_found_and_the_others_as_if_they_were_not_there(
    seed: int, texts: int, depth: int
) -> None:
    generator = np.random.default_rng(seed)
    queries = generator.integers(-2, 3, (4, 3)).astype(np.float32)
    corpus = generator.integers(-2, 3, (texts, 3)).astype(np.float32)
    excluded = [set(np.flatnonzero(generator.random(texts) < 0.4).tolist()) for _ in queries]
    found = metrics.search(queries, corpus, depth, excluded)

    for query, (places, without) in enumerate(zip(found.tolist(), excluded, strict=True)):
        (whole,) = slow_search(queries[[query]], corpus, texts)
        wanted = [row for row in whole if row not in without][: len(places)]
        assert places == wanted + [metrics.NOTHING] * (len(places) - len(wanted))


def test_a_place_without_a_text_is_not_relevant() -> None:
    found = metrics.search(np.ones((1, 1)), np.ones((2, 1)), 2, [{1}])

    assert found.tolist() == [[0, metrics.NOTHING]]
    assert metrics.recall(found, [{1: 1}]) == [0.0]
    assert metrics.grades(found, [{0: 2, 1: 1}]).tolist() == [[2, 0]]


def test_a_search_that_cannot_be_says_why() -> None:
    two, three = np.ones((4, 2)), np.ones((5, 3))
    with pytest.raises(InputError, match=r"\(4, 2\) cannot search a corpus of shape \(5, 3\)"):
        metrics.search(two, three)
    with pytest.raises(InputError, match="no text to search in"):
        metrics.search(two, np.empty((0, 2)))
    with pytest.raises(InputError, match="4 queries and 1 sets of excluded rows"):
        metrics.search(two, two, excluded=[set()])
    two[3, 1] = np.nan
    with pytest.raises(InputError, match="the corpus vector of row 3 is not finite"):
        metrics.search(np.ones((4, 2)), two)
