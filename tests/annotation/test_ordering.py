"""Which pairs are asked about first: properties of the order, and a slow version as a witness."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from statistics import fmean, pstdev

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.annotation.ordering import BINS, by_information

opinions = st.integers(0, 60).flatmap(
    lambda count: st.lists(
        st.lists(st.integers(0, 20), min_size=count, max_size=count), min_size=1, max_size=4
    )
)


def ranks(row: Sequence[float]) -> list[int]:
    order = sorted(range(len(row)), key=lambda index: (row[index], index))
    return [order.index(index) for index in range(len(row))]


def witness(scores: Sequence[Sequence[float]]) -> list[int]:
    """Deal the pairs out part by part, the most disputed of each part first."""
    count = len(scores[0])
    columns = list(zip(*(ranks(row) for row in scores), strict=True))
    by_mean = sorted(range(count), key=lambda index: (round(fmean(columns[index]), 9), index))
    parts: list[list[int]] = [[] for _ in range(BINS)]
    for place, index in enumerate(by_mean):
        parts[place * BINS // count].append(index)
    for part in parts:
        part.sort(key=lambda index: (-round(pstdev(columns[index]), 9), index))
    longest = max(map(len, parts), default=0)
    return [part[turn] for turn in range(longest) for part in parts if turn < len(part)]


@given(opinions)
def test_it_is_what_dealing_out_by_hand_gives(scores: list[list[int]]) -> None:
    assert by_information(scores, len(scores[0])) == (witness(scores) if scores[0] else [])


@given(opinions, st.integers(0, 10))
def test_every_pair_comes_once_and_the_gold_ones_first(scores: list[list[int]], first: int) -> None:
    count = len(scores[0])
    first = min(first, count)
    order = by_information(scores, count, first)
    assert sorted(order) == list(range(count))
    assert order[:first] == list(range(first))


@given(st.integers(1, 300), st.integers(0, 2**32))
def test_wherever_it_ends_the_whole_range_is_covered(count: int, seed: int) -> None:
    scores = [[(seed * (index + 7) ** 3) % 1_009 for index in range(count)]]
    order = by_information(scores, count)
    place = ranks(scores[0])
    for end in range(1, count + 1):
        parts = Counter(place[index] * BINS // count for index in order[:end])
        filled = [parts[part] for part in range(BINS) if count >= BINS or parts[part]]
        assert max(filled) - min(filled) <= 1 or end > count - BINS


def test_what_the_annotators_dispute_comes_before_what_they_agree_on() -> None:
    count = 100
    agree = list(range(count))
    dispute = [agree[index] if index % 10 else (index + 3) % count for index in range(count)]
    order = by_information([agree, dispute, agree], count)
    disputed = {index for index in range(count) if agree[index] != dispute[index]}
    assert len(disputed & set(order[: count // 5])) > len(disputed) * 0.5


def test_without_opinions_the_order_stays() -> None:
    assert by_information([], 4) == [0, 1, 2, 3]
    assert by_information([], 0) == []
    assert by_information([[1.0, 2.0]], 2, first=2) == [0, 1]


def test_one_pair_is_the_order() -> None:
    assert by_information([[0.5]], 1) == [0]


def test_many_pairs_take_no_time() -> None:
    scores = [[float((index * 7_919) % 100_003) for index in range(100_000)] for _ in range(3)]
    order = by_information(scores, 100_000)
    assert len(set(order)) == 100_000


@pytest.mark.parametrize("missing", [float("nan"), float("inf")])
def test_a_pair_without_a_score_has_its_place_all_the_same(missing: float) -> None:
    order = by_information([[0.1, missing, 0.3], [0.2, 0.1, 0.4]], 3)
    assert sorted(order) == [0, 1, 2]
