from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import InputError
from pipeline.records import Document, text_id
from pipeline.sections import CollectSettings
from pipeline.sources import files
from pipeline.sources.tables import TABLES

SHELF = Path()  # nothing is fetched
ROWS = [{"text": "The first text.", "id": "1"}, {"text": "A second, with ü\nand lines.", "id": "2"}]


def collected(path: Path | str, column: str = "text") -> list[Document]:
    settings = CollectSettings(source="files", path=str(path), text_column=column, licence="CC0")
    return list(files.read(settings, SHELF))


def fingerprint(path: Path | str) -> str:
    return files.fingerprint(CollectSettings(source="files", path=str(path)), SHELF)


def write_table(path: Path, rows: list[dict[str, str]]) -> Path:
    if path.suffix == ".json":
        path.write_text(json.dumps(rows), encoding="utf-8")
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n\n" for row in rows), encoding="utf-8")
    elif path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        mark = "," if path.suffix == ".csv" else "\t"
        lines = [mark.join(rows[0]), *(mark.join(f'"{cell}"' for cell in r.values()) for r in rows)]
        path.write_text("\n".join(lines), encoding="utf-8")
    return path


@pytest.mark.parametrize("suffix", sorted(TABLES))
def test_a_table_is_a_document_a_row(tmp_path: Path, suffix: str) -> None:
    path = write_table(tmp_path / f"corpus{suffix}", ROWS)
    documents = collected(path)
    assert [document.text for document in documents] == [row["text"] for row in ROWS]
    assert [document.name for document in documents] == [f"corpus{suffix}#1", f"corpus{suffix}#2"]
    assert documents[0].id == text_id(ROWS[0]["text"])
    assert {document.licence for document in documents} == {"CC0"}


@pytest.mark.parametrize("suffix", sorted(TABLES))
def test_a_missing_column_is_an_error_that_names_the_nearest(tmp_path: Path, suffix: str) -> None:
    path = write_table(tmp_path / f"corpus{suffix}", ROWS)
    with pytest.raises(InputError, match=r"corpus.*: no column 'txt'; .*e\.g\. 'text'"):
        collected(path, "txt")


@pytest.mark.parametrize("suffix", sorted(set(TABLES) - {".csv", ".tsv"}))
def test_a_broken_table_is_an_error_that_names_the_file(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"corpus{suffix}"
    path.write_text('{"text": "fine"}\n{"text": ')
    with pytest.raises(InputError, match=rf"corpus\{suffix}"):
        collected(path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", '{"text": "x"}\nnonsense\n', r"a\.jsonl, line 2: not JSON"),
        ("a.jsonl", '{"text": "x"}\n[1]\n', r"a\.jsonl, line 2: a row must be a JSON object"),
        ("a.jsonl", '{"text": 5}', r"a\.jsonl, line 1: 'text' holds int, not text"),
        ("a.json", '{"text": "x"}', r"a\.json: a JSON file must be a list"),
        ("a.csv", 'text\n"never closed', r"a\.csv, line 2: "),
        ("a.csv", "text\na,b\n", r"a\.csv, line 2: more cells than"),
        ("a.txt", b"fine \xff", r"a\.txt: byte 5 is not UTF-8"),
    ],
)
def test_what_cannot_be_parsed_is_an_error_that_names_file_and_line(
    tmp_path: Path, name: str, content: str | bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=message):
        collected(tmp_path / name)


def test_deeply_nested_json_is_refused_not_a_crash(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("[" * 200_000)
    with pytest.raises(InputError, match="line 1: not JSON"):
        collected(tmp_path / "a.jsonl")


def test_empty_cells_are_empty_documents_so_that_they_are_counted(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": null}\n{"text": ""}\n')
    (tmp_path / "b.csv").write_text("id,text\n1\n2,\n")
    assert [document.text for document in collected(tmp_path)] == ["", "", "", ""]


def test_a_cell_longer_than_the_csv_modules_own_limit_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text\n" + "word " * 50_000)
    assert len(collected(tmp_path / "a.csv")[0].text.split()) == 50_000


def test_line_breaks_of_unicode_do_not_end_a_row(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text\none\u2028two\x85three\n", encoding="utf-8")
    (tmp_path / "b.jsonl").write_text('{"text": "one\u2028two"}\n', encoding="utf-8")
    assert [d.text for d in collected(tmp_path)] == ["one\u2028two\x85three", "one\u2028two"]


def test_a_byte_order_mark_is_not_part_of_the_text(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbfHello.")
    (tmp_path / "b.csv").write_bytes(b"\xef\xbb\xbftext\r\nHello.\r\n")
    assert [document.text for document in collected(tmp_path)] == ["Hello.", "Hello."]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "inner").mkdir()
    (tmp_path / ".hidden").mkdir()
    for name in ("b.txt", "a.md", "inner/c.TXT", ".hidden/d.txt", "inner/.e.txt", "picture.png"):
        (tmp_path / name).write_text(f"Text of {name}.")
    return tmp_path


def test_a_folder_is_all_its_readable_visible_files_in_order(folder: Path) -> None:
    assert [document.name for document in collected(folder)] == ["a.md", "b.txt", "inner/c.TXT"]


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("*.txt", ["b.txt"]),
        ("**/*.[tT][xX][tT]", ["b.txt", "inner/c.TXT"]),
        ("inner/*", ["c.TXT"]),
        ("*", ["a.md", "b.txt"]),
    ],
)
def test_a_glob_names_files_from_its_first_wildcard_on(
    folder: Path, monkeypatch: pytest.MonkeyPatch, pattern: str, names: list[str]
) -> None:
    assert [document.name for document in collected(f"{folder}/{pattern}")] == names
    monkeypatch.chdir(folder)
    assert [document.name for document in collected(pattern)] == names


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("", "collect.path is empty"),
        ("none.txt", r"there is no none\.txt"),
        ("none/*.txt", r"no file matches none/\*\.txt"),
        ("inner/none", "there is no inner/none"),
        ("picture.png", r"holds no file that can be read \(\.csv, "),
        ("*.png", "holds no file that can be read"),
    ],
)
def test_a_path_without_readable_files_is_an_error_that_says_so(
    folder: Path, monkeypatch: pytest.MonkeyPatch, path: str, message: str
) -> None:
    monkeypatch.chdir(folder)
    for read in (collected, fingerprint):
        with pytest.raises(InputError, match=message):
            read(path)


def test_the_fingerprint_follows_names_and_content_but_not_the_place(tmp_path: Path) -> None:
    for place in ("one", "two"):
        (tmp_path / place).mkdir()
        (tmp_path / place / "a.txt").write_text("Text.")
    first = fingerprint(tmp_path / "one")
    assert fingerprint(tmp_path / "two") == first
    (tmp_path / "two" / "a.txt").write_text("Text!")
    assert fingerprint(tmp_path / "two") != first
    (tmp_path / "one" / "a.txt").rename(tmp_path / "one" / "b.txt")
    assert fingerprint(tmp_path / "one") != first
