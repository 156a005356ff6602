"""Positives and candidates against sets of texts, and the rules one by one."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.training.relations import Positives, Relations

NAN = math.nan
Labelled = tuple[int, int, float]


class Known(NamedTuple):
    """What should be known of each text: weights of its positives, and its candidates."""

    positives: dict[int, dict[int, float]]
    candidates: dict[int, set[int]]


def slow(pairs: list[Labelled], texts: int, threshold: float, positives: Positives) -> Known:
    """Return the relations by the words of their definition, with sets of texts."""
    labels: dict[frozenset[int], list[float]] = defaultdict(list)
    for first, second, label in pairs:
        if first != second:
            labels[frozenset((first, second))].append(1.0 if math.isnan(label) else label)
    near: dict[int, set[int]] = defaultdict(set)
    known = Known(defaultdict(dict), {})
    for pair, given_labels in labels.items():
        first, second = pair
        weight = min(given_labels)
        if positives == "threshold":
            weight = float(weight >= threshold)
        if weight > 0:
            known.positives[first][second] = known.positives[second][first] = weight
        if max(given_labels) > threshold / 2:
            near[first].add(second)
            near[second].add(first)
    for text in range(texts):
        related = {other for middle in near[text] for other in near[middle]}
        different = {
            other
            for other in range(texts)
            if frozenset((text, other)) in labels and other not in near[text]
        }
        out = (related - different) | near[text] | set(known.positives[text]) | {text}
        known.candidates[text] = set(range(texts)) - out
    return known


def found(
    pairs: list[Labelled], texts: int, threshold: float = 0.9, positives: Positives = "threshold",
    rows: int = 100,
) -> Known:  # fmt: skip
    index = np.array([pair[:2] for pair in pairs], dtype=np.int64).reshape(-1, 2)
    score = np.array([pair[2] for pair in pairs], dtype=np.float32)
    relations = Relations.of(index, score, texts, threshold, positives)
    known = Known(defaultdict(dict), {})
    for anchor in range(texts):
        (excluded,) = relations.excluded(np.array([anchor]))
        known.candidates[anchor] = set(np.flatnonzero(~excluded).tolist())
    place = 0
    for block in relations.blocks(rows):
        for row, other in zip(block.row, block.positive, strict=True):
            weight = float(relations.weight[place])
            known.positives[int(block.texts[row])][int(other)] = weight
            place += 1
        for anchor, excluded in zip(block.texts, block.excluded, strict=True):
            assert known.candidates[int(anchor)] == set(np.flatnonzero(~excluded).tolist())
    return known


# Labels that float32 holds exactly, so that the sets can compare them as they are.
LABELS = st.sampled_from([0.0, 0.0, 0.25, 0.375, 0.5, 0.75, 1.0, 1.0, NAN])
PAIRS = st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8), LABELS), max_size=14)


@settings(max_examples=150, deadline=None)
@given(
    pairs=PAIRS, threshold=st.sampled_from([0.5, 0.75, 1.0]),
    positives=st.sampled_from(["threshold", "label"]), rows=st.integers(1, 4),
)  # fmt: skip
def test_relations_equal_their_definition_by_sets(
    pairs: list[Labelled], threshold: float, positives: Positives, rows: int
) -> None:
    expected = slow(pairs, 9, threshold, positives)
    relations = found(pairs, 9, threshold, positives, rows)
    assert relations.candidates == expected.candidates
    assert relations.positives == {a: known for a, known in expected.positives.items() if known}


def graded(pairs: int, seed: int) -> list[Labelled]:
    """Return pairs as in STS-B: labels 0 to 5, means of several people's, and repeated texts."""
    random = np.random.default_rng(seed)
    texts = random.integers(0, pairs, (pairs, 2))
    labels = random.choice(np.r_[np.arange(0, 5.1, 0.2), np.arange(0, 5.1, 0.25)], pairs)
    return [(int(a), int(b), float(x)) for (a, b), x in zip(texts, labels / 5, strict=True)]


@pytest.mark.parametrize("seed", range(10))
def test_graded_labels_give_no_spurious_positives_and_no_spurious_negatives(seed: int) -> None:
    pairs = [(a, b, float(np.float32(label))) for a, b, label in graded(32, seed)]
    threshold = float(np.float32(0.8))
    expected, relations = slow(pairs, 32, threshold, "threshold"), found(pairs, 32, threshold)
    assert relations.candidates == expected.candidates
    assert relations.positives == {a: known for a, known in expected.positives.items() if known}
    assert relations.positives


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("threshold", [0.1, 0.7, 0.8, 0.9])
def test_a_label_at_the_threshold_is_positive_in_any_precision(
    threshold: float, dtype: type[np.floating]
) -> None:
    label = float(dtype(threshold))
    assert found([(0, 1, label)] * 3, 2, threshold).positives == {0: {1: 1.0}, 1: {0: 1.0}}
    assert not found([(0, 1, label - 1e-3)], 2, threshold).positives


def test_siblings_and_positives_of_positives_are_never_candidates() -> None:
    # 0 has the positives 1 and 2 (siblings); 2 has the positive 3; 4 and 5 are strangers.
    relations = found([(0, 1, 1.0), (0, 2, 1.0), (2, 3, 1.0), (4, 5, 1.0)], 6)
    assert relations.positives[0] == {1: 1.0, 2: 1.0}
    assert relations.candidates[0] == {4, 5}
    assert relations.candidates[1] == {3, 4, 5}  # three steps from 1 to 3 are too far
    assert relations.candidates[2] == {4, 5}
    assert relations.candidates[4] == {0, 1, 2, 3}


def test_partly_similar_texts_are_neither_positives_nor_candidates() -> None:
    relations = found([(0, 1, 0.6), (2, 3, 1.0)], 4)
    assert relations.positives == {2: {3: 1.0}, 3: {2: 1.0}}
    assert relations.candidates[0] == {2, 3}


def test_a_hard_negative_is_a_candidate_even_when_other_pairs_link_it() -> None:
    triplet = found([(0, 1, 1.0), (0, 2, 0.0)], 3)
    assert triplet.positives == {0: {1: 1.0}, 1: {0: 1.0}}
    assert triplet.candidates[0] == triplet.candidates[1] == {2}
    linked = found([(0, 1, 1.0), (0, 2, 0.0), (1, 2, 1.0)], 3)
    assert linked.candidates[0] == {2}
    assert linked.candidates[1] == set()


@pytest.mark.parametrize("twice", [[(0, 1, 1.0), (1, 0, 0.0)], [(0, 1, NAN), (0, 1, 0.1)]])
def test_a_pair_with_contradicting_labels_is_neither_positive_nor_candidate(
    twice: list[Labelled],
) -> None:
    relations = found([*twice, (2, 3, 1.0)], 4)
    assert relations.positives == {2: {3: 1.0}, 3: {2: 1.0}}
    assert relations.candidates[0] == {2, 3}


def test_a_text_paired_with_itself_and_a_text_without_a_pair() -> None:
    relations = found([(0, 0, 1.0), (1, 2, 1.0)], 4)
    assert relations.positives == {1: {2: 1.0}, 2: {1: 1.0}}
    assert relations.candidates[1] == {0, 3}
    assert relations.candidates[0] == {1, 2, 3}


def test_a_batch_without_pairs_has_no_anchors() -> None:
    relations = found([], 3)
    assert not relations.positives
    assert relations.candidates[0] == {1, 2}


@pytest.mark.parametrize("positives", ["threshold", "label"])
def test_an_anchor_counts_as_much_as_its_best_positive(positives: Positives) -> None:
    pairs, score = np.array([[0, 1], [0, 2], [3, 4]]), np.array([1.0, 0.5, 0.25], np.float32)
    relations = Relations.of(pairs, score, 5, 0.5, positives)
    shares = {
        (int(block.texts[row]), int(other)): float(share)
        for block in relations.blocks(2)
        for row, other, share in zip(block.row, block.positive, block.share, strict=True)
    }
    if positives == "threshold":  # three anchors count the same
        expected = {(0, 1): 1 / 6, (0, 2): 1 / 6, (1, 0): 1 / 3, (2, 0): 1 / 3}
    else:  # the anchors 0, 1, 2, 3 and 4 count 1, 1, 0.5, 0.25 and 0.25
        expected = {
            (0, 1): 2 / 9, (0, 2): 1 / 9, (1, 0): 1 / 3, (2, 0): 1 / 6, (3, 4): 1 / 12,
            (4, 3): 1 / 12,
        }  # fmt: skip
    assert shares == pytest.approx(expected)
