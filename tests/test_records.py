from __future__ import annotations

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pipeline.records import (
    Annotation,
    Document,
    Dropped,
    LabeledPair,
    Pair,
    Record,
    count_reasons,
    digest_of,
    from_table,
    pair_id,
    schema_of,
    text_id,
    to_table,
)

ROWS: list[Record] = [
    Document(id="1", text="Ein Satz mit ß und 🙂.", name="a.b", source="files"),
    Pair(id="2", sentence1="a", sentence2="b", strategy="random", document1="x", document2="y"),
    Annotation(pair_id="2", annotator="likelihood", score=0.25),
    Annotation(pair_id="2", annotator="likelihood", score=None, reason="empty_text"),
    LabeledPair(
        id="2", sentence1="a", sentence2="b", score=1.0, strategy="random", split="train",
        document1="x", document2="y",
    ),
    Dropped(record_id="1", stage="clean", reason="too_short"),
]  # fmt: skip


@given(st.text(), st.text())
def test_a_pair_has_one_id_in_both_orders(one: str, other: str) -> None:
    assert pair_id(one, other) == pair_id(other, one)


@given(st.text(), st.text(), st.text(), st.text())
def test_ids_of_different_parts_differ(a: str, b: str, c: str, d: str) -> None:
    assert (digest_of(a, b) == digest_of(c, d)) == ((a, b) == (c, d))


def test_a_text_keeps_its_id_when_only_case_and_white_space_change() -> None:
    assert text_id("Return  the\nLength.") == text_id(" return the length. ")
    assert text_id("Return the length") != text_id("Return the width")


def test_the_id_of_a_text_is_the_same_on_every_machine() -> None:
    assert text_id("Return the length.") == digest_of("return the length.")
    assert digest_of("return the length.") == "b4bb177a034a7817"


@pytest.mark.parametrize("row", ROWS, ids=lambda row: type(row).__name__)
def test_a_record_survives_the_way_through_parquet(row: Record, tmp_path: object) -> None:
    path = f"{tmp_path}/rows.parquet"
    pq.write_table(to_table([row], type(row)), path)
    assert from_table(pq.read_table(path), type(row)) == [row]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: type(row).__name__)
def test_an_empty_table_still_has_the_schema(row: Record) -> None:
    assert to_table([], type(row)).schema == schema_of(type(row))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: type(row).__name__)
def test_records_are_frozen_and_refuse_unknown_fields(row: Record) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        setattr(row, next(iter(type(row).model_fields)), "other")
    with pytest.raises(ValidationError, match="Extra inputs"):
        type(row).model_validate({**row.model_dump(), "surprise": 1})


def test_a_label_outside_zero_to_one_is_refused() -> None:
    values = ROWS[4].model_dump()
    for score in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValidationError):
            LabeledPair.model_validate(values | {"score": score})


def test_reasons_are_counted_with_the_most_frequent_first() -> None:
    drops = [Dropped(record_id="1", stage="clean", reason=reason) for reason in "abbac"]
    assert list(count_reasons(drops).items()) == [("a", 2), ("b", 2), ("c", 1)]
