"""Fair turns: every text once, no request behind a long one, batches within their size."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.serving.limits import Limits
from pipeline.serving.turns import Job, Row, Turns


def job(count: int, turn: float = 0) -> Job:
    made = Job.of([str(index) for index in range(count)], 1, lambda: None)
    made.turn = turn
    return made


def rows(job: Job, lengths: list[int]) -> list[Row]:
    return [Row(job, index, [0] * length) for index, length in enumerate(lengths)]


LENGTHS = st.lists(st.integers(1, 90), min_size=1, max_size=20)


@given(st.lists(LENGTHS, min_size=1, max_size=6), st.integers(1, 300))
def test_every_row_is_taken_once_and_batches_keep_their_size(
    requests: list[list[int]], most: int
) -> None:
    turns, added, taken = Turns(), [], []
    for lengths in requests:
        one = rows(job(len(lengths), turns.first()), lengths)
        turns.add(one)
        added += one
        taken.append(turns.take(most))
    assert turns.tokens == sum(len(row.ids) for row in added) - sum(
        len(row.ids) for batch in taken for row in batch
    )
    while len(turns):
        first = min(row.turn for row in turns._rows)
        taken.append(turns.take(most))
        assert first in {row.turn for row in taken[-1]}
    for batch in taken:
        assert len(batch) == 1 or len(batch) * max(len(row.ids) for row in batch) <= most
    found = [(id(row.job), row.number) for batch in taken for row in batch]
    assert sorted(found) == sorted((id(row.job), row.number) for row in added)
    assert turns.take(most) == []
    assert turns.tokens == 0


def test_one_text_does_not_wait_behind_thousands() -> None:
    turns = Turns()
    turns.add(rows(job(2000), [10] * 2000))
    for _ in range(5):
        turns.take(100)
    late = job(1, turns.first())
    turns.add(rows(late, [10]))
    assert any(row.job is late for _ in range(2) for row in turns.take(100))


def test_a_long_request_goes_on_while_short_ones_keep_coming() -> None:
    turns, long = Turns(), job(20)
    turns.add(rows(long, [50] * 20))
    served = 0
    for _ in range(400):
        turns.add(rows(job(1, turns.first()), [50]))
        served += sum(row.job is long for row in turns.take(50))
    assert served == 20


def test_what_is_forgotten_is_never_taken() -> None:
    turns, one, other = Turns(), job(5), job(3)
    turns.add(rows(one, [10] * 5))
    turns.add(rows(other, [10] * 3))
    turns.drop(one)
    assert {row.job is other for row in turns.take(1000)} == {True}
    assert (len(turns), turns.tokens) == (0, 0)


def test_a_queue_too_short_for_one_request_is_refused() -> None:
    with pytest.raises(ValueError, match="raise max_queue or lower max_texts"):
        Limits(max_texts=10, max_queue=9)
