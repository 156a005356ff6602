"""How gold, base and adapted order the gold test pairs.

Base and adapted put their cosines on different scales, and ρ looks at ranks only. So everything is
shown as a *position*: the rank of a pair among all test pairs, from 0 (least similar) to 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

SHOWN: Final = 8
MOST: Final = 2_000  # pairs that are compared with each other
LEVELS: Final = 7  # more distinct gold scores than this are grouped into fifths
QUANTILES: Final = {"low": 0.05, "lower": 0.25, "middle": 0.5, "upper": 0.75, "high": 0.95}

Floats = NDArray[np.float64]
Row = Mapping[str, Any]


def view(pairs: Sequence[Row]) -> dict[str, Any]:
    """Return the levels of gold and where both systems place them, and what moved most."""
    if not pairs:
        return {"levels": [], "towards": [], "away": [], "right": {}}
    gold = np.array([pair["gold"] for pair in pairs], dtype=np.float64)
    positions = {name: position(np.array([pair[name] for pair in pairs], dtype=np.float64))
                 for name in ("gold", "base", "adapted")}  # fmt: skip
    error = {name: np.abs(positions[name] - positions["gold"]) for name in ("base", "adapted")}
    gain = error["base"] - error["adapted"]
    order = np.argsort(-gain, kind="stable")
    towards = [row for row in order[:SHOWN] if gain[row] > 0]
    away = [row for row in order[::-1][:SHOWN] if gain[row] < 0]
    return {
        "levels": _levels(gold, positions),
        "towards": [_moved(pairs[row], positions, row) for row in towards],
        "away": [_moved(pairs[row], positions, row) for row in away],
        "right": {
            name: right for name in ("base", "adapted")
            if (right := in_order(positions["gold"], positions[name])) is not None
        },
    }  # fmt: skip


def in_order(gold: Floats, found: Floats) -> float | None:
    """Return how often, of two pairs that differ in gold, the higher one is higher in ``found``.

    A tie in ``found`` counts half. Of more than 2,000 pairs every n-th is looked at. None when all
    are equal in gold.
    """
    step = -(-len(gold) // MOST)
    gold, found = gold[::step], found[::step]
    above = gold[:, None] > gold[None, :]
    if not above.any():
        return None
    higher = np.sign(found[:, None] - found[None, :])[above]
    return float((higher.mean() + 1) / 2)


def position(values: Floats) -> Floats:
    """Return the mean rank of each value among all, scaled to [0, 1]; 0.5 when all are equal."""
    _, group, sizes = np.unique(values, return_inverse=True, return_counts=True)
    below = np.cumsum(sizes) - sizes
    ranks = below + (sizes - 1) / 2
    scaled: Floats = ranks[group] / (len(values) - 1) if len(values) > 1 else np.full(1, 0.5)
    return scaled


def _levels(gold: Floats, positions: Mapping[str, Floats]) -> list[dict[str, Any]]:
    distinct = np.unique(gold)
    if len(distinct) > LEVELS:
        group = np.minimum((gold * 5 + 1e-9).astype(int), 4)
        names = [f"{low / 5:.1f}–{(low + 1) / 5:.1f}" for low in range(5)]
    else:
        group, names = np.searchsorted(distinct, gold), [f"{score:.2g}" for score in distinct]
    return [
        {
            "level": name,
            "pairs": int((group == level).sum()),
            **{system: _quantiles(positions[system][group == level])
               for system in ("base", "adapted")},
        }
        for level, name in enumerate(names)
        if (group == level).any()
    ]  # fmt: skip


def _quantiles(values: Floats) -> dict[str, float]:
    found = np.quantile(values, list(QUANTILES.values()))
    return {name: float(value) for name, value in zip(QUANTILES, found, strict=True)}


def _moved(pair: Row, positions: Mapping[str, Floats], row: int) -> dict[str, Any]:
    texts = {name: pair[name] for name in ("sentence1", "sentence2", "category")}
    cosines = {f"{name}_cosine": pair[name] for name in ("base", "adapted")}
    places = {name: float(values[row]) for name, values in positions.items()}
    return {**texts, "score": pair["gold"], **cosines, **places}
