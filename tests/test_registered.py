from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline import registered
from pipeline.config import DomainConfig, parse
from pipeline.errors import InputError

ROWS = [
    {"id": "1", "sentence1": "Open a file.", "sentence2": "Close it.", "score": 2.5},
    {"id": "2", "sentence1": "Sort a list.", "sentence2": "", "score": 1.0},
]
TEXTS = ["Open a file.", "Close it.", "Sort a list."]


def write(path: Path) -> Path:
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(ROWS), path)
    elif path.suffix == ".jsonl":
        path.write_text("".join(f"{json.dumps(row)}\n" for row in ROWS))
    elif path.suffix == ".json":
        path.write_text(json.dumps(ROWS))
    else:
        separator = "\t" if path.suffix == ".tsv" else ","
        lines = [ROWS[0].keys(), *(map(str, row.values()) for row in ROWS)]
        path.write_text("\ufeff" + "\n".join(separator.join(line) for line in lines) + "\n")
    return path


def config_for(*paths: Path) -> DomainConfig:
    registered_files = list(map(str, paths))
    return parse(
        {"domain": "x", "leakage": {"registered": registered_files}, "evaluate": {"general": ""}}
    )


@pytest.mark.parametrize("ending", sorted(registered.READERS))
def test_the_texts_of_every_format_are_read_with_their_places(tmp_path: Path, ending: str) -> None:
    path = write(tmp_path / f"sts{ending}")
    found = list(registered.read(path))
    assert [row.text for row in found] == TEXTS
    assert [row.where for row in found] == [f"{path}, row {n}" for n in (1, 1, 2)]


def test_all_registered_sets_are_read(tmp_path: Path) -> None:
    config = config_for(write(tmp_path / "a.csv"), write(tmp_path / "b.jsonl"))
    assert [row.text for row in registered.texts(config)] == TEXTS * 2
    assert len(set(registered.identity(config))) == 2
    assert not list(registered.texts(config_for()))


def test_the_sets_of_evaluate_are_registered_too(tmp_path: Path) -> None:
    own, other = write(tmp_path / "a.csv"), write(tmp_path / "b.jsonl")
    folder = tmp_path / "search"
    folder.mkdir()
    (folder / "queries.jsonl").write_text('{"_id": "1", "text": "Asked?"}\n')
    (folder / "corpus.jsonl").write_text('{"_id": "1", "text": "Searched."}\n')
    sets = {"own": {"path": str(own)}, "seen": {"path": str(other), "trained_on": True},
            "find": {"path": str(folder)}, "hub": {"path": "hf://owner/name"}}  # fmt: skip
    config = parse({"domain": "x", "evaluate": {"general": "", "sets": sets}})

    assert [row.text for row in registered.texts(config)] == [*TEXTS, "Asked?"]
    assert len(registered.identity(config)) == 5  # both files of the folder, and a name
    assert len(set(registered.identity(config))) == 5


def test_the_general_pairs_that_come_along_are_registered() -> None:
    config = parse({"domain": "x"})
    assert len(list(registered.texts(config))) == 2 * 483
    assert len(registered.identity(config)) == 1


@pytest.mark.parametrize(
    "column", ["text", "Text", "texts", "text_2", "query", "positives", "negative1", "premise"]
)
def test_columns_of_texts_are_known_by_their_names_and_may_hold_lists(
    tmp_path: Path, column: str
) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({column: ["One.", "Two."], "label": "Three."}))
    assert [row.text for row in registered.read(path)] == ["One.", "Two."]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "id,label\n1,yes\n", r"holds no text: its columns are id, label; .* sentence, "),
        ("a.csv", "", r"holds no text: its columns are none"),
        ("a.jsonl", "{broken", r"cannot read the evaluation set .*a\.jsonl"),
        ("a.jsonl", "[1, 2]", r"cannot read the evaluation set"),
        ("a.json", "5", r"cannot read the evaluation set"),
        ("a.parquet", "no table", r"cannot read the evaluation set"),
        ("a.xlsx", "x", r"a\.xlsx is none of \.csv, \.tsv, \.json, \.jsonl, \.parquet"),
    ],
)
def test_a_file_that_cannot_be_used_says_why(
    tmp_path: Path, name: str, content: str, message: str
) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=message):
        list(registered.read(tmp_path / name))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    config = config_for(tmp_path / "gone.csv")
    with pytest.raises(InputError, match=r"leakage\.registered: cannot read .*gone\.csv"):
        registered.identity(config)
    with pytest.raises(InputError, match=r"gone\.csv"):
        list(registered.texts(config))
