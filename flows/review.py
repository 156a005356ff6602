"""Pairs that annotators disagree about, out to people and back."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from pipeline import runs
from pipeline.annotation import human, review, reviewed
from pipeline.annotation.review import ReviewFiles
from pipeline.artifacts import Reference, Store
from pipeline.curation.disagreement import Disagreement
from pipeline.errors import InputError
from pipeline.runs import RunRecord
from pipeline.settings import home

LATEST: Final = "latest"


def export(run: str, out: Path, limit: int) -> tuple[ReviewFiles, int]:
    """Write the ``limit`` pairs that the annotators of a run disagree most about for people.

    Returns:
        Where the files are, and how many pairs they hold.

    Raises:
        InputError: when there is no such run, it was not curated, or nobody disagrees.
    """
    record = _record(run)
    store = Store(home())
    opinions = store.rows(_reference(record, "curate"), Disagreement, "disagreements")
    rows = review.gathered(row.model_dump() for row in opinions)[:limit]
    if not rows:
        message = (
            f"the annotators of run {record.id} disagree about no pair by more than "
            "curate.disagreement: lower it, or add another annotator"
        )
        raise InputError(message)
    return review.write_review(rows, out, title=f"{record.domain}, {record.id}"), len(rows)


def take_back(path: Path, run: str, reviewer: str) -> str:
    """Keep the grades in a file that came back, and return what became of its rows in words.

    Raises:
        InputError: when the file cannot be read, or no row of it can be used.
    """
    record = _record(run)
    asked = Store(home()).rows(_reference(record, "curate"), Disagreement, "disagreements")
    pairs = list(dict.fromkeys(row.pair_id for row in asked))
    found = reviewed.read_review(path, reviewed.Asked(pairs, reviewer=reviewer))
    if not found.answers:
        message = f"{path}: no grade of it can be used; {reviewed.describe(found)}"
        raise InputError(message)
    kept = human.keep(found.answers, home())
    counts = f"{kept.new} new grades, {kept.changed} changed, {kept.same} known before"
    return f"{counts}\n{reviewed.describe(found)}"


def _record(run: str) -> RunRecord:
    if run != LATEST:
        return runs.load(run)
    for record in runs.list_runs():
        if any(stage.stage == "curate" for stage in record.stages):
            return record
    message = "no run has labelled pairs yet; start with `angle-adapt run DOMAIN.yaml`"
    raise InputError(message)


def _reference(record: RunRecord, name: str) -> Reference:
    for stage in record.stages:
        if stage.stage == name:
            return Reference(kind=name, digest=stage.digest, uri="", rows=stage.rows)
    message = f"run {record.id} ({record.status}) did not reach the stage {name}"
    raise InputError(message)
