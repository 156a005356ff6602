"""docs/labelling.md: the domain it shows runs from text to verdict through real endpoints."""

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

from pipeline import prompts
from pipeline.config import parse
from tests.endpoint.fixtures import start

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "docs" / "labelling.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", TEXT, flags=re.DOTALL)
COMMANDS = [shlex.split(line)[1:] for language, body in BLOCKS if not language
            for line in body.splitlines()]  # fmt: skip
VERBS = ("Open", "Close", "Read", "Write", "Sort", "Return", "Remove", "Copy", "Count", "Rename")
THINGS = ("a file", "a socket", "the list of numbers", "bytes", "a folder", "the size of a file")
KEY = "sk-canary-55aa"


def write_texts(folder: Path) -> None:
    folder.mkdir()
    for index, (verb, thing) in enumerate((verb, thing) for verb in VERBS for thing in THINGS):
        (folder / f"{index:02}.md").write_text(
            f"{verb} {thing} with number {index}. An error is raised when {thing} is not there."
        )


def write_gold(path: Path) -> None:
    rows = ["sentence1,sentence2,score,split"]
    for index in range(90):
        shared = " ".join(f"word{index}-{n}" for n in range(index % 6))
        split = "dev" if index < 70 else "test"
        rows.append(f"Gold {index} {shared},Other {index} {shared},{index % 6},{split}")
    path.write_text("\n".join(rows) + "\n")


def shown_domain(urls: dict[str, str], backbone: Path) -> dict[str, Any]:
    """The page's domain with these endpoints, made small."""
    values = yaml.safe_load(next(body for language, body in BLOCKS if language == "yaml"))
    for name, url in urls.items():
        values["chat"][name]["base_url"] = url
    values["train"] |= {"epochs": 1, "batch_pairs": 8, "lora_depth": 0.5}
    values["evaluate"] |= {"retrieval_texts": 20, "retrieval_queries": 15, "resamples": 200}
    values["curate"]["disagreement"] = 0.05
    small = {"mine": {"pairs": 40, "texts": 60},
             "encoder": {"backbone": str(backbone), "max_length": 32}}  # fmt: skip
    return values | small


@pytest.fixture
def angle_adapt(tmp_path: Path) -> Any:
    def run(*arguments: str) -> str:
        environment = os.environ | {
            "PYTHONPATH": str(ROOT), "ANGLE_ADAPT_HOME": str(tmp_path / "home"),
            "OPENAI_API_KEY": KEY, "PREFECT_API_URL": "",
        }  # fmt: skip
        done = subprocess.run(
            [sys.executable, "-m", "flows.cli", *arguments], cwd=tmp_path, env=environment,
            capture_output=True, text=True, check=False, timeout=280,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert KEY not in done.stdout + done.stderr
        return done.stdout

    return run


def grade(table: Path, graded: Path) -> int:
    with table.open(encoding="utf-8-sig", newline="") as stream:
        rows = list(csv.DictReader(stream))
    for row in rows:
        row["score"] = "3"
    with graded.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, fieldnames=rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return len(rows)


def test_every_command_of_the_page_works_from_plan_to_review(
    tmp_path: Path, tiny_backbone: Path, angle_adapt: Any
) -> None:
    write_texts(tmp_path / "texts")
    write_gold(tmp_path / "gold.csv")
    with start({"key": KEY, "models": ["gpt-4o-mini"]}) as one, start() as other:
        domain = shown_domain({"judge": one.url, "second": other.url}, tiny_backbone)
        (tmp_path / "my-domain.yaml").write_text(yaml.safe_dump(domain))
        commands = {" ".join(command[:2]): command for command in COMMANDS}
        assert "judge (gpt-4o-mini): 220 questions" in angle_adapt(*commands["plan my-domain.yaml"])
        assert one.summary()["asked"] == 0
        outcome = angle_adapt(*commands["run my-domain.yaml"], "--ephemeral")
        assert re.match(r"verdict +(ship|inconclusive|regress)", outcome)
        assert (one.summary()["billed"], other.summary()["billed"]) == (220, 220)
        assert angle_adapt("run", "my-domain.yaml", "--ephemeral", "--set", "chat.judge.timeout=9")
        assert (one.summary()["asked"], other.summary()["asked"]) == (220, 220)
    assert "gpt-4o-mini" in angle_adapt("journal", "show")
    assert angle_adapt("journal", "show", "--uncertain").strip() == "no question is uncertain"
    assert "pairs to grade" in angle_adapt(*commands["review export"])
    graded = grade(tmp_path / "review" / "review.csv", tmp_path / "graded.csv")
    assert f"{graded} new grades" in angle_adapt(*commands["review import"])
    written = [path for path in (tmp_path / "home").rglob("*") if path.is_file()]
    assert not [path for path in written if KEY.encode() in path.read_bytes()]
    report = json.loads(next((tmp_path / "home").rglob("report.json")).read_text())
    assert "judge" in json.dumps(report)


def test_the_domain_it_shows_is_valid_and_its_commands_exist() -> None:
    for language, body in BLOCKS:
        if language == "yaml":
            parse({"domain": "shown"} | yaml.safe_load(body))
    assert {command[0] for command in COMMANDS} == {"plan", "run", "journal", "review"}


def test_every_prompt_for_chat_models_is_listed() -> None:
    names = {path.stem for path in prompts.FOLDER.glob("*.txt")}
    chat = {name for name in names if prompts.load(name).output != "text"}
    assert set(re.findall(r"`([\w-]+\.v\d+)`", TEXT)) == chat
