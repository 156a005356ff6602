"""Pairs that annotators disagree about."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.curation.disagreement import Disagreement, disagreements, spread
from pipeline.records import Pair, from_table, pair_id, to_table

opinions = st.floats(0, 1) | st.none()
rows = st.lists(st.tuples(opinions, opinions, opinions), min_size=1, max_size=12)

NAN = float("nan")


def pairs(count: int) -> list[Pair]:
    return [
        Pair(
            id=pair_id(f"Text {n}.", "Other."), sentence1=f"Text {n}.", sentence2="Other.",
            strategy="dense", document1="d1", document2="d2",
        )
        for n in range(count)
    ]  # fmt: skip


def columns(table: list[tuple[float | None, ...]]) -> dict[str, np.ndarray]:
    return dict(zip("abc", np.array(table, dtype=np.float64).T, strict=False))


@given(rows)
@settings(deadline=None)
def test_the_spread_is_from_the_lowest_to_the_highest_opinion(
    table: list[tuple[float | None, ...]],
) -> None:
    found = spread(columns(table))
    for row, apart in zip(table, found, strict=True):
        given_scores = [score for score in row if score is not None]
        wide = max(given_scores) - min(given_scores) if len(given_scores) > 1 else 0.0
        assert apart == wide


@given(rows, st.floats(0, 1))
@settings(deadline=None)
def test_exactly_the_pairs_above_the_threshold_are_listed_widest_first(
    table: list[tuple[float | None, ...]], threshold: float
) -> None:
    asked = pairs(len(table))
    found = disagreements(asked, columns(table), threshold)
    wide = {one.id for one, apart in zip(asked, spread(columns(table)), strict=True)
            if apart > threshold}  # fmt: skip
    assert {row.pair_id for row in found} == wide
    assert len(found) == 3 * len(wide)
    assert [row.spread for row in found] == sorted((row.spread for row in found), reverse=True)


def test_a_row_holds_one_annotators_opinion_and_both_texts() -> None:
    asked = pairs(2)
    found = disagreements(asked, columns([(0.1, 0.9, NAN), (0.5, 0.6, 0.6)]), 0.4)
    assert [(row.annotator, row.score) for row in found] == [("a", 0.1), ("b", 0.9), ("c", None)]
    for row in found:
        assert (row.pair_id, row.sentence1, row.sentence2) == (asked[0].id, "Text 0.", "Other.")
        assert row.spread == pytest.approx(0.8)
    assert from_table(to_table(found, Disagreement), Disagreement) == found


def test_annotators_of_one_mind_leave_nothing_to_ask() -> None:
    assert disagreements(pairs(2), columns([(0.5, 0.5, 0.5), (0.1, NAN, NAN)]), 0.0) == []
