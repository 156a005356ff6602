"""Whitened vectors, held against the eigenvalues of their covariance."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.encoder import cosine
from pipeline.encoder.whitening import SHRINKAGE, whitening

NUMBERS = np.random.default_rng(13)


def cone(texts: int = 400, dimensions: int = 12) -> np.ndarray:
    """Vectors of unit length that point about the same way, as those of one domain do."""
    spread = NUMBERS.normal(size=(texts, dimensions)) * np.linspace(0.1, 2.0, dimensions)
    vectors = spread + 8 * np.ones(dimensions)
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def slow(fitted: np.ndarray, given: np.ndarray) -> np.ndarray:
    """Rotate to the axes of the covariance, and divide by the shrunk variance of each."""
    mean = fitted.mean(axis=0)
    variance, axes = np.linalg.eigh(np.cov(fitted.T.astype(np.float64), bias=True))
    shrunk = (1 - SHRINKAGE) * variance + SHRINKAGE * variance.mean()
    return (given - mean) @ axes / np.sqrt(shrunk)


def test_whitened_cosines_are_those_of_the_slow_formula() -> None:
    vectors = cone()
    left, right = vectors[:200], vectors[200:]
    found = whitening(vectors)
    expected = cosine(slow(vectors, left), slow(vectors, right))
    assert cosine(found(left), found(right)) == pytest.approx(expected, abs=1e-4)
    assert np.linalg.norm(found(left), axis=1) == pytest.approx(1.0, abs=1e-5)


def test_what_all_texts_have_in_common_is_gone() -> None:
    vectors = cone()
    before = cosine(vectors[:200], vectors[200:])
    after = whitening(vectors)(vectors)
    assert before.min() > 0.8
    assert abs(cosine(after[:200], after[200:]).mean()) < 0.1


def test_a_vector_at_the_mean_becomes_zero_and_one_text_alone_is_no_reason_to_fail() -> None:
    one = cone(1)
    for fitted in (one, np.repeat(one, 5, axis=0)):
        assert np.linalg.norm(whitening(fitted)(one)) == pytest.approx(0.0, abs=1e-6)
