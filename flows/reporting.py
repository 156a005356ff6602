"""Writing the report of a run: when it has ended, and anew when more is known of its model."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pipeline import runs
from pipeline.artifacts import Reference, Store
from pipeline.disk import write_atomically
from pipeline.runs import RunRecord
from pipeline.settings import home

log = logging.getLogger(__name__)

CURVES: Final = "trials/curves"  # learning curves by the digest of the model that they end at
CURVE: Final = "learning_curve.json"  # in the folder of a run


def write(record: RunRecord, references: Mapping[str, Reference], store: Store) -> RunRecord:
    """Write the report of a run, or of what a failed one reached."""
    from pipeline.export import report  # noqa: PLC0415 - draws plots, which loads much

    trained = references.get("train")
    curve = curve_of(trained.digest) if trained else None
    place = report.write(record, dict(references), store, runs.folder(record.id), curve)
    return runs.save(record, report=str(place))


def reached(record: RunRecord, store: Store) -> dict[str, Reference]:
    """Return what the stages of a run left, by stage, where it is still in the store."""
    found = {row.stage: store.lookup(row.key) for row in record.stages}
    return {name: entry.reference for name, entry in found.items() if entry}


def add_curve(model: str, text: str) -> list[Path]:
    """Keep the learning curve that ends at the model with this digest; return what tells of it.

    The curve is written beside every run of that model, and the report of the run anew: unless
    something that the run left is gone from the store, for then the report there is says more.
    """
    write_atomically(_curve_at(model), text)
    store, told = Store(home()), []
    for record in runs.list_runs():
        if not any(row.stage == "train" and row.digest == model for row in record.stages):
            continue
        write_atomically(runs.folder(record.id) / CURVE, text)
        references = reached(record, store)
        gone = [row.stage for row in record.stages if row.stage not in references]
        if not record.report:
            continue
        if gone:
            left = f"{', '.join(gone)} of run {record.id} left the store"
            log.warning("%s: its report stays as it is, without the learning curve", left)
        else:
            told.append(Path(write(record, references, store).report))
    return told


def curve_of(model: str) -> dict[str, Any] | None:
    """Return the learning curve that ends at the model with this digest; None if there is none."""
    place = _curve_at(model)
    if not place.is_file():
        return None
    found: dict[str, Any] = json.loads(place.read_text(encoding="utf-8"))
    return found


def _curve_at(model: str) -> Path:
    return home().root / CURVES / f"{model}.json"
