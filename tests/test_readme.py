"""The README: what it shows works, and what it names is there."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", TEXT, flags=re.DOTALL)
COMMANDS = sorted(set(re.findall(r"`angle-adapt ([\w-]+)", TEXT)))


def angle_adapt(arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "ANGLE_ADAPT_HOME": str(folder / "home")}
    return subprocess.run(
        [sys.executable, "-m", "flows.cli", *arguments],
        cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_there(command: str, tmp_path: Path) -> None:
    shown = angle_adapt([command, "--help"], tmp_path)
    assert shown.returncode == 0, shown.stderr
    assert f"angle-adapt {command}" in shown.stdout


def test_every_command_of_the_program_is_in_the_readme(tmp_path: Path) -> None:
    listed = angle_adapt(["--help"], tmp_path).stdout
    for command in COMMANDS:
        assert command in listed
    assert len(COMMANDS) >= 7


def test_the_domain_file_it_shows_can_be_planned(tmp_path: Path) -> None:
    (shown,) = [body for language, body in BLOCKS if language == "yaml"]
    (tmp_path / "my-domain.yaml").write_text(shown)
    (tmp_path / "texts").mkdir()
    for index in range(30):
        text = f"Text number {index} says what thing {index * 7} does when it is opened."
        (tmp_path / "texts" / f"{index}.md").write_text(text)
    lines = [line for _, body in BLOCKS for line in body.splitlines() if "my-domain.yaml" in line]
    (plan,) = [line for line in lines if line.startswith("angle-adapt plan")]
    found = angle_adapt(shlex.split(plan, comments=True)[1:], tmp_path)
    assert found.returncode == 0, found.stderr
    (run,) = [line for line in lines if line.startswith("angle-adapt run")]
    *_, override = shlex.split(run, comments=True)
    bad = angle_adapt(["plan", "my-domain.yaml", "--set", override + "0000x"], tmp_path)
    assert bad.returncode == 2
    assert "train.epochs" in bad.stderr


def test_every_path_it_names_exists() -> None:
    for path in re.findall(r"`((?:pipeline|flows|prompts|data|docs|tests)/[\w./-]*)`", TEXT):
        assert "NAME" in path or (ROOT / path).exists(), path
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", TEXT):
        assert (ROOT / target).exists(), target


def test_the_make_targets_it_shows_are_there() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"\bmake (\w+)", TEXT):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target


def test_the_prefect_commands_it_shows_are_those_that_the_deployments_document() -> None:
    deployments = (ROOT / "prefect.yaml").read_text()
    for line in re.findall(r"^prefect .*$", TEXT, flags=re.MULTILINE):
        assert f"#   {line}" in deployments, line
    assert yaml.safe_load(deployments)["deployments"]


def test_its_figures_are_those_of_the_stored_benchmark() -> None:
    stored = json.loads((ROOT / "benchmarks/results/spine_default_run.json").read_text())
    value = {figure["name"]: figure["value"] for figure in stored["figures"]}
    rho = {name: value[f"Spearman's ρ, {name}"] for name in ("base", "adapted", "low", "high")}
    gained = value["Spearman's ρ, difference"]
    assert (
        f"| {rho['base']:.3f} | {rho['adapted']:.3f} | "
        f"+{gained:.3f} (+{rho['low']:.3f} to +{rho['high']:.3f}) |"
    ) in TEXT
    found = [value[f"nDCG@10, {name}"] for name in ("base", "adapted", "difference")]
    assert "| {:.3f} | {:.3f} | +{:.3f} ".format(*found) in TEXT
    assert f"{value['default run, end to end']:.0f} s and" in TEXT
    assert f"{value['unchanged second run']:.0f} s for the second" in TEXT
