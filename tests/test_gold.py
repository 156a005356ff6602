from __future__ import annotations

from pathlib import Path

import pytest

from pipeline import gold
from pipeline.config import CHECKOUT, DomainConfig, load, parse
from pipeline.errors import InputError

HEADER = "sentence1,sentence2,score,split,name1,name2,category\n"


def config_for(path: Path | str, max_score: float = 5.0) -> DomainConfig:
    return parse({"domain": "x", "evaluate": {"gold": str(path), "max_score": max_score}})


@pytest.fixture
def gold_file(tmp_path: Path) -> Path:
    path = tmp_path / "gold.csv"
    path.write_text(
        HEADER + 'Open a file.,"Close a file, now.",2.5,dev,os.open,os.close,topic\n'
        "Open a file.,Open the file.,5,test,,,\n",
        encoding="utf-8",
    )
    return path


def test_gold_pairs_are_scaled_to_one_and_keep_where_they_came_from(gold_file: Path) -> None:
    first, second = gold.load(config_for(gold_file))
    assert (first.score, first.split, first.name1, first.category) == (
        0.5,
        "dev",
        "os.open",
        "topic",
    )
    assert (second.score, second.split, second.name2) == (1.0, "test", "")


def test_a_domain_without_a_gold_file_has_no_gold_pairs() -> None:
    assert gold.load(config_for("")) == []
    assert gold.identity(config_for("")) == ""


def test_the_identity_follows_content_and_scale_but_not_the_place(
    gold_file: Path, tmp_path: Path
) -> None:
    here = gold.identity(config_for(gold_file))
    copy = tmp_path / "copy.csv"
    copy.write_bytes(gold_file.read_bytes())
    assert gold.identity(config_for(copy)) == here
    assert gold.identity(config_for(gold_file, max_score=6.0)) != here
    copy.write_text(gold_file.read_text().replace("2.5", "2.6"))
    assert gold.identity(config_for(copy)) != here


@pytest.mark.parametrize(
    "row",
    [
        "a,b,7,test", "a,b,-1,test", "a,b,high,test", "a,b,,test", "a,b,nan,test",
        "a,b,1,train", "a,b,1,", ",b,1,test", "a,,1,dev", "a,b",
    ],
)  # fmt: skip
def test_a_bad_row_is_an_error_that_names_its_line(tmp_path: Path, row: str) -> None:
    path = tmp_path / "gold.csv"
    path.write_text(f"{HEADER}fine,too,1,dev,,,\n{row}\n", encoding="utf-8")
    with pytest.raises(
        InputError, match=r"gold\.csv, line 3: needs two texts, a score from 0 to 5"
    ):
        gold.load(config_for(path))


def test_a_pair_that_stands_twice_is_refused_in_either_order(tmp_path: Path) -> None:
    path = tmp_path / "gold.csv"
    path.write_text(f"{HEADER}one,two,1,dev,,,\nTwo,one,2,test,,,\n", encoding="utf-8")
    with pytest.raises(InputError, match="line 3: this pair stands in the file twice"):
        gold.load(config_for(path))


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    path = tmp_path / "gold.csv"
    path.write_text("sentence1,sentence2,score\na,b,1\n", encoding="utf-8")
    with pytest.raises(InputError, match="no column split; a gold file has sentence1"):
        gold.load(config_for(path))


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00a"])
def test_a_file_that_is_no_csv_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "gold.csv"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"gold\.csv"):
        gold.load(config_for(path))


def test_a_missing_file_is_refused_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot read the gold file .*none\.csv"):
        gold.load(config_for(tmp_path / "none.csv"))


def test_texts_with_line_breaks_and_a_byte_order_mark_are_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "gold.csv"
    path.write_bytes(f'\ufeff{HEADER}"one\ntwo\u2028three",b,1,dev,,,\r\n'.encode())
    (pair,) = gold.load(config_for(path))
    assert pair.sentence1 == "one\ntwo\u2028three"


def test_gold_files_of_all_domains_are_read() -> None:
    for path in sorted((CHECKOUT / "data" / "domains").glob("*.yaml")):
        loaded = load(path)
        if loaded.evaluate.gold:
            assert {pair.split for pair in gold.load(loaded)} == {"dev", "test"}
