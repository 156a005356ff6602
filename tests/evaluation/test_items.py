"""Labelled items from tables, and how they are split."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import InputError
from pipeline.evaluation import items
from pipeline.evaluation.items import Item

rows = st.lists(st.tuples(st.text(min_size=1, max_size=4), st.sampled_from("abc")), max_size=40)


def test_a_table_with_splits_is_split_by_them(tmp_path: Path) -> None:
    path = tmp_path / "intents.csv"
    lines = [
        f"say {n},{'hello' if n % 2 else 'bye'},{s}" for n in range(4) for s in ("train", "dev")
    ]
    path.write_text("text,intent,split\n" + "\n".join(lines), encoding="utf-8")
    found = items.load("intents", path)
    assert found.train == found.test
    assert found.train[1] == Item("say 1", "hello")
    assert len(found.train) == 4


def test_the_test_split_is_preferred_to_dev(tmp_path: Path) -> None:
    path = tmp_path / "items.jsonl"
    path.write_text("\n".join(
        json.dumps({"text": f"{split} {label}", "label": label, "split": split})
        for split in ("dev", "train", "test") for label in (0, 1)
    ))  # fmt: skip
    assert items.load("items", path).test == (Item("test 0", "0"), Item("test 1", "1"))


@given(rows)
def test_without_splits_every_class_is_halved_and_equal_texts_stay_together(
    given: list[tuple[str, str]],
) -> None:
    try:
        found = items.of_rows("drawn", [(*row, "") for row in given])
    except InputError:
        return
    assert sorted([*found.train, *found.test]) == sorted(Item(*row) for row in given)
    assert not set(found.train) & set(found.test)
    for label in {label for _, label in given}:
        sizes = [len({i.text for i in part if i.label == label}) for part in found[1:]]
        assert 0 <= sizes[0] - sizes[1] <= 1
    shuffled = items.of_rows("drawn", [(*row, "") for row in reversed(given)])
    assert {*shuffled.train} == {*found.train}


@pytest.mark.parametrize(
    ("name", "content", "hint"),
    [
        ("a.csv", "text,label\nhello,greet\nbye,\n", "row 2: needs a text and a label"),
        ("a.csv", "text,score\nhello,1\n", "none of the columns label, label_name"),
        ("a.csv", "text,label\na,x\nb,x\n", "of 1 classes to learn from"),
        ("a.csv", "text,label,split\na,x,train\nb,y,train\nc,x,test\n", "1 classes to test on"),
        ("a.txt", "hello", "none of .csv"),
        ("a.jsonl", "{not json", "cannot read the items"),
        ("a.parquet", "PAR", "cannot read the items"),
    ],
)
def test_a_table_that_cannot_be_used_says_why(
    name: str, content: str, hint: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=hint):
        items.load("a", tmp_path / name)
