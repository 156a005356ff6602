"""Nearest texts: the same as a full sort would give, whatever the blocks."""

from __future__ import annotations

import random
import sys

import bm25s
import numpy as np
import pytest

from pipeline.errors import ConfigError
from pipeline.mining import neighbours
from pipeline.mining.neighbours import NONE, approximately, best, by_bm25, by_cosine

WORDS = [f"word{number}" for number in range(60)]


def slowly(scores: np.ndarray, ranks: int) -> tuple[np.ndarray, np.ndarray]:
    """Every text against every other, all sorted; of equal scores the lower index first."""
    scores = scores.copy()
    np.fill_diagonal(scores, -np.inf)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :ranks]
    return order, np.take_along_axis(scores, order, axis=1)


def said(count: int, seed: int = 0) -> list[str]:
    draw = random.Random(seed)
    frequent = [1 / (rank + 1) for rank in range(len(WORDS))]
    return [" ".join(draw.choices(WORDS, frequent, k=draw.randint(0, 9))) for _ in range(count)]


@pytest.mark.parametrize("levels", [2, 5, 10_000])
@pytest.mark.parametrize(("rows", "columns"), [(1, 2), (3, 7), (40, 64), (25, 1_037)])
@pytest.mark.parametrize("count", [1, 2, 17])
def test_the_best_of_a_row_are_those_of_a_stable_sort(
    rows: int, columns: int, count: int, levels: int
) -> None:
    count = min(count, columns)
    draw = np.random.default_rng(rows + columns)
    scores = draw.integers(levels, size=(rows, columns)).astype(np.float32)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :count]
    found, reached = best(scores, count)
    assert found.tolist() == order.tolist()
    assert reached.tolist() == np.take_along_axis(scores, order, axis=1).tolist()


@pytest.mark.parametrize("block_bytes", [1, 4_000, 2**20])
def test_dense_neighbours_are_those_of_a_full_sort(block_bytes: int) -> None:
    """Small whole numbers, so that sums are exact and many scores are equal."""
    vectors = np.random.default_rng(3).integers(-2, 3, size=(333, 6)).astype(np.float32)
    found = by_cosine(vectors, 17, block_bytes)
    near, score = slowly(vectors @ vectors.T, 17)
    assert found.near.tolist() == near.tolist()
    assert found.score.tolist() == score.tolist()


@pytest.mark.parametrize("block_bytes", [1, 4_000, 2**20])
def test_lexical_neighbours_are_those_of_every_text_scored_against_every_other(
    block_bytes: int,
) -> None:
    texts = said(210)
    tokens = bm25s.tokenize(texts, stopwords="en", show_progress=False, return_ids=False)
    index = bm25s.BM25()
    index.index(tokens, show_progress=False)
    scores = np.stack([index.get_scores(t) if t else np.zeros(210, np.float32) for t in tokens])
    near, score = slowly(scores, 17)
    found = by_bm25(texts, 17, block_bytes)
    assert np.allclose(found.score, score, rtol=1e-5)
    assert ((found.near == NONE) == (score <= 0)).all()
    clear = np.ones_like(score, bool)  # equal sums of different order may differ in the last digit
    clear[:, 1:] &= np.diff(-score) > 1e-4
    clear[:, :-1] &= np.diff(-score) > 1e-4
    assert (found.near == near)[clear & (score > 0)].all()
    assert clear.mean() > 0.2
    assert (found.near == NONE).any()


def test_blocks_and_threads_do_not_change_the_neighbours() -> None:
    texts = said(300)
    one, other = by_bm25(texts, 9, 2**20), by_bm25(texts, 9, 5_000)
    assert (one.near == other.near).all()
    assert (one.score == other.score).all()


def test_texts_without_words_have_no_lexical_neighbours() -> None:
    found = by_bm25(["the and of", "open a file", "?!", "open the socket", "a"], 3)
    assert found.near.tolist() == [[-1] * 3, [3, -1, -1], [-1] * 3, [1, -1, -1], [-1] * 3]
    assert by_bm25(["of the", "and"], 3).near.tolist() == [[-1], [-1]]


@pytest.mark.parametrize("count", [0, 1, 2])
def test_few_texts_have_as_many_neighbours_as_there_are_others(count: int) -> None:
    vectors = np.eye(3, dtype=np.float32)[:count]
    assert by_cosine(vectors, 17).near.shape == (count, max(0, count - 1))
    assert by_bm25(["open a file"] * count, 17).near.shape == (count, max(0, count - 1))


def test_memory_does_not_grow_with_the_square_of_the_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    shapes = []

    def measured(scores: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
        shapes.append(scores.nbytes)
        return best(scores, count)

    monkeypatch.setattr(neighbours, "best", measured)
    by_cosine(np.random.default_rng(0).normal(size=(2_000, 4)).astype(np.float32), 5, 100_000)
    assert max(shapes) <= 100_000 < 2_000 * 2_000 * 4 / 50


def test_approximate_neighbours_are_mostly_the_exact_ones_and_the_same_again() -> None:
    vectors = np.random.default_rng(1).normal(size=(1_500, 12)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    exact, found = by_cosine(vectors, 10), approximately(vectors, 10)
    recall = np.mean([len({*a} & {*b}) / 10 for a, b in zip(exact.near, found.near, strict=True)])
    assert recall > 0.9
    assert (found.near != np.arange(1_500)[:, None]).all()
    assert (np.diff(found.score) <= 0).all()
    assert (approximately(vectors, 10).near == found.near).all()


def test_without_usearch_a_large_corpus_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "usearch.index", None)
    with pytest.raises(ConfigError, match=r"angle-adapt\[neighbours\].*mine\.exact_texts"):
        approximately(np.eye(3, dtype=np.float32), 2)
