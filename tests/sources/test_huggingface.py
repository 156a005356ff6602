from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import InputError
from pipeline.records import Document, Dropped
from pipeline.sections import CollectSettings
from pipeline.sources import huggingface, parts


def settings(path: Path | str, **given: Any) -> CollectSettings:
    return CollectSettings.model_validate({"source": "huggingface", "path": str(path), **given})


def collected(chosen: CollectSettings, shelf: Path) -> list[Document | Dropped]:
    huggingface.refresh(chosen, shelf)
    return list(huggingface.read(chosen, shelf))


def texts(chosen: CollectSettings, shelf: Path) -> list[str]:
    found = collected(chosen, shelf)
    assert all(isinstance(item, Document) for item in found)
    return [item.text for item in found if isinstance(item, Document)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "data"
    (place / "data").mkdir(parents=True)
    rows = [{"text": f"Text {number}.", "title": f"Title {number}"} for number in range(25)]
    pq.write_table(pa.Table.from_pylist(rows), place / "data" / "train-00000-of-00001.parquet")
    pq.write_table(pa.Table.from_pylist(rows[:2]), place / "data" / "test-00000-of-00001.parquet")
    return place


def test_a_folder_of_data_files_is_read_by_split(folder: Path, tmp_path: Path) -> None:
    chosen = settings(folder, title_column="title", licence="CC0-1.0")
    found = collected(chosen, tmp_path / "shelf")
    assert [item.text for item in found if isinstance(item, Document)] == [
        f"Text {number}." for number in range(25)
    ]
    first = found[0]
    assert isinstance(first, Document)
    assert (first.title, first.name, first.licence) == ("Title 0", f"{folder}#1", "CC0-1.0")
    assert first.source.startswith("huggingface ")
    test = settings(folder, huggingface={"split": "test"})
    assert texts(test, tmp_path / "shelf") == ["Text 0.", "Text 1."]
    few = settings(folder, huggingface={"max_rows": 3})
    assert len(texts(few, tmp_path / "shelf")) == 3


@pytest.mark.parametrize("splits", [True, False])
def test_a_saved_data_set_is_read(tmp_path: Path, *, splits: bool) -> None:
    data = datasets.Dataset.from_dict({"text": ["One.", "Two."]})
    whole = datasets.DatasetDict({"train": data}) if splits else data
    whole.save_to_disk(str(tmp_path / "saved"))
    assert texts(settings(tmp_path / "saved"), tmp_path / "shelf") == ["One.", "Two."]


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """How many rows were written to the shelf since the last question; parts are of ten rows."""
    count = 0
    write = parts.write
    monkeypatch.setattr(huggingface, "PART", 10)

    def counting(path: Path, part: list[dict[str, Any]], *, whole: bool) -> None:
        nonlocal count
        write(path, part, whole=whole)
        count += len(part)

    def taken() -> int:
        nonlocal count
        count, before = 0, count
        return before

    monkeypatch.setattr(parts, "write", counting)
    return taken


def test_what_did_not_change_is_not_fetched_again(
    folder: Path, tmp_path: Path, written: Callable[[], int]
) -> None:
    chosen, shelf = settings(folder), tmp_path / "shelf"
    assert len(texts(chosen, shelf)) == 25
    assert written() == 25
    before = huggingface.fingerprint(chosen, shelf)
    assert len(texts(chosen, shelf)) == 25
    assert written() == 0
    assert huggingface.fingerprint(chosen, shelf) == before
    pq.write_table(pa.table({"text": ["New."]}), folder / "data" / "train-00000-of-00001.parquet")
    assert texts(chosen, shelf) == ["New."]
    assert len([path for path in shelf.iterdir() if path.is_dir() and path.name != "cache"]) == 1
    assert huggingface.fingerprint(chosen, shelf) != before


def test_a_killed_run_goes_on_after_the_parts_it_had(
    folder: Path, tmp_path: Path, written: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen, shelf = settings(folder), tmp_path / "shelf"
    write = parts.write

    def dying(path: Path, part: list[dict[str, Any]], *, whole: bool) -> None:
        if path.name.startswith("000001"):
            raise KeyboardInterrupt
        write(path, part, whole=whole)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(parts, "write", dying)
        huggingface.refresh(chosen, shelf)
    assert written() == 10
    assert texts(chosen, shelf) == [f"Text {number}." for number in range(25)]
    assert written() == 15


@pytest.mark.usefixtures("written")
def test_a_data_set_that_breaks_off_is_read_up_to_there_and_says_so(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    chosen, shelf = settings(folder), tmp_path / "shelf"
    good = folder / "data" / "train-00000-of-00001.parquet"
    good.rename(folder / "data" / "train-00000-of-00002.parquet")
    (folder / "data" / "train-00001-of-00002.parquet").write_bytes(b"PAR1 and no more")
    *documents, last = collected(chosen, shelf)
    assert len(documents) == 25
    assert isinstance(last, Dropped)
    assert last.reason == "cut_off"
    assert "Parquet" in last.detail
    assert "is read as far as it came" in caplog.text
    (folder / "data" / "train-00001-of-00002.parquet").unlink()
    assert len(texts(chosen, shelf)) == 25


def test_a_row_that_is_no_text_is_dropped(tmp_path: Path) -> None:
    rows = [{"text": "One."}, {"text": None}, {"text": "Three."}]
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    found = collected(settings(tmp_path / "data"), tmp_path / "shelf")
    assert [item.text for item in found if isinstance(item, Document)] == ["One.", "", "Three."]
    numbers = settings(tmp_path / "numbers")
    (tmp_path / "numbers").mkdir()
    (tmp_path / "numbers" / "a.jsonl").write_text('{"text": 1}\n{"text": 2}\n')
    dropped = collected(numbers, tmp_path / "shelf")
    assert [item.reason for item in dropped if isinstance(item, Dropped)] == ["not_text"] * 2


def test_code_that_a_data_set_brings_along_is_not_run(tmp_path: Path) -> None:
    place, mark = tmp_path / "data", tmp_path / "mark"
    place.mkdir()
    (place / "data.py").write_text(f"open({str(mark)!r}, 'w').close()\n")
    (place / "a.csv").write_text("text\nOne.\n")
    with contextlib.suppress(InputError):
        collected(settings(place), tmp_path / "shelf")
    assert not mark.exists()


@pytest.mark.parametrize(
    ("path", "given", "message"),
    [
        ("", {}, "collect.path is empty"),
        ("no/such/place", {}, "no folder and no name of a data set"),
        ("nobody/nothing", {}, "nobody/nothing cannot be loaded .*; check the name"),
        ("{folder}", {"text_column": "body"}, "no column 'body'; set collect.text_column"),
        ("{folder}", {"huggingface": {"split": "dev"}}, "cannot be loaded .*dev"),
    ],
)
def test_what_cannot_be_loaded_is_an_error_that_says_why(
    folder: Path, tmp_path: Path, path: str, given: dict[str, Any], message: str
) -> None:
    chosen = settings(path.format(folder=folder), **given)
    with pytest.raises(InputError, match=message):
        huggingface.refresh(chosen, tmp_path / "shelf")
    with pytest.raises(InputError, match="was not fetched yet"):
        list(huggingface.read(chosen, tmp_path / "shelf"))
