"""The command line as a user meets it: its own process, its output, its exit code."""

from __future__ import annotations

import json
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest

from pipeline import __version__

COMMANDS = (
    "run", "plan", "encode", "similarity", "runs", "doctor", "ui", "review export", "review import",
    "journal show", "journal salvage", "gold",
)  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_with_an_example(workplace: Any, command: str) -> None:
    shown = workplace.command(*command.split(), "--help")
    assert shown.code == 0
    assert f"angle-adapt {command}" in shown.out.split("Example")[1]


def test_the_version_is_shown(workplace: Any) -> None:
    assert workplace.command("--version").out == f"angle-adapt {__version__}\n"


BAD_DOMAINS = {
    "unknown setting": ("domain: x\ntrain: {epoch: 1}\n", 2, "did you mean 'train.epochs'?"),
    "malformed": ("domain: [x\n", 2, "line 2"),
    "not a mapping": ("- domain\n", 2, "starts with 'domain: NAME'"),
    "no such text": ("domain: x\ncollect: {source: files, path: nowhere.txt}\n", 3, "nowhere.txt"),
    "unknown source": ("domain: x\ncollect: {source: radio}\n", 2, "there is no 'radio'"),
}


@pytest.mark.parametrize("case", BAD_DOMAINS)
@pytest.mark.parametrize("command", ["run", "plan"])
def test_a_bad_domain_file_is_one_line_and_starts_nothing(
    workplace: Any, command: str, case: str
) -> None:
    text, code, said = BAD_DOMAINS[case]
    workplace.domain.write_text(text)
    ran = workplace.command(command, str(workplace.domain), PREFECT_API_URL="")
    assert ran.code == code
    assert ran.err.startswith("error: ")
    assert said in ran.err
    assert ran.err.count("\n") == 1
    assert not workplace.home.prefect.exists()


def test_a_missing_domain_file_is_named(workplace: Any) -> None:
    ran = workplace.command("run", "no-such.yaml")
    assert (ran.code, ran.err.count("\n")) == (3, 1)
    assert "no-such.yaml" in ran.err


def test_debug_shows_the_traceback(workplace: Any) -> None:
    ran = workplace.command("run", "no-such.yaml", "--debug")
    assert ran.code != 0
    assert "Traceback" in ran.err
    assert "InputError" in ran.err


def test_an_override_of_an_unknown_setting_names_the_nearest(workplace: Any) -> None:
    ran = workplace.command("run", str(workplace.domain), "--set", "mine.pair=12")
    assert ran.code == 2
    assert "did you mean 'mine.pairs'?" in ran.err


def test_a_prefect_server_that_does_not_answer_is_named(workplace: Any) -> None:
    nowhere = "http://127.0.0.1:9/api"
    ran = workplace.command("run", str(workplace.domain), PREFECT_API_URL=nowhere)
    assert ran.code == 6
    assert nowhere in ran.err
    assert ran.err.count("\n") == 1


@pytest.mark.usefixtures("api")
def test_a_run_shows_its_stages_and_its_outcome(workplace: Any, api: str) -> None:
    first = workplace.command("run", str(workplace.domain), "--set", "mine.pairs=12")
    assert first.code == 0, first.err
    lines = [line.split() for line in first.err.splitlines()]
    assert ["mine", "ran", "12", "rows"] in [line[:4] for line in lines]
    assert "0.500 base, 0.600 adapted, difference +0.100" in first.out
    assert "verdict   ship" in first.out
    assert api.removesuffix("/api") in first.out
    listed = workplace.command("runs")
    assert "completed" in listed.out
    assert "4 ran, 0 cached" in listed.out
    assert len(json.loads(workplace.command("runs", "--json").out)) == 1


@pytest.mark.usefixtures("api")
def test_a_stage_that_fails_is_one_line_without_a_traceback(workplace: Any) -> None:
    ran = workplace.command("run", str(workplace.domain), TINY_FAIL="mine")
    assert ran.code == 3
    assert ran.err.splitlines()[-1] == "error: mine was told to fail: see TINY_FAIL"
    assert "Traceback" not in ran.err + ran.out
    assert ran.out == ""


def test_the_history_of_a_run_is_whole_when_its_process_has_ended(
    workplace: Any, seen: Any
) -> None:
    assert workplace.command("run", str(workplace.domain)).code == 0
    name = json.loads(workplace.command("runs", "--json").out)[0]["id"]
    deadline = time.monotonic() + 10  # the server works off its own queue
    flow_run, states = seen.named(name)
    while states != ["Completed"] * 4 and time.monotonic() < deadline:
        time.sleep(0.2)
        flow_run, states = seen.named(name)
    assert states == ["Completed"] * 4
    assert flow_run.state.name == "Completed"


def test_an_ephemeral_run_keeps_its_history_too(workplace: Any, migrated: Path) -> None:
    ran = workplace.command("run", str(workplace.domain), "--ephemeral")
    assert ran.code == 0, ran.err
    assert "pages" not in ran.out
    with sqlite3.connect(migrated / "prefect.db") as database:
        rows = database.execute("select name, state_name from task_run").fetchall()
    database.close()
    assert sorted(rows) == [
        (name, "Completed") for name in ("collect", "evaluate", "mine", "train")
    ]


def test_encode_reports_a_wrong_output_and_an_unknown_model(workplace: Any, tmp_path: Path) -> None:
    texts = tmp_path / "texts.txt"
    texts.write_text("one\ntwo\n")
    wrong = workplace.command("encode", "latest", str(texts), "-o", "vectors.txt")
    assert (wrong.code, wrong.err.count("\n")) == (3, 1)
    assert ".npy or .parquet" in wrong.err
    missing = workplace.command("encode", "latest", str(texts), "-o", str(tmp_path / "v.npy"))
    assert missing.code == 3
    assert "no run has made a model yet" in missing.err
    assert not list(tmp_path.glob("*.npy*"))


def test_the_doctor_has_a_line_for_everything_a_run_needs(workplace: Any) -> None:
    found = workplace.command("doctor")
    names = {line.split("  ")[0].strip() for line in found.out.splitlines()}
    assert {"python", "disk", "prefect server", "backbone", "device"} <= names
    states = {line[16:].split()[0] for line in found.out.splitlines()}
    assert states <= {"ok", "problem"}
    assert found.code == ("problem" in states)
