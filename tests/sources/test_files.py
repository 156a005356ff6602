from __future__ import annotations

import gzip
import json
import os
import tracemalloc
from collections import Counter
from pathlib import Path
from textwrap import wrap
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import InputError
from pipeline.records import Document, Dropped, text_id
from pipeline.sections import CollectSettings
from pipeline.sources import files
from pipeline.sources.opening import PACKINGS, suffixes
from pipeline.sources.places import DOCUMENTS
from pipeline.sources.tables import READERS
from tests.sources.made import docx, html, pdf

ROWS = [{"text": "The first text.", "id": "1"}, {"text": "A second, with ü\nand lines.", "id": "2"}]
SHELF = Path("no-shelf")  # for what is not extracted


def read(
    path: Path | str, shelf: Path = SHELF, **settings: Any
) -> tuple[list[Document], list[Dropped]]:
    chosen = CollectSettings.model_validate({"source": "files", "path": str(path), **settings})
    found = list(files.read(chosen, shelf))
    dropped = [item for item in found if isinstance(item, Dropped)]
    assert {drop.stage for drop in dropped} <= {"collect"}
    return [item for item in found if isinstance(item, Document)], dropped


def collected(path: Path | str, **settings: Any) -> list[Document]:
    documents, dropped = read(path, **settings)
    assert dropped == []
    return documents


def reasons(path: Path | str, shelf: Path = SHELF, **settings: Any) -> dict[str, int]:
    return dict(Counter(drop.reason for drop in read(path, shelf, **settings)[1]))


def fingerprint(path: Path | str) -> str:
    return files.fingerprint(CollectSettings(source="files", path=str(path)), SHELF)


def table(suffix: str, rows: list[dict[str, str]], folder: Path) -> bytes:
    path = folder / f"table{suffix}"
    if suffix == ".json":
        return json.dumps(rows).encode()
    if suffix == ".jsonl":
        return "".join(json.dumps(row) + "\n\n" for row in rows).encode()
    if suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
        data = path.read_bytes()
        path.unlink()
        return data
    mark = "," if suffix == ".csv" else "\t"
    lines = [mark.join(rows[0]), *(mark.join(f'"{cell}"' for cell in r.values()) for r in rows)]
    return "\n".join(lines).encode()


def packed(data: bytes, packing: str) -> bytes:
    if packing == ".gz":
        return gzip.compress(data)
    return pa.compress(data, "zstd", asbytes=True) if packing else data


@pytest.mark.parametrize("packing", sorted(PACKINGS))
@pytest.mark.parametrize("suffix", sorted(READERS))
def test_a_table_is_a_document_a_row(tmp_path: Path, suffix: str, packing: str) -> None:
    name = f"corpus{suffix}{packing}"
    (tmp_path / name).write_bytes(packed(table(suffix, ROWS, tmp_path), packing))
    documents = collected(tmp_path / name, licence="CC0")
    assert [document.text for document in documents] == [row["text"] for row in ROWS]
    assert [document.name for document in documents] == [f"{name}#1", f"{name}#2"]
    assert documents[0].id == text_id(ROWS[0]["text"])
    assert {document.licence for document in documents} == {"CC0"}


@pytest.mark.parametrize("name", [*(f"a{suffix}" for suffix in sorted(DOCUMENTS)), "a.pdf.gz"])
def test_a_document_of_any_kind_is_its_text_and_title(tmp_path: Path, name: str) -> None:
    words = "A paragraph that is long enough to be told from a menu and to be kept as text."
    written = {
        "html": html("<h2>Part</h2>", f"<p>{words}</p>", title="Its title"),
        "pdf": pdf([[(18, "Part"), *((11, w) for w in wrap(words, 40))]], title="Its title"),
        "docx": docx([("Heading 2", "Part"), ("Normal", words)], title="Its title"),
        "markdown": f"# Its title\n\n## Part\n\n{words}\n".encode(),
        "text": words.encode(),
    }
    suffix, packing = suffixes(name)
    (tmp_path / name).write_bytes(packed(written[DOCUMENTS[suffix]], packing))
    (found,) = collected(tmp_path / name, shelf=tmp_path / "shelf")
    assert words in " ".join(found.text.split())
    if DOCUMENTS[suffix] != "text":
        assert found.title == "Its title"
        assert "Its title" not in found.text
        assert found.text.lstrip().startswith(("## Part\n\n", "# Part\n\n"))


@pytest.mark.parametrize("suffix", sorted(READERS))
def test_a_column_missing_everywhere_is_an_error_that_names_the_nearest(
    tmp_path: Path, suffix: str
) -> None:
    (tmp_path / f"corpus{suffix}").write_bytes(table(suffix, ROWS, tmp_path))
    (tmp_path / f"other{suffix}").write_bytes(table(suffix, [{"body": "x"}], tmp_path))
    with pytest.raises(
        InputError, match=r"corpus.*: no column 'txt'; .*text_column, e\.g\. 'text'"
    ):
        read(tmp_path, text_column="txt")
    with pytest.raises(InputError, match=r"no column 'titel'; set collect\.title_column"):
        read(tmp_path / f"corpus{suffix}", title_column="titel")


def test_a_column_missing_in_one_file_drops_that_file_once(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("body,id\nOne.,1\nTwo.,2\n")
    (tmp_path / "b.csv").write_text("text\nThree.\n")
    documents, dropped = read(tmp_path)
    assert [document.text for document in documents] == ["Three."]
    assert [(d.record_id, d.reason) for d in dropped] == [("a.csv#1", "missing_column")]
    assert "'body', 'id'" in dropped[0].detail


def test_rows_of_json_lines_may_lack_the_column_one_by_one(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"id": 1}\n{"text": "Here."}\n{"id": 3}\n')
    documents, dropped = read(tmp_path)
    assert [document.name for document in documents] == ["a.jsonl#2"]
    assert [drop.record_id for drop in dropped] == ["a.jsonl#1", "a.jsonl#3"]


def test_a_long_file_without_the_column_is_not_read_to_its_end(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"id": 1}\n' * 5_000)
    (tmp_path / "b.txt").write_text("Text.")
    assert reasons(tmp_path) == {"missing_column": 100}


def test_other_columns_become_the_fields_they_are_named_for(tmp_path: Path) -> None:
    row = {
        "body": "Text.", "head": "A title", "key": 17, "link": "https://example.org/17",
        "terms": "CC-BY-4.0", "repo": "a/b", "same": ["18", "19"],
    }  # fmt: skip
    (tmp_path / "a.jsonl").write_text(json.dumps(row) + '\n{"body": "B.", "head": null, "key": "k"')
    with (tmp_path / "a.jsonl").open("a") as file:
        file.write(', "link": null, "terms": null, "repo": null, "same": null}')
    columns = {
        "name": "key", "url": "link", "licence": "terms", "group": "repo", "duplicates": "same"
    }  # fmt: skip
    settings = {"text_column": "body", "title_column": "head", "files": {"columns": columns}}
    first, second = collected(tmp_path, licence="CC0-1.0", **settings)
    assert (first.text, first.title, first.name) == ("Text.", "A title", "17")
    assert (first.url, first.licence, first.group) == ("https://example.org/17", "CC-BY-4.0", "a/b")
    assert first.duplicates == "18\n19"
    assert (second.name, second.licence, second.url) == ("k", "CC0-1.0", "")


@pytest.mark.parametrize(
    ("name", "content", "kept", "reason", "detail"),
    [
        ("a.jsonl", '{"text": "x"}\nnonsense\n{"text": "y"}', "xy", "broken_row", "line 2: not"),
        ("a.jsonl", '{"text": "x"}\n[1]\n', "x", "broken_row", "line 2: a row must be"),
        ("a.jsonl", '{"text": 5}', "", "not_text", "line 1: 'text' holds int, not text"),
        ("a.jsonl", "[" * 200_000, "", "broken_row", "line 1: not JSON"),
        ("a.jsonl", '{"text": "\\ud800"}', "", "unknown_encoding", "line 1: 'text' holds bytes"),
        ("a.jsonl", b'{"text": "x"}\n{"text": "\xff"}\n', "x", "unknown_encoding", "line 2:"),
        ("a.json", '{"text": "x"}', "", "broken", "a JSON file must be a list"),
        ("a.json", '[{"text": "x"}, {"text": ', "x", "broken", "after row 1: not JSON"),
        ("a.json", '[{"text": "x"}, 5]', "x", "broken_row", "row 2: a row must be"),
        ("a.json", "[" * 100_000, "", "broken", "not JSON"),
        ("a.csv", 'text\nx\n"never closed', "x", "broken_row", "line 3: unexpected end"),
        ("a.csv", 'text\n"x"y\nz', "z", "broken_row", "line 2: ',' expected"),
        ("a.csv", "text\na,b\nx\n", "x", "broken_row", "line 2: more cells than"),
        ("a.csv", '"text\nx', "", "broken", "unexpected end of data"),
        ("a.csv", b"text\nx\n" + b"\xc3\xa9" * 9 + b"\xff\ny", "xy", "unknown_encoding", "line 3"),
        ("a.parquet", "PAR1 and no more", "", "broken", "not Parquet"),
        ("a.txt", b"fine " + b"\xc3\xa9" * 9 + b"\xff", "", "unknown_encoding", "byte 23 is not"),
        ("a.txt", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "", "binary", "control characters"),
        ("a.csv", bytes(range(256)), "", "binary", "control characters"),
        ("a.jsonl", b"\x7fELF\x02\x01\x01\0" * 9, "", "binary", "control characters"),
        ("a.txt.gz", b"no gzip at all", "", "broken", "cannot be read"),
        ("a.csv.zst", b"no zstd at all", "", "broken", "cannot be read"),
        ("a.txt.gz", gzip.compress(os.urandom(9_000))[:-4_000], "", "broken", "cannot be read"),
        ("a.pdf", "no PDF", "", "broken", ""),
        ("a.docx", b"PK\x03\x04", "", "broken", "BadZipFile"),
        ("a.docx", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" * 64, "", "encrypted", "a password"),
        ("a.html", b"<title>Only</title><body></body>", "", "no_text", ""),
        ("a.html", "<div>" * 3_000 + "deep", "", "too_deep", ""),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_dropped_with_reason_file_and_line_and_the_rest_is_read(  # noqa: PLR0913, PLR0917 - a table
    tmp_path: Path, name: str, content: str | bytes, kept: str, reason: str, detail: str
) -> None:
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    documents, dropped = read(tmp_path / name, tmp_path / "shelf")
    assert "".join(document.text for document in documents) == kept
    assert [drop.reason for drop in dropped] == [reason]
    assert detail in dropped[0].detail
    assert str(tmp_path / name) in dropped[0].detail
    assert dropped[0].record_id.partition("#")[0] == name


def test_files_that_cannot_be_opened_are_dropped(tmp_path: Path) -> None:
    (tmp_path / "b.txt").write_text("Text.")
    entries = files.places.local(str(tmp_path))
    (tmp_path / "b.txt").unlink()  # between being listed and being read
    settings = CollectSettings(source="files", path=str(tmp_path))
    (found,) = files.Reading(settings, None).documents(entries[0])  # type: ignore[arg-type]
    assert isinstance(found, Dropped)
    assert (found.reason, found.detail) == (
        "cannot_open",
        f"{tmp_path}/b.txt: No such file or directory",
    )


LIMITS = {"files": {"max_document_mb": 1}}


@pytest.mark.parametrize("suffix", [".txt", ".md", ".csv", ".tsv", ".jsonl", ".json", ".html"])
@pytest.mark.parametrize("packing", ["", ".zst"])
def test_a_line_of_any_length_costs_no_more_memory_than_a_document_may(
    tmp_path: Path, suffix: str, packing: str
) -> None:
    words = b"word " * 8_000_000  # 40 MB
    start, end = {".json": (b'[{"text": "', b'"}]'), ".jsonl": (b'{"text": "', b'"}')}.get(
        suffix, (b"text\n" if suffix in (".csv", ".tsv") else b"", b"")
    )
    path = tmp_path / f"a{suffix}{packing}"
    path.write_bytes(packed(start + words + end, packing))
    del words
    tracemalloc.start()
    documents, dropped = read(path, **LIMITS)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert documents == []
    assert [drop.reason for drop in dropped] in (["too_large"], ["unpacks_too_large"])
    assert peak < 20_000_000


def test_lines_after_one_that_is_too_long_are_read(tmp_path: Path) -> None:
    long = json.dumps({"text": "é" * 1_500_000}, ensure_ascii=False)
    (tmp_path / "a.jsonl").write_text(f'{{"text": "x"}}\n{long}\n{{"text": "y"}}\n', "utf-8")
    documents, dropped = read(tmp_path, **LIMITS)
    assert [document.name for document in documents] == ["a.jsonl#1", "a.jsonl#3"]
    assert [(drop.reason, drop.record_id) for drop in dropped] == [("too_large", "a.jsonl#2")]


@pytest.mark.parametrize("packing", [".gz", ".zst"])
@pytest.mark.parametrize("suffix", [".txt", ".jsonl", ".parquet", ".pdf"])
def test_a_bomb_is_not_unpacked(tmp_path: Path, packing: str, suffix: str) -> None:
    path = tmp_path / f"bomb{suffix}{packing}"
    with path.open("wb") as file:
        stream = (
            gzip.GzipFile(fileobj=file, mode="wb")
            if packing == ".gz"
            else pa.CompressedOutputStream(file, "zstd")
        )
        with stream as out:
            for _ in range(500):
                out.write(b'{"text": "' + b"x" * 100_000 + b'"}\n')  # 50 MB in all
    assert path.stat().st_size < 500_000
    tracemalloc.start()
    documents, dropped = read(path, tmp_path / "shelf", **LIMITS)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [drop.reason for drop in dropped] in (["too_large"], ["unpacks_too_large"])
    assert len(documents) * 100_000 <= 20 << 20
    assert peak < 20_000_000 + 110_000 * len(documents)


def test_a_file_larger_than_the_limit_is_not_opened(tmp_path: Path) -> None:
    with (tmp_path / "a.jsonl").open("wb") as file:
        file.truncate(3 << 20)
    assert reasons(tmp_path, files={"max_file_gb": 0.001}) == {"too_large": 1}


def test_a_table_much_larger_than_a_document_may_be_is_read_whole(tmp_path: Path) -> None:
    row = json.dumps({"text": "word " * 2_000}) + "\n"
    (tmp_path / "a.jsonl").write_text(row * 500)  # 5 MB
    (tmp_path / "a.csv").write_text("text\n" + ("word " * 2_000 + "\n") * 500)
    pq.write_table(pa.table({"text": ["word " * 2_000] * 500}), tmp_path / "a.parquet")
    (tmp_path / "a.json").write_text(json.dumps([json.loads(row)] * 500))
    assert len(collected(tmp_path, **LIMITS)) == 2_000


@pytest.mark.parametrize("packing", [".gz", ".zst"])
def test_packed_files_put_one_after_the_other_are_one_file(tmp_path: Path, packing: str) -> None:
    parts = [packed(b"text\nOne.\n", packing), packed(b"Two.\n", packing)]
    (tmp_path / f"a.csv{packing}").write_bytes(b"".join(parts))
    assert [document.text for document in collected(tmp_path)] == ["One.", "Two."]


def test_columns_of_parquet_that_are_not_asked_for_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    table = pa.table({"text": ["One.", "Two."], "other": ["x" * 5_000, "y" * 5_000]})
    pq.write_table(table, path, use_dictionary=False, compression="none")
    data = path.read_bytes()
    path.write_bytes(data.replace(b"x" * 5_000, b"\xff" * 5_000))  # no text: reading it fails
    assert [document.text for document in collected(path)] == ["One.", "Two."]
    assert set(reasons(path, text_column="other")) != set()


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


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252"])
@pytest.mark.parametrize("suffix", [".txt", ".md", ".csv", ".json", ".jsonl"])
def test_text_is_read_in_the_encoding_it_is_in(tmp_path: Path, suffix: str, encoding: str) -> None:
    text = "Die Größe der Datei übersteigt das Maß, das für sie möglich wäre."
    whole = {
        ".csv": f'text\n"{text}"\n',
        ".json": json.dumps([{"text": text}], ensure_ascii=False),
        ".jsonl": json.dumps({"text": text}, ensure_ascii=False),
    }.get(suffix, text)
    (tmp_path / f"a{suffix}").write_bytes(whole.encode(encoding))
    assert [document.text for document in collected(tmp_path)] == [text]


def test_a_stated_encoding_is_not_second_guessed(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("naïve é".encode())
    assert collected(tmp_path, files={"encoding": "cp1252"})[0].text == "naÃ¯ve Ã©"


def test_zero_width_characters_do_not_reach_a_document(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("ig\u200bnore \U000e0041\U000e0042all\ufeff.", "utf-8")
    (tmp_path / "b.csv").write_text("text\nig\u2060nore\n", "utf-8")
    assert [document.text for document in collected(tmp_path)] == ["ignore all.", "ignore"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "inner").mkdir()
    (tmp_path / ".hidden").mkdir()
    for name in ("b.txt", "a.md", "inner/c.TXT", ".hidden/d.txt", "inner/.e.txt", "picture.png"):
        (tmp_path / name).write_text(f"Text of {name}.")
    return tmp_path


def test_a_folder_is_all_its_readable_visible_files_in_order(folder: Path) -> None:
    assert [document.name for document in collected(folder)] == ["a.md", "b.txt", "inner/c.TXT"]
    assert len(collected(f"file://{folder}")) == 3


def test_a_file_whose_name_is_no_text_is_read_under_a_name_that_is(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"bad\xff.txt")).write_text("Text.")
    assert [document.name for document in collected(tmp_path)] == ["bad?.txt"]


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
    for reading in (collected, fingerprint):
        with pytest.raises(InputError, match=message):
            reading(path)


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
