"""Rows of three formats become examples, and what cannot be trained on is refused in words."""

from __future__ import annotations

import math

import pytest

from pipeline.errors import InputError, NotEnoughText
from pipeline.sections import TrainSettings
from pipeline.training.examples import Example, check, examples

HERE = "pairs.csv, line 7"


def test_rows_of_three_formats_may_be_mixed() -> None:
    rows = [
        {"sentence1": "a", "sentence2": "b", "score": "4"},
        {"query": "q", "positive": "p"},
        {"query": "q", "positive": "p", "negative": "n"},
        {"text1": "c", "text2": "d", "label": 0},
    ]
    scored, ungraded, positive, negative, other = examples(
        [(row, HERE) for row in rows], max_score=5
    )
    assert scored == Example("a", "b", 0.8)
    assert ungraded[:2] == ("q", "p")
    assert math.isnan(ungraded.score)
    assert (positive, negative) == (Example("q", "p", 1.0), Example("q", "n", 0.0))
    assert other == Example("c", "d", 0.0)


@pytest.mark.parametrize("score", ["", "high", None, "nan", -0.1, 5.1, math.inf])
def test_a_score_that_is_no_number_in_the_range_is_refused_with_its_place(score: object) -> None:
    row = {"sentence1": "a", "sentence2": "b", "score": score}
    with pytest.raises(InputError, match=r"pairs\.csv, line 7: the score .* from 0 to 5"):
        examples([(row, HERE)], max_score=5)


def test_a_row_of_no_format_names_its_columns_and_those_that_are_read() -> None:
    with pytest.raises(InputError, match="line 7: its columns are one, two; use sentence1"):
        examples([({"one": "a", "two": "b"}, HERE)])


def checked(scores: list[float], in_batch: float = 1.0, **settings: object) -> None:
    pairs = [Example(f"a{i}", f"b{i}", score) for i, score in enumerate(scores)]
    check(pairs, TrainSettings.model_validate(settings), in_batch)


def test_labels_that_teach_something_pass() -> None:
    checked([0.0, 1.0], in_batch=0.0)
    checked([1.0, 1.0])
    checked([math.nan, math.nan])
    checked([0.3, 0.3], positives="label")


@pytest.mark.parametrize(
    ("scores", "in_batch", "message"),
    [
        ([0.5, 0.5], 1.0, r"all scores are 0\.5"),
        ([1.0, 1.0], 0.0, r"all scores are 1\.0; positives alone .* train\.in_batch_weight"),
        ([math.nan, math.nan], 0.0, "no pair has a score; positives alone"),
        ([0.5, 1.5], 1.0, r"training pair 2: the score 1\.5 is not from 0 to 1"),
    ],
)
def test_labels_that_teach_nothing_are_refused(
    scores: list[float], in_batch: float, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        checked(scores, in_batch)


def test_empty_texts_and_single_pairs_are_refused() -> None:
    with pytest.raises(InputError, match="training pair 2: a text is empty"):
        check([Example("a", "b", 0.0), Example("c", " ", 1.0)], TrainSettings(), 1.0)
    with pytest.raises(NotEnoughText, match="1 labelled pairs"):
        check([Example("a", "b", 0.0)], TrainSettings(), 1.0)
