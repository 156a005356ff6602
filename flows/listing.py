"""The list of runs, for people and for programs."""

from __future__ import annotations

import json
from collections.abc import Sequence

from pipeline.runs import RunRecord


def as_json(records: Sequence[RunRecord]) -> str:
    """Return every record whole, as one JSON list."""
    return json.dumps([record.model_dump(mode="json") for record in records], indent=2)


def as_text(records: Sequence[RunRecord]) -> str:
    """Return one aligned line a run."""
    if not records:
        return "no runs yet; start with `angle-adapt run DOMAIN.yaml`"
    rows = [("RUN", "STARTED", "STATUS", "VERDICT", "STAGES"), *map(_row, records)]
    return aligned(rows)


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Return rows of cells as lines in which the columns stand below each other."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def _row(record: RunRecord) -> tuple[str, str, str, str, str]:
    ran = sum(not stage.cached for stage in record.stages)
    stages = f"{ran} ran, {len(record.stages) - ran} cached"
    started = record.started[:16].replace("T", " ")
    return record.id, started, record.status, record.verdict or "-", stages
