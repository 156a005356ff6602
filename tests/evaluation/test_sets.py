"""Evaluation sets read from files: pairs in tables, searches in folders, and what is wrong."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import InputError
from pipeline.evaluation import sets
from pipeline.evaluation.sets import PairSet, SearchSet, SetPair
from pipeline.sections import SetSettings

ROWS = [
    {"sentence1": f"one {n}", "sentence2": f"two {n}", "score": str(n % 6), "genre": "ab"[n % 2],
     "split": ("dev", "test")[n % 3 == 0]}
    for n in range(24)
]  # fmt: skip


def table(folder: Path, rows: Sequence[Mapping[str, Any]], name: str = "pairs.csv") -> str:
    path = folder / name
    if name.endswith(".jsonl"):
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    elif name.endswith(".parquet"):
        pq.write_table(pa.Table.from_pylist([dict(row) for row in rows]), path)
    else:
        with path.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(
                stream, list(rows[0]), delimiter="\t" if name.endswith(".tsv") else ","
            )
            writer.writeheader()
            writer.writerows(rows)
    return str(path)


def pairs(path: str, **settings: Any) -> PairSet:
    found = sets.load("mine", SetSettings(path=path, **{"max_score": 5, **settings}))
    assert isinstance(found, PairSet)
    return found


@pytest.mark.parametrize("name", ["pairs.csv", "pairs.tsv", "pairs.jsonl", "pairs.parquet"])
def test_pairs_of_every_kind_of_table_are_the_same(tmp_path: Path, name: str) -> None:
    found = pairs(table(tmp_path, ROWS, name), group="genre")

    assert (found.name, found.role, found.kind) == ("mine", "domain", "graded")
    assert found.pairs[3] == SetPair("one 3", "two 3", 0.6, "b")
    assert len(found.pairs) == 24


def test_a_split_is_taken_by_its_name(tmp_path: Path) -> None:
    path = table(tmp_path, ROWS)

    assert [pair.sentence1 for pair in pairs(path, split="test").pairs] == [
        f"one {n}" for n in range(0, 24, 3)
    ]
    with pytest.raises(InputError, match=r"its pairs of split 'tset' hold nothing"):
        pairs(path, split="tset")


def test_the_columns_of_shared_sets_are_known(tmp_path: Path) -> None:
    rows = [{"text1": "a", "text2": "b", "label": 0.0}, {"text1": "c", "text2": "d", "label": 1.0}]
    found = pairs(table(tmp_path, rows, "pairs.parquet"), max_score=1)

    assert found.kind == "binary"
    assert found.pairs == (SetPair("a", "b", 0.0), SetPair("c", "d", 1.0))
    assert pairs(table(tmp_path, rows), max_score=1, kind="graded").kind == "graded"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"score": "7"}, r"row 2: the score 7 is not in 0 to 5 \(max_score\)"),
        ({"score": "-1"}, r"row 2: the score -1 is not in 0 to 5"),
        ({"score": "nan"}, r"row 2: the score nan is not in 0 to 5"),
        ({"score": "high"}, r"row 2: the score 'high' is no number"),
        ({"sentence2": ""}, r"row 2: needs two texts"),
    ],
)
def test_a_bad_row_is_named(tmp_path: Path, change: dict[str, str], said: str) -> None:
    rows = [ROWS[0], ROWS[1] | change, *ROWS[2:]]
    with pytest.raises(InputError, match=said):
        pairs(table(tmp_path, rows))


def test_constant_labels_are_refused(tmp_path: Path) -> None:
    rows = [row | {"score": "3"} for row in ROWS]
    with pytest.raises(InputError, match="hold the same score; a set needs pairs that differ"):
        pairs(table(tmp_path, rows))


def test_grades_are_no_duplicates(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="kind is binary, but scores other than 0 and 5 are in it"):
        pairs(table(tmp_path, ROWS), kind="binary")


def test_a_table_without_texts_says_what_it_has(tmp_path: Path) -> None:
    path = table(tmp_path, [{"left": "a", "right": "b", "score": "1"}])
    with pytest.raises(InputError, match=r"sentence1, text1, .* but left, right, score"):
        pairs(path)


@pytest.mark.parametrize("name", ["missing.csv", "notes.txt"])
def test_what_is_no_table_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "notes.txt").write_text("text")
    with pytest.raises(InputError, match=r"is no folder and no file of \.csv"):
        pairs(str(tmp_path / name))


def folder(root: Path, qrels: str, queries: int = 3, *, own: bool = False) -> str:
    """Write a search in BEIR's layout; query n is document n's title."""
    (root / "qrels").mkdir(parents=True)
    corpus = [{"_id": f"d{n}", "title": f"title {n}", "text": f"body {n}"} for n in range(5)]
    asked = [{"_id": f"q{n}", "text": f"title {n}"} | ({"self_doc_id": f"d{n}"} if own else {})
             for n in range(queries)]  # fmt: skip
    table(root, corpus, "corpus.jsonl")
    table(root, asked, "queries.jsonl")
    (root / "qrels/test.tsv").write_text("query-id\tcorpus-id\tscore\n" + qrels)
    return str(root)


def search(path: str, **settings: Any) -> SearchSet:
    found = sets.load("find", SetSettings(path=path, **settings))
    assert isinstance(found, SearchSet)
    return found


def test_a_folder_in_beirs_layout_is_a_search(tmp_path: Path) -> None:
    found = search(folder(tmp_path, "q0\td0\t2\nq0\td3\t1\nq1\td1\t1\nq1\td2\t0\n"))

    assert found.queries == ("title 0", "title 1")  # nothing is known to answer the third
    assert found.corpus[3] == "title 3 body 3"
    assert found.relevant == ({0: 2, 3: 1}, {1: 1})
    assert found.excluded == ()


def test_a_document_that_asks_does_not_find_itself(tmp_path: Path) -> None:
    found = search(folder(tmp_path, "q0\td3\t1\nq2\td4\t1\n", own=True))

    assert found.excluded == (frozenset({0}), frozenset({2}))


def test_queries_are_grouped_by_a_column_of_theirs(tmp_path: Path) -> None:
    path = folder(tmp_path, "q0\td0\t1\nq2\td3\t1\n")
    asked = [{"_id": f"q{n}", "text": f"title {n}", "forum": f"forum {n}"} for n in range(3)]
    table(tmp_path, asked, "queries.jsonl")

    assert search(path, group="forum").groups == ("forum 0", "forum 2")
    assert search(path).groups == ()


def test_ids_that_are_not_there_are_counted_and_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"name 2 document ids that are not there, such as 'd9'"):
        search(folder(tmp_path / "a", "q0\td9\t1\nq0\td0\t1\nq1\td8\t1\n"))
    with pytest.raises(InputError, match=r"name 1 query ids that are not there, such as 'q7'"):
        search(folder(tmp_path / "b", "q0\td0\t1\nq7\td0\t1\n"))


def test_a_search_without_answers_or_parts_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no query in .* has a relevant document"):
        search(folder(tmp_path / "a", "q0\td0\t0\n"))
    path = folder(tmp_path / "b", "q0\td0\t1\n")
    Path(path, "corpus.jsonl").unlink()
    with pytest.raises(InputError, match=r"has no corpus\.jsonl; a retrieval set has"):
        search(path)
    with pytest.raises(InputError, match="a retrieval set is a folder"):
        search(table(tmp_path, ROWS), kind="retrieval")


@given(st.lists(st.floats(0, 5), min_size=2, max_size=20).filter(lambda s: len(set(s)) > 1))
def test_every_score_of_the_scale_is_kept(scores: list[float]) -> None:
    rows = [{"query": "a", "passage": "b", "score": score} for score in scores]
    found = sets._pairs("mine", rows, SetSettings(path="x", max_score=5))

    assert [pair.score * 5 for pair in found.pairs] == pytest.approx(scores)
