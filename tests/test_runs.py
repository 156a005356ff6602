"""The records of runs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline import runs
from pipeline.config import DomainConfig
from pipeline.errors import ArtifactError, InputError
from pipeline.runs import StageRecord

CONFIG = DomainConfig(domain="tiny")
STAGE = StageRecord(stage="mine", cached=False, digest="d" * 64, rows=3, seconds=1.5, key="mine-k")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ANGLE_ADAPT_HOME", str(tmp_path))
    return tmp_path


def test_a_record_says_what_was_asked_and_with_what() -> None:
    record = runs.start(CONFIG)
    assert record.status == "running"
    assert record.config["train"]["epochs"] == CONFIG.train.epochs
    assert record.seeds["mine"] == CONFIG.mine.seed
    assert {"python", "platform", "torch", "prefect"} <= set(record.versions)
    assert "collect" not in record.seeds


def test_a_record_survives_being_stored() -> None:
    record = runs.finish(runs.add(runs.start(CONFIG), STAGE), "completed")
    assert runs.load(record.id) == record
    assert record.stages == (STAGE,)
    assert record.finished >= record.started


def test_a_run_of_this_process_is_running() -> None:
    assert runs.load(runs.start(CONFIG).id).status == "running"


def test_a_run_whose_process_died_reads_interrupted() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    record = runs.save(runs.start(CONFIG), pid=process.pid)
    assert runs.load(record.id).status == "interrupted"
    assert runs.load(runs.save(record, host="elsewhere").id).status == "running"
    assert runs.load(runs.finish(record, "failed", "why").id).status == "failed"


def test_runs_are_listed_latest_first_and_damaged_ones_named(
    home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = (runs.start(CONFIG, name) for name in ("a", "b"))
    runs.save(first, started="2020-01-01T00:00:00")
    damaged = home / "runs" / "c" / "run.json"
    damaged.parent.mkdir()
    damaged.write_text('{"id": "c"')
    assert [record.id for record in runs.list_runs()] == [second.id, first.id]
    assert str(damaged) in caplog.text
    with pytest.raises(ArtifactError, match=r"run\.json"):
        runs.load("c")


@pytest.mark.parametrize("name", ["../x", "", "a/b", ".hidden"])
def test_an_id_cannot_lead_out_of_the_folder_of_runs(name: str) -> None:
    with pytest.raises(InputError, match="is not the id of a run"):
        runs.load(name)


def test_ids_sort_by_time_and_serve_as_folder_names() -> None:
    assert runs.new_id("Ünï code/..").startswith("n-code-")
    assert runs.new_id("x") != runs.new_id("x")


def test_model_and_dataset_are_linked_from_the_folder_of_the_run(home: Path) -> None:
    published = home / "published"
    for name in ("model", "dataset"):
        (published / name).mkdir(parents=True)
    record = runs.link(runs.start(CONFIG), published)
    again = runs.link(record, published)
    assert again.model == str(published / "model")
    folder = runs.folder(record.id)
    assert (folder / "dataset").resolve() == (published / "dataset").resolve()
    assert json.loads((folder / "run.json").read_text())["dataset"] == again.dataset


def test_a_disk_without_links_gets_a_file_with_the_path(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError

    monkeypatch.setattr(Path, "symlink_to", refuse)
    (home / "published" / "model").mkdir(parents=True)
    record = runs.link(runs.start(CONFIG), home / "published")
    pointer = runs.folder(record.id) / "model"
    assert pointer.read_text().strip() == str(home / "published" / "model")
