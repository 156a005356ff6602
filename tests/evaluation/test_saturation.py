"""Saturation, alignment, uniformity and anisotropy: against angles that are known, and loops."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline.errors import InputError
from pipeline.evaluation import saturation as module
from pipeline.evaluation.resampling import Bootstrap
from pipeline.evaluation.saturation import Options, Pairs, Saturation, saturation

Vectors = NDArray[np.float32]
QUICK = Options(bootstrap=Bootstrap(200, 0.95, 1))


def at(*degrees: float) -> tuple[Vectors, NDArray[np.intp]]:
    """Return vectors and pairs of them, one for each angle; the first text is in all pairs."""
    angles = np.radians([0.0, *degrees])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    rows = np.arange(1, len(angles))
    return vectors, np.stack([np.zeros_like(rows), rows], axis=1)


def cloud(texts: int, lean: float, seed: int = 0) -> Vectors:
    """Return unit vectors that lean towards one direction."""
    found = np.random.default_rng(seed).normal(size=(texts, 16))
    found[:, 0] += lean
    unit = found / np.linalg.norm(found, axis=1, keepdims=True)
    return unit.astype(np.float32)  # type: ignore[no-any-return]


def test_pairs_near_0_and_near_180_degrees_are_saturated_and_others_are_not() -> None:
    vectors, rows = at(0, 11, 12, 45, 90, 135, 168, 169, 180)
    found = saturation(vectors, vectors, Pairs(rows), QUICK).base
    assert found.saturated_same == pytest.approx(2 / 9)  # sin 11.5 degrees is 0.2
    assert found.saturated_opposite == pytest.approx(2 / 9)
    assert found.saturated == pytest.approx(4 / 9)
    assert found.within["0.5"] == pytest.approx(6 / 9)  # 30 degrees
    assert found.slope == pytest.approx(
        np.mean([math.sin(math.radians(d)) for d in (0, 11, 12, 45, 90, 135, 168, 169, 180)]),
        abs=1e-4,
    )
    assert sum(found.angles) == 9
    assert found.angles[2] == 2  # from 10 to 15 degrees


@pytest.mark.parametrize("degrees", [3.0, 40.0, 90.0, 171.0])
def test_the_slope_is_the_derivative_of_the_cosine_by_the_angle(degrees: float) -> None:
    step = 1e-3
    change = math.cos(math.radians(degrees) + step) - math.cos(math.radians(degrees) - step)
    vectors, rows = at(degrees)
    found = saturation(vectors, vectors, Pairs(rows), QUICK).base
    assert found.slope == pytest.approx(abs(change / (2 * step)), abs=1e-4)


@given(st.integers(2, 30), st.floats(0, 8), st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_alignment_uniformity_and_anisotropy_are_those_of_loops_over_pairs(
    texts: int, lean: float, seed: int
) -> None:
    vectors = cloud(texts, lean, seed)
    rows = np.array([(i, (i * 3 + 1) % texts) for i in range(texts)])
    gold = np.where(np.arange(texts) % 3 == 0, 0.9, 0.1)
    found = saturation(vectors, vectors, Pairs(rows, gold), QUICK).adapted

    exact = vectors.astype(np.float64)
    squared = [((exact[i] - exact[j]) ** 2).sum() for i, j in rows[gold >= 0.8]]
    every = list(itertools.combinations(exact, 2))
    spread = math.log(np.mean([math.exp(-2 * ((a - b) ** 2).sum()) for a, b in every]))
    assert found.alignment == pytest.approx(np.mean(squared), abs=1e-5)
    assert found.uniformity == pytest.approx(spread, abs=1e-4)
    assert found.anisotropy == pytest.approx(np.mean([a @ b for a, b in every]), abs=1e-5)


def test_blocks_change_no_uniformity_and_a_sample_hardly_any(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    vectors = cloud(1_000, 2.0)
    whole = module.uniformity(vectors)
    monkeypatch.setattr("pipeline.evaluation.metrics._BLOCK", 7_000)
    assert module.uniformity(vectors) == pytest.approx(whole, abs=1e-6)
    monkeypatch.setattr(module, "MOST_TEXTS", 500)
    sampled = module.uniformity(vectors)
    assert sampled == pytest.approx(whole, abs=0.05)
    assert sampled != whole


def test_a_model_that_spreads_its_vectors_leaves_the_zone() -> None:
    narrow, wide = cloud(120, 60.0), cloud(120, 0.5)
    rows = np.random.default_rng(1).integers(0, 120, (300, 2))
    rows = rows[rows[:, 0] != rows[:, 1]]
    gold = np.where(np.arange(len(rows)) % 2 == 0, 1.0, np.nan)
    found = saturation(narrow, wide, Pairs(rows, gold), QUICK)

    assert found.base.saturated > 0.9
    assert found.adapted.saturated < 0.05
    assert found.saturated is not None
    assert found.saturated.high < -0.8
    assert found.slope is not None
    assert found.slope.difference == pytest.approx(found.adapted.slope - found.base.slope)
    assert found.base.anisotropy is not None
    assert found.base.anisotropy > 0.9
    assert found.adapted.uniformity is not None
    assert found.base.uniformity is not None
    assert found.adapted.uniformity < found.base.uniformity - 1
    assert found.positives == (gold == 1).sum()
    assert Saturation.model_validate_json(found.model_dump_json()) == found


def test_what_is_not_there_is_left_out() -> None:
    vectors, rows = at(30)
    one = saturation(vectors, vectors, Pairs(rows), QUICK)
    assert one.base.alignment is one.base.saturated_positives is None
    assert one.saturated is None
    assert one.slope is None
    same = saturation(vectors[:1], vectors[:1], Pairs(np.zeros((1, 2), dtype=int)), QUICK)
    assert same.base.uniformity is same.base.anisotropy is None
    assert same.base.saturated == 1


def test_shapes_that_do_not_fit_are_refused() -> None:
    vectors, rows = at(30, 60)
    for wrong, reason in (
        ((vectors[:2], vectors, Pairs(rows)), "2 vectors of the base, 3"),
        ((vectors, vectors, Pairs(rows[:0])), "at least one"),
        ((vectors, vectors, Pairs(rows + 1)), "names vector 3, but there are 3"),
        ((vectors, vectors, Pairs(rows, np.zeros(5))), "5 gold scores for 2 pairs"),
    ):
        with pytest.raises(InputError, match=reason):
            saturation(*wrong)
