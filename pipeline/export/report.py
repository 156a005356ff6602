"""The report of a run: one HTML file that needs nothing else, and the same content as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pipeline.artifacts import Reference, Store
from pipeline.disk import write_atomically
from pipeline.export import plots
from pipeline.export.rendering import render
from pipeline.export.report_data import gather

if TYPE_CHECKING:
    from pipeline.runs import RunRecord

HTML: Final = "report.html"
JSON: Final = "report.json"
LEARNING: Final = "learning_curve.json"


def write(
    run: RunRecord,
    references: Mapping[str, Reference],
    store: Store,
    folder: Path,
    learning: Mapping[str, Any] | None = None,
) -> Path:
    """Write ``report.html`` and ``report.json`` into ``folder``; return the place of the first.

    ``references`` are the artefacts of the stages that the run reached, by stage; a report of a run
    that failed shows what there is. ``learning`` is the learning curve that ends at the run's
    model, else the one in ``folder`` is taken, if any.
    """
    data: dict[str, Any] = gather(run, references, store, learning or _learning(folder))
    write_atomically(folder / JSON, json.dumps(data, indent=2, ensure_ascii=False) + "\n")
    page = render("report.html.j2", plots=plots.draw(data), **data)
    write_atomically(folder / HTML, page)
    return folder / HTML


def _learning(folder: Path) -> dict[str, Any]:
    place = folder / LEARNING
    if not place.is_file():
        return {}
    found: dict[str, Any] = json.loads(place.read_text(encoding="utf-8"))
    return found
