"""The command that measures a model: sets by path, bases, and what the document shows."""

from __future__ import annotations

import csv
import json
import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from flows.cli import app
from pipeline import runs
from pipeline.config import CHECKOUT
from pipeline.runs import RunRecord
from pipeline.settings import HOME_VARIABLE
from tests.export import small_models

DOC = (CHECKOUT / "docs" / "evaluation.md").read_text(encoding="utf-8")
SHOWN = re.findall(r"^angle-adapt (evaluate .*)$", DOC, re.MULTILINE)
ROWS = [(f"Open the file number {n}.", f"Close door {n} or the file.", n % 6) for n in range(40)]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, tiny_backbone: Path) -> Path:
    return small_models.model(tmp_path_factory.mktemp("model") / "my-model", tiny_backbone)


@pytest.fixture
def place(
    tmp_path: Path, model: Path, tiny_backbone: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A folder with sets and models in it, and a run that made one of them."""
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    for name, scale in (("pairs.csv", 5), ("five.csv", 1)):
        with (tmp_path / name).open("w", newline="") as stream:
            writer = csv.writer(stream)
            writer.writerow(["sentence1", "sentence2", "score", "split"])
            writer.writerows([a, b, score / scale, "test"] for a, b, score in ROWS)
    (tmp_path / "my-model").symlink_to(model)
    (tmp_path / "the-model-we-run-now").symlink_to(tiny_backbone)
    config = {"domain": "tiny", "evaluate": {"gold": str(tmp_path / "five.csv"), "resamples": 200}}
    record = RunRecord(id="tiny-1", domain="tiny", started="2026", status="completed",
                       config=config)  # fmt: skip
    runs.save(record, model=str(model))
    return tmp_path


def evaluated(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["evaluate", *arguments])


def test_a_run_is_measured_with_the_sets_of_its_domain_and_with_mine(place: Path) -> None:
    found = evaluated("latest", "--on", "mine=pairs.csv", "-o", "out.json")
    assert found.exit_code in (0, 1), found.output
    summary = json.loads((place / "out.json").read_text(encoding="utf-8"))

    assert [(row["name"], row["role"], row["items"]) for row in summary["sets"]] == [
        ("gold", "domain", 40), ("mine", "domain", 40), ("general", "general", 324),
    ]  # fmt: skip
    gold, mine = (row["found"] for row in summary["sets"][:2])
    assert gold == {**mine, "p_holm": gold["p_holm"]}  # the same pairs on two scales
    assert gold["base"] != gold["adapted"]
    assert re.search(r"^gold \(40 pairs\) +Spearman's ρ +-?0\.\d{4} +-?0\.\d{4} ", found.output,
                     re.MULTILINE)  # fmt: skip
    assert f"verdict    {summary['verdict']}" in found.output
    assert (found.exit_code == 1) == (summary["verdict"] == "regress")


def test_a_whole_model_alone_has_figures_and_no_verdict(place: Path) -> None:
    found = evaluated(str(place / "the-model-we-run-now"), "--on", "pairs.csv", "--max-score", "5")

    assert found.exit_code == 0, found.output
    assert re.search(r"^pairs \(40 pairs\) +Spearman's ρ +-?0\.\d{4}$", found.output, re.MULTILINE)
    assert re.search(r"^ +by letters \(TF-IDF\) +-?0\.\d{4}$", found.output, re.MULTILINE)
    assert "verdict" not in found.output


def test_the_same_model_as_base_differs_by_nothing(place: Path) -> None:
    found = evaluated("my-model", "--base", "my-model", "--against", "the-model-we-run-now",
                      "--on", "five.csv", "--max-score", "5", "-o", "out.json")  # fmt: skip
    assert found.exit_code == 0, found.output
    summary = json.loads((place / "out.json").read_text(encoding="utf-8"))

    assert summary["verdict"] == "inconclusive"
    assert summary["sets"][0]["found"]["difference"] == 0
    assert summary["sets"][0]["others"]["the-model-we-run-now"]["difference"] != 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["my-model"], "nothing to measure with: name a set with --on"),
        (["my-model", "--on", "no.csv"], "no.csv is no folder and no file of"),
        (["my-model", "--on", "pairs.csv"], r"row 3: the score 2.0 is not in 0 to 1 (max_score)"),
        (["no-model", "--on", "five.csv"], "no-model"),
        (["my-model", "--on", "pairs.csv", "--split", "dev"], "hold nothing"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(place: Path, arguments: list[str], said: str) -> None:
    assert place
    (place / "pairs.csv").write_text((place / "five.csv").read_text())
    found = evaluated(*arguments)

    assert found.exit_code == 3, found.output
    assert said in found.output
    assert "Traceback" not in found.output


@pytest.mark.parametrize("shown", SHOWN)
def test_the_document_shows_what_works(place: Path, shown: str) -> None:
    (place / "pairs.csv").write_text((place / "five.csv").read_text())
    _, *arguments = shlex.split(shown)
    found = evaluated(*arguments, *([] if "--max-score" in arguments else ["--max-score", "5"]))

    assert found.exit_code in (0, 1), found.output
    assert "verdict    " in found.output


def test_the_document_shows_commands() -> None:
    assert len(SHOWN) == 2
