"""docs/doctor.md and the command `doctor MODEL`: what they show works."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from flows import doctor as machine
from flows.cli import app
from pipeline import runs
from pipeline.config import CHECKOUT, parse
from pipeline.diagnosis.examination import CHECKS
from pipeline.encoder import probe
from pipeline.export.formats import table
from pipeline.export.formats.writing import Request, export
from pipeline.settings import HOME_VARIABLE, Home
from tests.diagnosis.damage import WEIGHTS, Model

TEXT = (CHECKOUT / "docs" / "doctor.md").read_text(encoding="utf-8")
SHOWN = [shlex.split(line) for line in re.findall(r"^angle-adapt (.*)$", TEXT, re.MULTILINE)]
((CODE),) = re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL)


@pytest.fixture
def place(model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with my-model in it, which a run has made."""
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    shutil.move(model.folder, tmp_path / "my-model")
    record = runs.start(parse({"domain": "shown"}))
    runs.save(record, model=str(tmp_path / "my-model"), status="completed")
    return tmp_path


def doctor(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["doctor", *arguments])


def test_the_table_lists_every_check_in_order_and_the_exports() -> None:
    assert re.findall(r"^\| `([a-z ]+)` \|", TEXT, flags=re.MULTILINE) == [*CHECKS, "export"]


def test_the_commands_it_shows_find_nothing_wrong_with_a_sound_model(place: Path) -> None:
    latest, with_export = SHOWN
    found = doctor(*latest[1:])
    assert found.exit_code == 0, found.output
    assert [line[:16].strip() for line in found.output.splitlines()] == list(CHECKS)
    assert {line[16:29].strip() for line in found.output.splitlines()} == {"ok"}
    name = with_export[with_export.index("--export") + 1]
    export(place / "my-model", Request(format="peft"), place / name, Home(place / "home"))
    found = doctor(*with_export[1:])
    assert found.exit_code == 0, found.output
    told = json.loads(found.stdout)
    assert told["sound"] is True
    assert told["findings"][-1]["check"] == "export"
    assert told["findings"][-1]["figures"]["cosine"] > table.FORMATS["peft"].bounds["f32"]


def test_an_export_of_another_model_is_a_problem_and_so_is_none(
    place: Path, original: Model
) -> None:
    export(original.folder, Request(format="peft"), place / "other", Home(place / "home"))
    model = Model(place / "my-model", original.backbone)
    with model.adapter() as state:
        for value in state.values():
            value.mul_(-0.5)
    model.record()
    found = doctor("my-model", "--export", "other", "--export", "my-model", "--json")
    assert found.exit_code == 1
    *rest, one, other = json.loads(found.stdout)["findings"]
    assert {finding["state"] for finding in rest} == {"ok"}
    assert (one["state"], other["state"]) == ("problem", "problem")
    assert "other (peft, f32): cosine" in one["detail"]
    assert "export.json is missing" in other["detail"]


def test_a_problem_ends_with_code_1_and_says_what_to_do_below(place: Path) -> None:
    (place / "my-model" / WEIGHTS).unlink()
    found = doctor("my-model", "--export", "anything")
    assert found.exit_code == 1
    first, advice, *rest = found.output.splitlines()
    assert first.split() == ["files", "problem", WEIGHTS, "missing"]
    assert advice.strip().startswith("-> copy the folder again")
    assert all("not checked" in line for line in rest)
    assert rest[-1].startswith("export")


def test_the_code_it_shows_records_a_model_as_it_is(place: Path) -> None:
    wanted = probe.read(place / "my-model")
    (place / "my-model" / probe.PROBE_FILE).unlink()
    exec(compile(CODE, "docs/doctor.md", "exec"), {})  # noqa: S102 - it is ours
    found = probe.read(place / "my-model")
    assert wanted
    assert found
    assert found[0] == wanted[0]
    assert abs(found[1] - wanted[1]).max() < 1e-5


def test_a_model_that_is_nowhere_is_an_error_in_one_line(place: Path) -> None:  # noqa: ARG001
    found = doctor("nowhere/at-all")
    assert found.exit_code == 3
    assert "there is no model folder" in found.output
    without = doctor("--export", "x")
    assert without.exit_code == 2


def test_the_machine_can_be_had_as_json_too(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [machine.Finding("disk", "1 GiB free", "free 3 GiB"), machine.Finding("python", "3.11")]
    monkeypatch.setattr(machine, "examine", lambda: iter(rows))
    found = doctor("--json")
    assert found.exit_code == 1
    told = json.loads(found.stdout)
    assert [one["state"] for one in told["findings"]] == ["problem", "ok"]
    assert told["sound"] is False
