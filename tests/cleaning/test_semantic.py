from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.cleaning.semantic import Vectors, similar_pairs


def slowly(vectors: Vectors, threshold: float) -> set[tuple[int, int]]:
    rows = vectors.astype(np.float64)
    return {
        (i, j)
        for i, j in itertools.combinations(range(len(rows)), 2)
        if rows[i].any()
        and rows[j].any()
        and rows[i] @ rows[j] / np.linalg.norm(rows[i]) / np.linalg.norm(rows[j])
        >= threshold - 1e-6
    }


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 40), st.integers(1, 6), st.integers(1, 50), st.integers(0, 99))
def test_pairs_are_those_that_comparing_all_with_all_finds(
    texts: int, dimensions: int, block: int, seed: int
) -> None:
    vectors = np.random.default_rng(seed).integers(-2, 3, (texts, dimensions)).astype(np.float32)
    found = list(similar_pairs(vectors, 0.83, block))
    assert len(found) == len(set(found))
    assert set(found) == slowly(vectors, 0.83)


@pytest.mark.parametrize("block", [1, 3, 7, 1024])
def test_equal_texts_are_found_at_the_highest_threshold(block: int) -> None:
    vectors = np.random.default_rng(0).normal(size=(6, 384)).astype(np.float32)
    vectors[5] = 3 * vectors[1]
    assert list(similar_pairs(vectors, 1.0, block)) == [(1, 5)]


def test_texts_without_a_vector_are_similar_to_nothing() -> None:
    assert list(similar_pairs(np.zeros((3, 4), np.float32), -1.0)) == []
