"""The commands around labels: pairs out to people and back, and the journal for people."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from flows import ledger, review
from pipeline import runs
from pipeline.annotation import human
from pipeline.artifacts import Store
from pipeline.config import parse
from pipeline.curation.disagreement import Disagreement
from pipeline.errors import InputError
from pipeline.journal import database
from pipeline.journal.entries import Asking, Bill, Budget, Cost, Question
from pipeline.journal.requests import RequestJournal
from pipeline.records import pair_id
from pipeline.runs import StageRecord
from pipeline.settings import home

TEXTS = [("Open a file.", "Close the file."), ("Sort a list.", "Read a list.")]


@pytest.fixture
def run_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A run whose annotators disagree about two pairs."""
    monkeypatch.setenv("ANGLE_ADAPT_HOME", str(tmp_path / "home"))
    rows = [
        Disagreement(
            pair_id=pair_id(first, second), sentence1=first, sentence2=second,
            annotator=name, score=score, spread=0.8,
        )
        for first, second in TEXTS
        for name, score in (("a", 0.1), ("b", 0.9))
    ]  # fmt: skip
    with Store(home()).create("dataset") as draft:
        draft.write_rows(rows, Disagreement, "disagreements")
    record = runs.start(parse({"domain": "tiny"}))
    stage = StageRecord(
        stage="curate", cached=False, digest=draft.reference.digest, rows=0, seconds=0, key="k"
    )
    return runs.finish(runs.add(record, stage), "completed").id


def test_pairs_go_out_are_graded_and_come_back(run_id: str, tmp_path: Path) -> None:
    files, pairs = review.export(run_id, tmp_path / "review", limit=10)
    assert pairs == 2
    assert files.page.read_text().startswith("<!")
    rows = [json.loads(line) for line in files.lines.read_text().splitlines()]
    graded = tmp_path / "graded.jsonl"
    graded.write_text("".join(json.dumps({**row, "score": 4}) + "\n" for row in rows[:1]))
    said = review.take_back(graded, "latest", "ada")
    assert said.startswith("1 new grades, 0 changed, 0 known before")
    assert "1 pairs not in the file" in said
    assert human.grades(home()) == {"ada": {rows[0]["pair_id"].lstrip("#"): pytest.approx(0.8)}}


def test_only_as_many_pairs_go_out_as_were_asked_for(run_id: str, tmp_path: Path) -> None:
    assert review.export(run_id, tmp_path / "review", limit=1)[1] == 1


def test_a_file_without_a_usable_grade_is_an_error_that_names_it(
    run_id: str, tmp_path: Path
) -> None:
    files, _ = review.export(run_id, tmp_path / "review", limit=10)
    with pytest.raises(InputError, match=r"review\.csv: no grade of it can be used"):
        review.take_back(files.table, run_id, "ada")
    assert human.grades(home()) == {}


def test_a_run_that_was_not_curated_has_nothing_to_review(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANGLE_ADAPT_HOME", str(tmp_path / "home"))
    with pytest.raises(InputError, match="no run has labelled pairs yet"):
        review.export("latest", tmp_path / "review", limit=10)
    record = runs.finish(runs.start(parse({"domain": "tiny"})), "failed")
    with pytest.raises(InputError, match="did not reach the stage curate"):
        review.export(record.id, tmp_path / "review", limit=10)


@pytest.fixture
def journal_file(tmp_path: Path) -> Path:
    """A journal with an answered question, and one that may have been billed."""
    path = tmp_path / "requests.sqlite"
    opened = database.connect(str(path))
    requests = RequestJournal(opened)
    asking = Asking("runner", "job", Budget(), resend=False)
    with opened.transaction():
        requests.prepare()
        requests.enrol("runner")
        requests.plan([Question(key, "judge", f"pair {key}") for key in ("k1", "k2")])
        for key in ("k1", "k2"):
            requests.claim(asking, key, Cost(2_000_000, 100))
        requests.receive("k1", 1, b"{}")
        requests.judge("k1", 1, "accepted", "", Bill(Cost(1_500_000, 60), 50, 10))
        requests.doubt("k2", 1, "timed_out")
    opened.close()
    return path


def test_the_journal_is_shown_by_annotator_and_state_with_its_cost(journal_file: Path) -> None:
    shown = [line.split() for line in ledger.summary(str(journal_file)).splitlines()]
    assert shown[1:] == [
        ["judge", "accepted", "1", "60", "$0.0015"],
        ["judge", "uncertain", "1", "100", "$0.0020"],
    ]


def test_what_is_uncertain_is_listed_with_its_reason(journal_file: Path) -> None:
    shown = ledger.uncertain(str(journal_file)).splitlines()
    assert shown[1].split() == ["k2", "pair", "k2", "timed_out", "$0.0020"]
    assert len(shown) == 2


def test_without_a_journal_the_commands_say_so(workplace: Any) -> None:
    ran = workplace.command("journal", "show")
    assert (ran.code, ran.err.count("\n")) == (3, 1)
    assert "no chat model was asked yet" in ran.err
