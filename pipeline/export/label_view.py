"""What a report says of labels: where they come from, what they are worth, what they cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from pipeline.records import digest_of

FIFTHS: Final = 5
EXAMPLES: Final = 2
COSTS: Final = (
    "asked", "reused", "prompt_tokens", "completion_tokens", "tried_again", "usd", "seconds",
)  # fmt: skip

Summaries = Mapping[str, dict[str, Any]]


def labels(summaries: Summaries) -> dict[str, Any]:
    """Return what curate found, the combination of the annotators after the annotators."""
    curate = summaries.get("curate", {})
    empty: dict[str, Any] = {
        "histogram": [], "agreement": {}, "between": [], "by_strategy": {}, "combine": "blend",
        "krippendorff": {}, "calibration": {}, "disagreements": {},
    }  # fmt: skip
    found = {name: curate.get(name, default) for name, default in empty.items()}
    combined = found["combine"]
    found["agreement"] = {
        name: row | _errors(name, found["calibration"], combined=name == combined)
        for name, row in sorted(
            found["agreement"].items(), key=lambda item: (item[0] == combined, item[0])
        )
    }
    label = summaries.get("label", {})
    return found | {name: label.get(name, {}) for name in ("annotators", "generated")}


def _errors(name: str, calibration: Mapping[str, Any], *, combined: bool) -> dict[str, Any]:
    """Return the mean absolute error on gold pairs before and after calibration, where known."""
    both = calibration.get("annotators", {}).get(name, {})
    after = calibration.get("labels", {}) if combined else both.get("after", {})
    before = {} if combined else both.get("before", {})
    return {"mae_before": before.get("mae"), "mae_after": after.get("mae")}


def examples(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return labelled pairs from each fifth of the range, highest first; chosen by their ids."""
    fifths: list[list[dict[str, Any]]] = [[] for _ in range(FIFTHS)]
    for row in sorted(rows, key=lambda row: digest_of(row["id"])):
        fifth = fifths[min(int(row["score"] * FIFTHS), FIFTHS - 1)]
        if len(fifth) < EXAMPLES:
            fifth.append(row)
    chosen = [row for fifth in fifths for row in fifth]
    kept = ("sentence1", "sentence2", "score", "strategy", "name1", "name2")
    ordered = sorted(chosen, key=lambda row: -row["score"])
    return [{name: row.get(name, "") for name in kept} for row in ordered]


def cost(summaries: Summaries) -> dict[str, Any]:
    """Return what each annotator was asked and what that took, and the sum of the dollars.

    The sum is None where nobody knows the price of something that was asked for; embedded
    annotators cost time alone.
    """
    label = summaries.get("label", {})
    rows = [{"name": name, **_taken(row)} for name, row in label.get("annotators", {}).items()]
    if label.get("generated"):
        rows.append({"name": "writing variants", **_taken(label["generated"])})
    billed = [row for row in rows if row["prompt_tokens"] is not None]
    prices = [row["usd"] for row in billed]
    known = [price for price in prices if price is not None]
    return {"rows": rows, "billed": bool(billed),
            "usd": sum(known) if len(known) == len(prices) else None}  # fmt: skip


def _taken(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: row.get(name) for name in COSTS}
