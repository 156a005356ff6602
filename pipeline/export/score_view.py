"""What a report says of scores, saturation and the adapter's strength: figures and sentences."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np

from pipeline.export.rendering import number, percent

STEPS: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
MOST_ROWS: Final = 9
SAME_SHARE: Final = 0.02  # of pairs, and of scores, that are no shift worth a warning

Row = Mapping[str, Any]


def scores(changes: Mapping[str, Any], pairs: Sequence[Row]) -> dict[str, Any]:
    """Return the shift of scores with a small table old -> new, and the warning that goes first.

    ``pairs`` are those that the shift was measured on, with both cosines; where they are not kept
    shares come from the bins.
    """
    shift = changes.get("shift")
    if not shift:
        return {}
    shares = {name: _shares(shift, name, pairs) for name in ("base", "adapted")}
    rows = _rows(shift, shares["base"])
    digits = 2 if all(round(row["old"], 2) == row["old"] for row in rows) else 3
    return {**shift, "set": changes["set"], "warning": _warning(shift, shares), "rows": rows,
            "digits": digits, "unreachable": _unreachable(shift)}  # fmt: skip


Shares = Callable[[float], float]


def _shares(shift: Row, name: str, pairs: Sequence[Row]) -> Shares:
    """Return the function from a score to the share of pairs at or above it under one model."""
    if len(pairs) != shift["pairs"]:
        return functools.partial(above, shift["edges"], shift[name]["counts"])
    cosines = np.array([pair[name] for pair in pairs])
    return lambda score: float((cosines >= score).mean())


def new_score(table: Row, old: float) -> float:
    """Return what takes the place of a score of the base, from the quantile map."""
    return float(np.interp(old, table["old"], table["new"]))


def above(edges: Sequence[float], counts: Sequence[int], score: float) -> float:
    """Return the share of pairs at or above a score, linear within a bin, in [0, 1]."""
    total = np.concatenate([[0], np.cumsum(counts)])
    below = np.interp(score, edges, total / max(total[-1], 1))
    return float(1.0 - below)


def _rows(shift: Row, share: Shares) -> list[dict[str, float]]:
    """Return round scores of the base that pairs have, and what takes the place of each."""
    low, high = (shift["base"]["quantiles"][level] for level in ("0.01", "0.99"))
    step = next((step for step in STEPS if (high - low) / step <= MOST_ROWS - 1), STEPS[-1])
    found = [round(n * step, 6) for n in range(math.floor(low / step), math.ceil(high / step) + 1)]
    return [
        {
            "old": old,
            "new": new_score(shift["table"], old),
            "above": share(old),
        }
        for old in found
        if -1.0 <= old <= 1.0
    ]


def _unreachable(shift: Row) -> str:
    """Return what is to be said where neither model has a threshold that keeps the target."""
    found = shift["recommended"]
    if not found or any(row["reachable"] for row in found.values()):
        return ""
    best = [f"{number(found[name]['best_precision'], 2)} ({name})" for name in ("base", "adapted")
            if found[name]["best_precision"] is not None]  # fmt: skip
    reached = f": {' and '.join(best)} is the best with ten pairs above it" if best else ""
    return (
        f"No threshold keeps a precision of {shift['target_precision']:g} on these pairs{reached}. "
        "A score alone does not say that two texts mean the same: use scores to rank, or set "
        "evaluate.same_meaning and evaluate.target_precision to what you need."
    )


def _warning(shift: Row, share: Mapping[str, Shares]) -> str:
    """Return what a threshold of the base would do under the adapted model."""
    known = (shift["recommended"] or {}).get("base", {}).get("threshold")
    given = shift["present"]["base"]["threshold"] if shift["present"] else known
    old = shift["base"]["quantiles"]["0.75"] if given is None else given
    new = new_score(shift["table"], old)
    shares = [share[name](old) for name in ("base", "adapted")]
    if abs(shares[0] - shares[1]) < SAME_SHARE and abs(new - old) < SAME_SHARE:
        return (
            f"Scores hardly moved: {percent(shares[1])} of the pairs score at least "
            f"{number(old, 2)} under the adapted model, and {percent(shares[0])} did before. "
            "Check thresholds on your own data all the same."
        )
    return (
        f"Old thresholds do not carry over: {percent(shares[0])} of the pairs score at least "
        f"{number(old, 2)} under the base, and {percent(shares[1])} under the adapted model. "
        f"{number(new, 2)} takes the place of {number(old, 2)}."
    )


def saturation(changes: Mapping[str, Any], training: Mapping[str, Any]) -> dict[str, Any]:
    """Return both models' use of the sphere, each figure with what it means."""
    found = changes.get("saturation")
    if not found:
        return {}
    return {**found, "set": changes["set"], "rows": _measures(found), "told": _told(found),
            "pulled": pulled(training.get("gradient_norms") or ())}  # fmt: skip


def _told(found: Row) -> str:
    base, adapted = (found[name]["saturated"] for name in ("base", "adapted"))
    shares = f"{percent(base)} of the pairs are saturated under the base, {percent(adapted)} under"
    if max(base, adapted) < SAME_SHARE:
        end = "hardly any: both models tell near pairs from nearer ones"
    elif adapted < base - SAME_SHARE / 2:
        end = "adaptation brought pairs to where a cosine tells them apart"
    elif adapted > base + SAME_SHARE / 2:
        end = "adaptation pressed pairs together: cosines of near pairs say less than before"
    else:
        end = "adaptation did not change that"
    return f"{shares} the adapted model: {end}."


_MEASURES: Final = (
    ("saturated", "pairs in the zone", "Share whose cosine hardly changes with the angle; less is "
     "better."),
    ("saturated_positives", "pairs of the same meaning in it", "Where these lie there, the best "
     "matches cannot be ranked."),
    ("slope", "mean slope", "How much a cosine changes for a turn: 1 at a right angle, 0 where "
     "vectors coincide."),
    ("alignment", "alignment", "Mean squared distance of pairs of the same meaning: near 0 is "
     "good, if uniformity is too."),
    ("uniformity", "uniformity", "How evenly texts fill the sphere: 0 where all are in one place, "
     "about −4 when even."),
    ("anisotropy", "mean cosine of random texts", "Near 1, all texts point the same way and scores "
     "crowd together; near 0, they have room."),
)  # fmt: skip
SHARES: Final = ("saturated", "saturated_positives")


def _measures(found: Row) -> list[dict[str, Any]]:
    return [
        {"name": label, "share": name in SHARES, "base": found["base"][name],
         "adapted": found["adapted"][name], "says": says}
        for name, label, says in _MEASURES
        if found["adapted"][name] is not None
    ]  # fmt: skip


def pulled(norms: Sequence[Row]) -> str:
    """Return which term of the objective pulls how hard, first and last, in one sentence."""
    if not norms or not norms[0].get("angle") or not norms[0].get("cosine"):
        return ""
    first, last = (row["angle"] / max(row["cosine"], 1e-12) for row in (norms[0], norms[-1]))
    path = f"At step {norms[0]['step']} the angle term pulled {_times(first)} as hard as the cosine"
    if len(norms) > 1:
        path += f" term, at step {norms[-1]['step']} {_times(last)}"
    does = "the angle did most of the work, as where cosines are saturated"
    return f"{path}: {does if min(first, last) > 1 else 'the cosine did most of the work'}."


def _times(ratio: float) -> str:
    return f"{number(ratio, 2 if ratio < 10 else 0)} times"
