"""Reading texts, finding models and writing vectors; the encoder itself is tested elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows import encoding, models
from pipeline import runs
from pipeline.config import DomainConfig
from pipeline.errors import InputError


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ANGLE_ADAPT_HOME", str(tmp_path / "home"))
    return tmp_path


def run_with_model(home: Path) -> runs.RunRecord:
    (home / "published" / "model").mkdir(parents=True, exist_ok=True)
    record = runs.start(DomainConfig(domain="tiny"))
    return runs.link(record, home / "published")


def test_every_line_is_a_text_and_empty_ones_keep_their_place(home: Path) -> None:
    path = home / "texts.txt"
    path.write_bytes("one\r\n\nzwei ‖ drei\n".encode())
    assert encoding.read_texts(path) == ["one", "", "zwei ‖ drei"]


def test_a_file_that_is_not_text_is_named_with_its_line(home: Path) -> None:
    path = home / "texts.txt"
    path.write_bytes(b"one\n\xff\n")
    with pytest.raises(InputError, match=r"texts\.txt, line 2"):
        encoding.read_texts(path)


def test_an_empty_file_is_an_error(home: Path) -> None:
    path = home / "texts.txt"
    path.touch()
    with pytest.raises(InputError, match="is empty"):
        encoding.read_texts(path)


def test_a_model_is_found_by_folder_by_run_and_as_the_latest(home: Path) -> None:
    run_with_model(home)
    latest = run_with_model(home)
    place = home / "published" / "model"
    assert [models.find(name) for name in (str(place), latest.id, "latest")] == [place] * 3


@pytest.mark.parametrize("name", ["no-such-run", "no/such/folder", "../..", "latest"])
def test_a_model_that_is_not_there_is_an_error_that_says_what_to_name(
    home: Path, name: str
) -> None:
    if name == "../..":
        name = str(home / "file.txt")
        Path(name).touch()
    with pytest.raises(InputError, match=r"name a folder|angle-adapt run"):
        models.find(name)
