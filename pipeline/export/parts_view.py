"""What a report says of parts of what was measured: by length, by source, by mining strategy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from pipeline.export.rendering import percent, words

RHO: Final = "ρ"
THIRDS: Final = (
    "Thirds of the gold pairs. ρ within a part is lower than over all, since its pairs differ less."
)
SOURCES: Final = (
    "Queries of {name} by where they come from. A part has fewer queries than the whole, and a "
    "wider interval."
)
STRATEGIES: Final = (
    "Not gold, and not in the verdict. These labels are the annotators', and the adapted model was "
    "trained on pairs like these: the change says how far it could follow a strategy's labels. "
    "Where ρ did not rise, they may be hard to learn or wrong."
)

Row = Mapping[str, Any]


def parts(evaluation: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return a table for each thing that what was measured is parted by, with names and changes.

    ``rows`` of a table are parts with enough items, ``few`` counts the parts with fewer and the
    items in them.
    """
    found = [_thirds(by, rows) for by, rows in evaluation.get("slices", {}).items()]
    labels = evaluation.get("labels", {})
    for one in evaluation.get("sets", ()):
        if one["kind"] == "retrieval" and one["groups"]:
            measure = labels.get(one["measure"], one["measure"])
            says = SOURCES.format(name=one["name"])
            found.append(_groups(("source", "queries", measure, says), one["groups"]))
    strategies = evaluation.get("strategies")
    if strategies:
        about = ("mining strategy", "pairs", f"{RHO} with labels", STRATEGIES)
        named = {words(name): row for name, row in strategies.items()}
        found.append(_groups(about, named))
    return found


def _thirds(by: str, rows: Sequence[Row]) -> dict[str, Any]:
    share = by.startswith("share")
    shown = [_row(row, _range(row, share=share), row["pairs"]) for row in rows]
    return _table((by, "pairs", RHO, THIRDS), shown, ())


def _groups(about: tuple[str, str, str, str], groups: Mapping[str, Row]) -> dict[str, Any]:
    """Return the table of groups, those that gained least first."""
    named = [_row(row, name, row["items"]) for name, row in groups.items()]
    scored = [row for row in named if row["difference"] is not None]
    few = [row for row in named if row["difference"] is None]
    return _table(about, sorted(scored, key=lambda row: row["difference"]), few)


def _table(
    about: tuple[str, str, str, str], rows: Iterable[Row], few: Sequence[Row]
) -> dict[str, Any]:
    by, unit, measure, says = about
    return {"by": by, "unit": unit, "measure": measure, "about": says, "rows": list(rows),
            "few": {"parts": len(few), "items": sum(row["items"] for row in few)}}  # fmt: skip


def _row(row: Row, label: str, items: float) -> dict[str, Any]:
    base, adapted = row.get("base"), row.get("adapted")
    difference = None if base is None or adapted is None else adapted - base
    return {"label": label, "items": int(items), "base": base, "adapted": adapted,
            "difference": difference, "low": row.get("low"), "high": row.get("high")}  # fmt: skip


def _range(row: Row, *, share: bool) -> str:
    ends = [percent(row[end], 0) if share else f"{row[end]:g}" for end in ("from", "to")]
    return ends[0] if ends[0] == ends[1] else f"{ends[0]} to {ends[1]}"
