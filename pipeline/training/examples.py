"""What is trained on: pairs of texts with a graded similarity, and the three formats they come in.

Format A is a scored pair (sentence1, sentence2, score), B a positive pair without a grade (query,
positive), C a triple with a hard negative (query, positive, negative). All become examples, so they
train together in one run: a B row is a pair whose score is not a number (a positive for in-batch
negatives, not ranked), a C row is a pair of score 1 and a pair of score 0.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from pipeline.errors import InputError, NotEnoughText
from pipeline.records import ScoredTexts
from pipeline.sections import TrainSettings

# Columns of each format; the first name that a table has is read.
FIRST: Final = ("sentence1", "text1", "query", "anchor")
SECOND: Final = ("sentence2", "text2", "positive")
NEGATIVE: Final = ("negative",)
SCORE: Final = ("score", "label")
WANTED: Final = (
    "sentence1, sentence2 and score; or query and positive; or query, positive and negative"
)


class Example(NamedTuple):
    """A training pair with nothing but what training needs."""

    sentence1: str
    sentence2: str
    score: float


def examples(
    rows: Iterable[tuple[Mapping[str, Any], str]], max_score: float = 1.0
) -> list[Example]:
    """Return rows, each with its place for messages, as examples; scores over ``max_score``.

    Raises:
        InputError: names the row that is of no format, or whose score is not a number from 0 to
            ``max_score``.
    """
    return [example for row, where in rows for example in _of_row(row, where, max_score)]


def _of_row(row: Mapping[str, Any], where: str, max_score: float) -> Iterator[Example]:
    first, second = _value(row, FIRST), _value(row, SECOND)
    if not isinstance(first, str) or not isinstance(second, str):
        message = f"{where}: its columns are {', '.join(row)}; use {WANTED}"
        raise InputError(message)
    negative, score = _value(row, NEGATIVE), _value(row, SCORE)
    if isinstance(negative, str):
        yield Example(first, second, 1.0)
        yield Example(first, negative, 0.0)
    elif any(name in row for name in SCORE):
        yield Example(first, second, _graded(score, where, max_score))
    else:
        yield Example(first, second, math.nan)


def _graded(score: object, where: str, max_score: float) -> float:
    try:
        value = float(score) / max_score  # type: ignore[arg-type]
    except (TypeError, ValueError):
        value = math.nan
    if not 0.0 <= value <= 1.0:
        message = f"{where}: the score {score!r} is not a number from 0 to {max_score:g}"
        raise InputError(message)
    return value


def _value(row: Mapping[str, Any], names: Sequence[str]) -> object:
    return next((row[name] for name in names if name in row), None)


def check(pairs: Sequence[ScoredTexts], settings: TrainSettings, in_batch: float) -> None:
    """Refuse what cannot be trained on; ``in_batch`` is the weight of in-batch negatives.

    Raises:
        NotEnoughText: when there are fewer than two pairs.
        InputError: names the first pair with an empty text or a score outside [0, 1], or says that
            the labels hold nothing that the objectives could learn.
    """
    if len(pairs) < 2:  # a ranking needs two
        message = f"{len(pairs)} labelled pairs are too few to train on"
        raise NotEnoughText(message)
    for number, pair in enumerate(pairs, 1):
        if not pair.sentence1.strip() or not pair.sentence2.strip():
            message = f"training pair {number}: a text is empty"
            raise InputError(message)
        if not (math.isnan(pair.score) or 0.0 <= pair.score <= 1.0):
            message = f"training pair {number}: the score {pair.score!r} is not from 0 to 1"
            raise InputError(message)
    scores = {pair.score for pair in pairs if not math.isnan(pair.score)}
    ungraded = any(math.isnan(pair.score) for pair in pairs)
    least = 0.0 if settings.positives == "label" else settings.positive_threshold
    positives = ungraded or max(scores) >= max(least, 1e-9)
    if len(scores) < 2 and not (in_batch and positives):
        found = f"all scores are {scores.pop()!r}" if scores else "no pair has a score"
        message = f"nothing to learn from the training pairs: {found}"
        if not in_batch and positives:
            message += "; positives alone teach through train.in_batch_weight, which is 0"
        raise InputError(message)
