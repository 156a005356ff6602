from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from pipeline.artifacts import Reference, Store
from pipeline.config import DomainConfig, parse
from pipeline.errors import InputError
from pipeline.graph import (
    EXTERNALS,
    ROUND,
    STAGES,
    Stage,
    key_of,
    materialise,
    only,
    stage_named,
    steps,
)

# For each section a change of a setting that names nothing outside the store.
CHANGES: dict[str, Any] = {
    "description": "Another description.",
    "collect": {"licence": "CC0-1.0"},
    "clean": {"min_words": 9},
    "mine": {"pairs": 99},
    "chat": {"judge": {"model": "m"}},
    "label": {"annotators": ["char_tfidf"]},
    "curate": {"weights": {"likelihood": 2.0}},
    "encoder": {"max_length": 32},
    "train": {"epochs": 9},
    "evaluate": {"resamples": 999},
    "leakage": {"near_duplicate": 0.5},
    "allow_leakage": True,
    "schedule": {"cron": "0 0 * * *"},
}
GOLD = "sentence1,sentence2,score,split\none,two,1,dev\n"


@pytest.fixture
def base(tmp_path: Path) -> dict[str, Any]:
    """A domain whose outside things are small files that a test may change."""
    (tmp_path / "gold.csv").write_text(GOLD)
    (tmp_path / "corpus.txt").write_text("Some text.")
    (tmp_path / "sts.csv").write_text("text\nSome text.\n")
    (tmp_path / "backbone").mkdir()
    (tmp_path / "backbone" / "config.json").write_text("{}")
    return {
        "domain": "example",
        "collect": {"source": "files", "path": str(tmp_path / "corpus.txt")},
        "encoder": {"backbone": str(tmp_path / "backbone")},
        "evaluate": {"gold": str(tmp_path / "gold.csv")},
        "leakage": {"registered": [str(tmp_path / "sts.csv")]},
    }


def changed(base: Mapping[str, Any], section: str) -> DomainConfig:
    change = CHANGES[section]
    if isinstance(change, dict):
        change = {**base.get(section, {}), **change}
    return parse({**base, section: change})


def references() -> dict[str, Reference]:
    return {name: Reference(kind=name, digest=name, uri="", rows=1) for name in STAGES}


def test_every_section_of_the_configuration_has_a_change_to_try() -> None:
    assert {"domain", *CHANGES} == set(DomainConfig.model_fields)


def test_stages_read_only_from_stages_before_them() -> None:
    seen: set[str] = set()
    for name, stage in STAGES.items():
        assert {*stage.inputs, *stage.beside} <= seen
        assert {*stage.sections, *stage.rules} <= set(DomainConfig.model_fields)
        assert set(stage.externals) <= set(EXTERNALS)
        seen.add(name)


@pytest.mark.parametrize("section", sorted(CHANGES))
@pytest.mark.parametrize("name", sorted(STAGES))
def test_a_key_changes_exactly_with_the_sections_the_stage_declares(
    base: dict[str, Any], name: str, section: str
) -> None:
    stage = STAGES[name]
    before = key_of(stage, references(), parse(base))
    after = key_of(stage, references(), changed(base, section))
    assert (before != after) == (section in stage.sections)


@pytest.mark.parametrize("other", sorted(STAGES))
@pytest.mark.parametrize("name", sorted(STAGES))
def test_a_key_changes_exactly_with_the_inputs_the_stage_declares(
    base: dict[str, Any], name: str, other: str
) -> None:
    stage, inputs = STAGES[name], references()
    before = key_of(stage, inputs, parse(base))
    inputs[other] = inputs[other].model_copy(update={"digest": "new"})
    assert (before != key_of(stage, inputs, parse(base))) == (other in stage.inputs)


@pytest.mark.parametrize(
    ("external", "file"),
    [
        ("source", "corpus.txt"),
        ("gold", "gold.csv"),
        ("backbone", "backbone/config.json"),
        ("registered", "sts.csv"),
    ],
)
@pytest.mark.parametrize("name", sorted(STAGES))
def test_a_key_changes_exactly_with_the_outside_things_the_stage_declares(
    base: dict[str, Any], tmp_path: Path, name: str, external: str, file: str
) -> None:
    stage, config = STAGES[name], parse(base)
    before = key_of(stage, references(), config)
    with (tmp_path / file).open("a") as stream:
        stream.write("\n")
    assert (before != key_of(stage, references(), config)) == (external in stage.externals)


def test_the_encoder_is_in_the_key_of_clean_where_it_looks_at_meanings(
    base: dict[str, Any], tmp_path: Path
) -> None:
    stage = STAGES["clean"]
    meaning = parse({**base, "clean": {"semantic_duplicate": 0.9}})
    before = key_of(stage, references(), meaning)
    (tmp_path / "backbone" / "config.json").write_text('{"other": 1}')
    assert key_of(stage, references(), meaning) != before
    assert only(meaning, stage).encoder == meaning.encoder
    assert only(parse(base), stage).encoder != meaning.encoder


@pytest.mark.parametrize("name", sorted(STAGES))
def test_a_new_version_of_a_stage_has_another_key(base: dict[str, Any], name: str) -> None:
    stage, config = STAGES[name], parse(base)
    newer = stage._replace(version=stage.version + 1)
    assert key_of(stage, references(), config) != key_of(newer, references(), config)


def test_an_outside_thing_that_is_missing_is_an_error_before_anything_runs(
    base: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "gold.csv").unlink()
    with pytest.raises(InputError, match=r"gold\.csv"):
        key_of(STAGES["clean"], references(), parse(base))


@pytest.mark.parametrize("name", sorted(STAGES))
def test_a_stage_sees_the_sections_it_declares_and_defaults_elsewhere(
    base: dict[str, Any], name: str
) -> None:
    everything = dict(base)
    for section in CHANGES:
        everything[section] = getattr(changed(base, section), section)
    full, default = parse(everything), parse({"domain": "example"})
    stage = STAGES[name]
    seen = only(full, stage)
    for section in CHANGES:
        if section == "evaluate" and "gold" in stage.externals and section not in stage.sections:
            assert seen.evaluate.gold == full.evaluate.gold
            assert seen.evaluate.resamples == default.evaluate.resamples
        else:
            expected = full if section in (*stage.sections, *stage.rules) else default
            assert getattr(seen, section) == getattr(expected, section), section


# rounds


def test_one_round_is_every_stage_once() -> None:
    for step in steps(1):
        assert step.stage == STAGES[step.name]
        assert set(step.inputs) == {*step.stage.inputs, *step.stage.beside}
        assert all(role == name for role, name in step.inputs.items())
    assert [step.name for step in steps(1)] == list(STAGES)


def test_two_rounds_are_a_round_before_the_one_whose_steps_have_the_names_of_stages() -> None:
    names = [step.name for step in steps(2)]
    first = [f"{name} 1" for name in ROUND]
    assert names == ["collect", "clean", *first, *ROUND, "publish"]


@pytest.mark.parametrize("rounds", [1, 2])
def test_steps_read_from_steps_before_them_all_that_their_stage_reads(rounds: int) -> None:
    seen: set[str] = set()
    for step in steps(rounds):
        assert set(step.inputs) == {*step.stage.inputs, *step.stage.beside}
        assert set(step.inputs.values()) <= seen
        assert stage_named(step.stage.name) == step.stage
        seen.add(step.name)


def test_a_first_round_reads_nothing_of_a_second_and_what_follows_only_the_second() -> None:
    for step in steps(2):
        rounds = {name.endswith(" 1") for name in step.inputs.values() if name.split()[0] in ROUND}
        again = step.stage.name == "mine_again"
        assert rounds <= {step.name.endswith(" 1") or again}


def test_the_number_of_rounds_changes_no_key_but_of_mining(base: dict[str, Any]) -> None:
    one, two = parse(base), parse({**base, "mine": {"rounds": 2}})
    for name, stage in STAGES.items():
        same = key_of(stage, references(), one) == key_of(stage, references(), two)
        assert same == (name != "mine")


# running a stage

COUNTING = """
import os, time
from pathlib import Path
from pipeline.records import Dropped

def run(inputs, config, store):
    with Path(os.environ["COUNT_FILE"]).open("a") as stream:
        stream.write("ran\\n")
    time.sleep(float(os.environ.get("COUNT_SECONDS", "0")))
    with store.create("counting") as draft:
        draft.write_rows([Dropped(record_id="1", stage="x", reason="y")], Dropped)
    return draft.reference
"""
STAGE = Stage("counting", 1, "counting_stage", ("clean",))
CALL = """
from pipeline.artifacts import Store
from pipeline.config import parse
from pipeline.graph import Stage, materialise
from pipeline.settings import home
stage = Stage("counting", 1, "counting_stage", ("clean",))
outcome = materialise(stage, {}, parse({"domain": "x"}), Store(home()))
print(outcome.entry.reference.digest)
"""


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stage that notes every time it runs; returns the file of notes."""
    (tmp_path / "counting_stage.py").write_text(COUNTING)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("COUNT_FILE", str(tmp_path / "runs"))
    monkeypatch.delitem(sys.modules, "counting_stage", raising=False)
    return tmp_path / "runs"


def test_a_stage_runs_once_and_is_found_again_until_its_settings_change(
    store: Store, runs: Path
) -> None:
    first = materialise(STAGE, {}, parse({"domain": "x"}), store)
    again = materialise(STAGE, {}, parse({"domain": "y"}), Store(store.home))
    other = materialise(STAGE, {}, parse({"domain": "x", "clean": {"seed": 1}}), store)
    assert [first.cached, again.cached, other.cached] == [False, True, False]
    assert again.entry == first.entry
    assert runs.read_text().count("ran") == 2


@pytest.mark.parametrize("damage", ["delete", "damage"])
def test_a_stage_whose_data_is_gone_or_damaged_runs_again(
    store: Store, runs: Path, damage: str
) -> None:
    first = materialise(STAGE, {}, parse({"domain": "x"}), store)
    path = store.path(first.entry.reference) / "rows.parquet"
    if damage == "delete":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-1] + b"x")
    second = materialise(STAGE, {}, parse({"domain": "x"}), store)
    assert not second.cached
    assert store.problem(second.entry.reference) == ""
    assert runs.read_text().count("ran") == 2


def test_a_stage_that_fails_is_not_remembered(store: Store, runs: Path) -> None:
    (runs.parent / "counting_stage.py").write_text("def run(*_):\n    raise OSError('broken')\n")
    with pytest.raises(OSError, match="broken"):
        materialise(STAGE, {}, parse({"domain": "x"}), store)
    assert not list(store.root.glob("index/*"))


def test_two_processes_that_need_the_same_result_compute_it_once(
    tmp_path: Path, runs: Path
) -> None:
    environment = {
        **os.environ,
        "ANGLE_ADAPT_HOME": str(tmp_path / "home"),
        "COUNT_SECONDS": "1",
        "PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]),
    }
    command = [sys.executable, "-c", CALL]
    started = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) for _ in range(2)]
    digests = [process.communicate(timeout=60)[0].strip() for process in started]
    assert [process.returncode for process in started] == [0, 0]
    assert len(set(digests)) == 1
    assert runs.read_text().count("ran") == 1
