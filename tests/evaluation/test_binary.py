"""Measures of duplicate sets against scikit-learn's and against figures computed by hand."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn import metrics as sklearn_metrics

from pipeline.errors import InputError
from pipeline.evaluation import binary

Floats = NDArray[np.float64]
MEASURES = [binary.average_precision, binary.best_f1, binary.auroc]


def drawn(seed: int, pairs: int, levels: int) -> tuple[NDArray[np.int64], Floats]:
    """Return labels of both kinds, and scores of few or many levels."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 2, pairs)
    labels[:2] = 0, 1
    return generator.permutation(labels), generator.integers(0, levels, pairs) / levels


@given(st.integers(0, 10_000), st.integers(2, 40), st.sampled_from([1, 4, 1_000_000]))
@settings(max_examples=100, deadline=None)
def test_figures_are_scikit_learns_even_with_ties(seed: int, pairs: int, levels: int) -> None:
    labels, scores = drawn(seed, pairs, levels)
    precision, recall, _ = sklearn_metrics.precision_recall_curve(labels, scores)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    found = binary.best_f1(labels, scores)

    assert binary.average_precision(labels, scores) == pytest.approx(
        sklearn_metrics.average_precision_score(labels, scores)
    )
    assert binary.auroc(labels, scores) == pytest.approx(
        sklearn_metrics.roc_auc_score(labels, scores)
    )
    assert found.f1 == pytest.approx(f1.max())
    said = scores >= found.threshold
    assert sklearn_metrics.f1_score(labels, said) == pytest.approx(found.f1)
    assert sklearn_metrics.precision_score(labels, said) == pytest.approx(found.precision)
    assert sklearn_metrics.recall_score(labels, said) == pytest.approx(found.recall)


def test_the_threshold_lies_midway_between_what_is_accepted_and_what_is_not() -> None:
    found = binary.best_f1(np.array([1, 1, 0, 0]), np.array([0.9, 0.8, 0.5, 0.1]))

    assert found == pytest.approx((1.0, 1.0, 1.0, 0.65))


def test_a_threshold_between_neighbouring_floats_still_parts_them() -> None:
    for lower in (1.0, np.nextafter(1.0, 0.0)):  # midway rounds down to it, or up from it
        upper = np.nextafter(lower, 2.0)
        found = binary.best_f1(np.array([1, 0]), np.array([upper, lower]))

        assert (found.f1, found.threshold) == (1.0, upper)


def test_where_all_are_best_accepted_the_threshold_is_the_lowest_score() -> None:
    found = binary.best_f1(np.array([1, 0, 1]), np.array([0.9, 0.8, 0.3]))

    assert found == pytest.approx((0.8, 2 / 3, 1.0, 0.3))


def test_equal_scores_are_accepted_together() -> None:
    labels, scores = np.array([1, 0, 0, 1]), np.full(4, 0.5)

    assert binary.average_precision(labels, scores) == 0.5
    assert binary.auroc(labels, scores) == 0.5
    assert binary.best_f1(labels, scores).threshold == 0.5


@given(st.integers(0, 10_000), st.integers(2, 25), st.sampled_from([3, 1_000_000]))
@settings(max_examples=60, deadline=None)
def test_average_precision_of_a_resample_is_that_of_the_repeated_pairs(
    seed: int, pairs: int, levels: int
) -> None:
    labels, scores = drawn(seed, pairs, levels)
    items = np.random.default_rng(seed).integers(0, pairs, (3, pairs))
    counts = np.array([np.bincount(row, minlength=pairs) for row in items], dtype=np.int32)
    expected = [
        sklearn_metrics.average_precision_score(labels[row], scores[row])
        if labels[row].any() else 0.0
        for row in items
    ]  # fmt: skip

    found = binary.Thresholds.of(labels, scores).average_precision(counts)
    assert found == pytest.approx(expected)


@pytest.mark.parametrize("measure", MEASURES)
def test_labels_that_are_not_of_two_kinds_are_an_error(measure: Callable[..., object]) -> None:
    with pytest.raises(InputError, match=r"label 1 of 2 is 0.5: a set of duplicates is labelled"):
        measure(np.array([0.0, 0.5]), np.array([0.2, 0.3]))
    for labels in (np.zeros(3), np.ones(3), np.empty(0)):
        with pytest.raises(InputError, match="needs pairs of both labels"):
            measure(labels, np.arange(len(labels)))
    with pytest.raises(InputError, match="value 0 of 2 is nan"):
        measure(np.array([0, 1]), np.array([np.nan, 0.3]))
