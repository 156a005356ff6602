"""When a stage runs and when its earlier result is taken, against a real Prefect server."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline import runs
from pipeline.errors import InputError
from pipeline.runs import RunRecord

ALL = ["collect", "mine", "train", "evaluate"]

Adapt = Callable[..., Any]


def record(state: Any) -> RunRecord:
    return runs.load(state.result())


def artefact(state: Any, workplace: Any, stage: str) -> Path:
    digest = next(row.digest for row in record(state).stages if row.stage == stage)
    place: Path = workplace.home.store / "objects" / digest[:2] / digest
    return place


def test_a_second_run_executes_nothing_and_shows_every_stage_as_cached(
    adapt: Adapt, workplace: Any, seen: Any
) -> None:
    first = adapt()
    assert workplace.ran() == ALL
    assert seen.task_states(first) == dict.fromkeys(ALL, "Completed")
    second = adapt()
    assert workplace.ran() == []
    assert seen.task_states(second) == dict.fromkeys(ALL, "Cached")
    before, after = record(first).stages, record(second).stages
    assert [row.digest for row in before] == [row.digest for row in after]
    assert [row.seconds for row in before] == [row.seconds for row in after]
    assert all(row.cached for row in after)


def test_every_run_leaves_a_table_of_its_stages_and_the_verdict(adapt: Adapt, seen: Any) -> None:
    state = adapt("mine.pairs=12")
    left = seen.artifacts(state)
    assert "# tiny: ship" in left["angle-adapt-verdict"]
    table = left["angle-adapt-stages"].replace("'", '"')
    for wanted in ('"stage"', '"cached/ran"', '"digest"', '"rows": 12', '"seconds"'):
        assert wanted in table
    assert record(state).verdict == "ship"
    assert record(state).status == "completed"


def test_tasks_wait_for_the_stages_they_read_from(adapt: Adapt, seen: Any) -> None:
    found = seen.task_runs(adapt())
    names = {run.id: run.name for run in found}
    read = {run.name: {names[up.id] for up in run.task_inputs.get("wait_for", ())} for run in found}
    assert read == {
        "collect": set(), "mine": {"collect"}, "train": {"mine"}, "evaluate": {"collect", "train"}
    }  # fmt: skip


def damage(place: Path) -> None:
    path = place / "summary.json"
    path.write_text(path.read_text().replace("weight", "wieght"))


@pytest.mark.parametrize("harm", [shutil.rmtree, damage], ids=["deleted", "damaged"])
def test_data_lost_behind_a_cached_task_is_computed_again(
    adapt: Adapt, workplace: Any, seen: Any, harm: Callable[[Path], None]
) -> None:
    first = adapt()
    workplace.ran()
    harm(artefact(first, workplace, "train"))
    second = adapt()
    assert workplace.ran() == ["train"]
    assert artefact(second, workplace, "train").is_dir()
    states = seen.task_states(second)
    assert (states["train"], states["mine"], states["evaluate"]) == (
        "Completed",
        "Cached",
        "Cached",
    )


def test_changed_settings_or_text_run_their_stage_and_what_depends_on_it(
    adapt: Adapt, workplace: Any
) -> None:
    adapt()
    workplace.ran()
    adapt("train.epochs=5")
    assert workplace.ran() == ["train", "evaluate"]
    adapt("label.prompt=other.v1")  # no stage here reads it
    assert workplace.ran() == []
    workplace.text.write_text("Closes the file.\n")
    adapt("train.epochs=5")
    assert workplace.ran() == ALL


def test_another_installation_with_the_same_store_runs_nothing(
    adapt: Adapt, workplace: Any, seen: Any
) -> None:
    adapt(team="a")
    workplace.ran()
    other = adapt(team="b")
    assert workplace.ran() == []
    assert seen.task_states(other) == dict.fromkeys(ALL, "Cached")


def test_a_failing_stage_fails_the_run_with_its_own_error_and_the_next_run_continues(
    adapt: Adapt, workplace: Any, seen: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TINY_FAIL", "train")
    failed = adapt()
    with pytest.raises(InputError, match="told to fail"):
        failed.result()
    states = {"collect": "Completed", "mine": "Completed", "train": "Failed"}
    assert seen.task_states(failed) == states
    left = runs.list_runs()[0]
    assert (left.status, [row.stage for row in left.stages]) == ("failed", ["collect", "mine"])
    assert "told to fail" in left.error
    assert "told to fail" in Path(left.report).read_text(encoding="utf-8")
    assert "angle-adapt-stages" in seen.artifacts(failed)
    workplace.ran()
    monkeypatch.delenv("TINY_FAIL")
    adapt()
    assert workplace.ran() == ["train", "evaluate"]
