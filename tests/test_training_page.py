"""docs/training.md and the command `train`: what they show works."""

from __future__ import annotations

import csv
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.config import parse
from pipeline.training import examples
from pipeline.training.presets import PRESETS

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", TEXT, flags=re.DOTALL)
SMALL = (
    "encoder.max_length=32", "train.epochs=2", "train.batch_pairs=8", "train.learning_rate=0.005",
)  # fmt: skip
ROW = r"^\| `([\w.-]+)` \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \| ([\d., ]+) \| (\w+) \|$"
WORDS = ("file", "socket", "list", "number", "folder", "size")


def write_pairs(path: Path) -> None:
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["sentence1", "sentence2", "score"])
        for i, a in enumerate(WORDS):
            for j, b in enumerate(WORDS):
                writer.writerow([f"Open the {a} and read", f"Sort every {b} by size", i * j % 6])


def angle_adapt(
    arguments: list[str], folder: Path, backbone: Path
) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "ANGLE_ADAPT_HOME": str(folder / "home")}
    changes = [f"--set={change}" for change in (f"encoder.backbone={backbone}", *SMALL)]
    return subprocess.run(
        [sys.executable, "-m", "flows.cli", *arguments, *changes],
        cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=200,
    )  # fmt: skip


def shown(start: str) -> list[str]:
    lines = [line for _, body in BLOCKS for line in body.splitlines() if line.startswith(start)]
    return shlex.split(lines[0])[1:]


def test_the_command_it_shows_trains_a_model_that_encodes(
    tiny_backbone: Path, tmp_path: Path
) -> None:
    write_pairs(tmp_path / "pairs.csv")
    write_pairs(tmp_path / "dev.csv")
    command = [*shown("angle-adapt train"), "--max-score=5"]
    ended = angle_adapt(command, tmp_path, tiny_backbone)
    assert ended.returncode == 0, ended.stderr
    assert re.search(r"^model +my-model$", ended.stdout, flags=re.MULTILINE)
    assert re.search(
        r"^dev +Spearman's rho -?\d\.\d{3} before, \d\.\d{3} after", ended.stdout, re.M
    )
    described = json.loads((tmp_path / "my-model" / "angle_adapt.json").read_text())
    assert described["train"]["epochs"] == 2
    again = angle_adapt(command, tmp_path, tiny_backbone)
    assert again.returncode == 3
    assert "my-model exists already" in again.stderr
    texts = tmp_path / "texts.txt"
    texts.write_text("Open the file\nSort a list\n")
    environment = os.environ | {"PYTHONPATH": str(ROOT), "ANGLE_ADAPT_HOME": str(tmp_path / "home")}
    encoded = subprocess.run(
        [sys.executable, "-m", "flows.cli", "encode", "my-model", "texts.txt", "-o", "v.npy"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "2 vectors of 32 dimensions" in encoded.stderr


@pytest.mark.parametrize(
    ("rows", "more", "told"),
    [
        ("sentence1,sentence2,score\na,b,7\n", (), "pairs.csv, line 2: the score '7'"),
        ("one,two\na,b\n", (), "its columns are one, two; use sentence1, sentence2 and score"),
        ("sentence1,sentence2,score\na,b,1\nc,d,1\n", ("--set=train.preset=papre",), "preset"),
        ("sentence1,sentence2,score\na,b,.5\nc,d,.5\n", (), "all scores are 0.5"),
        ("sentence1,sentence2,score\na,b,.5\n", (), "1 labelled pairs are too few"),
    ],
)
def test_what_cannot_be_trained_on_is_told_in_one_line(
    tiny_backbone: Path, tmp_path: Path, rows: str, more: tuple[str, ...], told: str
) -> None:
    (tmp_path / "pairs.csv").write_text(rows)
    ended = angle_adapt(["train", "pairs.csv", "-o", "out", *more], tmp_path, tiny_backbone)
    assert ended.returncode in (2, 3)
    assert told in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not list(tmp_path.glob("*out*"))


def test_the_settings_it_shows_are_valid() -> None:
    for language, body in BLOCKS:
        if language == "yaml":
            parse({"domain": "shown"} | yaml.safe_load(body))
    for name in set(re.findall(r"`((?:train|encoder)\.[a-z_]+)", TEXT)):
        section, setting = name.split(".")
        assert setting in type(getattr(parse({"domain": "shown"}), section)).model_fields, name


def test_the_presets_it_lists_are_those_of_the_code() -> None:
    rows = re.findall(ROW, TEXT, flags=re.MULTILINE)
    found = {
        name: (*map(float, weights), *map(float, temperatures.split(",")), form)
        for name, *weights, temperatures, form in rows
    }
    assert found == {name: tuple(preset) for name, preset in PRESETS.items()}


def test_the_columns_it_names_are_those_that_are_read() -> None:
    for name in (*examples.FIRST, *examples.SECOND, *examples.NEGATIVE, *examples.SCORE):
        assert f"`{name}`" in TEXT


@pytest.mark.parametrize("number", [0, 1])
def test_the_code_it_shows_runs(number: int) -> None:
    code = [body for language, body in BLOCKS if language == "python"][number]
    names: dict[str, Any] = {}
    exec(compile(code, "docs/training.md", "exec"), names)  # noqa: S102 - it is ours
    if number == 0:
        assert names["trainer"].history.steps >= 1
    else:
        assert 0 < float(names["loss"]) < float("inf")
