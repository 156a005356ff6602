from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.artifacts import Store
from pipeline.config import DomainConfig, parse
from pipeline.errors import ConfigError, NotEnoughText
from pipeline.records import Document
from pipeline.sources import SOURCES, identity, shelf, source, stage


def config_for(path: Path, licence: str = "") -> DomainConfig:
    collect = {"source": "files", "path": str(path), "licence": licence}
    return parse({"domain": "example", "collect": collect})


def test_the_documents_of_the_source_become_one_artefact(store: Store, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text\nFirst text.\nSecond text.\n")
    reference = stage.run({}, config_for(tmp_path / "a.csv", "CC0-1.0"), store)
    rows = store.rows(reference, Document)
    assert [row.text for row in rows] == ["First text.", "Second text."]
    assert store.json(reference) == {
        "source": "files",
        "documents": 2,
        "dropped": {},
        "licences": {"CC0-1.0": 2},
    }


def test_a_licence_that_is_not_given_is_counted_as_not_stated(store: Store, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("Text.")
    summary = store.json(stage.run({}, config_for(tmp_path), store))
    assert summary["licences"] == {"not stated": 1}


def test_what_is_left_out_is_said_with_its_reasons(
    store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    texts = tmp_path / "texts"
    texts.mkdir()
    (texts / "a.txt").write_text("Text.")
    stage.run({}, config_for(texts), store)
    assert "left out" not in caplog.text
    (texts / "b.txt").write_bytes(bytes(range(256)) * 8)
    stage.run({}, config_for(texts), store)
    assert "left out: binary 1" in caplog.text


def test_an_empty_source_is_an_error_and_leaves_no_artefact(store: Store, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text\n")
    with pytest.raises(NotEnoughText, match=r"source files at .*a\.csv holds no documents"):
        stage.run({}, config_for(tmp_path / "a.csv"), store)
    assert not list(store.root.glob("objects/*/*"))


def test_an_unknown_source_names_those_there_are() -> None:
    with pytest.raises(ConfigError, match=r"no 'radio'; there are files, .*python_docs"):
        source("radio")


FETCHED = {"github", "huggingface", "web"}  # they have tests of their own, with what they ask
POST = '<posts><row Id="1" PostTypeId="1" Title="Title" Body="Text." /></posts>'


@pytest.mark.parametrize("name", sorted(set(SOURCES) - FETCHED))
def test_every_source_yields_documents_and_has_a_stable_identity(name: str, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("Text.")
    (tmp_path / "Posts.xml").write_text(POST)
    collect = {
        "source": name,
        "path": str(tmp_path / "a.txt"),
        "stack_exchange": {"site": "cooking.example"},
    }
    config = parse({"domain": "example", "collect": collect})
    assert identity(config) == identity(config)
    assert isinstance(next(source(name).read(config.collect, shelf(name))), Document)
