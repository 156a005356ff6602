"""The batches: every pair in its turn, the same again, and graded ones as ordered as can be."""

from __future__ import annotations

import math
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.training.batches import SAMPLERS, batches, comparisons, steps

LABELS = st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0, math.nan]), min_size=2, max_size=60)


@pytest.mark.parametrize("sampler", sorted(SAMPLERS))
@given(scores=LABELS, size=st.integers(2, 20), seed=st.integers(0, 99))
def test_an_epoch_holds_no_pair_twice_and_leaves_out_less_than_a_batch(
    sampler: str, scores: list[float], size: int, seed: int
) -> None:
    whole = min(size, len(scores))
    count = len(scores) // whole
    epoch = list(islice(batches(scores, size, seed, sampler), count))
    chosen = [number for batch in epoch for number in batch]
    assert all(len(batch) == whole for batch in epoch)
    assert len(set(chosen)) == len(chosen) > len(scores) - whole


@pytest.mark.parametrize("sampler", sorted(SAMPLERS))
def test_the_seed_decides_the_order_and_epochs_differ(sampler: str) -> None:
    scores = [index / 40 for index in range(40)]
    one, same, other = (list(islice(batches(scores, 8, seed, sampler), 10)) for seed in (1, 1, 2))
    assert one == same
    assert one != other
    assert one[:5] != one[5:]


def slow_comparisons(scores: list[float]) -> int:
    return sum(a < b for a in scores for b in scores)


@given(scores=LABELS)
def test_comparisons_equal_the_slow_count(scores: list[float]) -> None:
    assert comparisons(scores) == slow_comparisons(scores)


def test_graded_batches_hold_more_ordered_comparisons_than_random_ones() -> None:
    skewed = [0.0] * 150 + [0.5] * 30 + [1.0] * 20
    counts = {
        sampler: sum(
            comparisons([skewed[number] for number in batch])
            for batch in islice(batches(skewed, 10, 3, sampler), 200)
        )
        for sampler in SAMPLERS
    }
    assert counts["graded"] > 1.05 * counts["random"]
    least = min(
        comparisons([skewed[number] for number in batch])
        for batch in islice(batches(skewed, 10, 3, "graded"), 200)
    )
    assert least >= 15  # in every batch, where a random one may hold none


def test_steps_are_whole_batches_of_the_epochs() -> None:
    assert steps(pairs=100, batch_pairs=32, epochs=2) == 6
    assert steps(pairs=100, batch_pairs=32, epochs=1.5) == 4
    assert steps(pairs=5, batch_pairs=5, epochs=0.1) == 1
