"""Parts of a set of pairs that are looked at apart: by length, and by words that both texts have.

A model may gain on short texts and lose on long ones, or live on common words alone; one figure
for all pairs hides that.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pipeline.evaluation import metrics
from pipeline.evaluation.compared import Lookup, Systems
from pipeline.evaluation.metrics import Floats
from pipeline.evaluation.sets import PairSet, SetPair

THIRDS: Final = 3
FEWEST: Final = 10


def slices(given: PairSet, systems: Systems) -> dict[str, list[dict[str, Any]]]:
    """Return the figures of each third of the pairs, by what they are sorted by.

    A figure is Spearman's ρ with gold; null where a third has too few pairs or equal scores.
    """
    gold = np.array([pair.score for pair in given.pairs])
    cosines = _cosines(given, systems.base), _cosines(given, systems.adapted)
    return {
        "words in a pair": list(_thirds(_lengths(given), gold, *cosines)),
        "share of common words": list(_thirds(_common(given), gold, *cosines)),
    }


def _cosines(given: PairSet, system: Lookup) -> Floats:
    return system.cosines(given)


def _lengths(given: PairSet) -> Floats:
    return np.array([float(len(f"{p.sentence1} {p.sentence2}".split())) for p in given.pairs])


def _common(given: PairSet) -> Floats:
    return np.array([common_words(pair) for pair in given.pairs])


def common_words(pair: SetPair) -> float:
    """Return the Jaccard similarity of the two texts' words, in [0, 1]."""
    left, right = (set(text.casefold().split()) for text in (pair.sentence1, pair.sentence2))
    return len(left & right) / max(len(left | right), 1)


def _thirds(
    values: Floats, gold: Floats, base: Floats, adapted: Floats
) -> Iterator[dict[str, Any]]:
    cuts = np.quantile(values, [place / THIRDS for place in range(1, THIRDS)])
    group = np.searchsorted(cuts, values, side="left")
    for number in range(THIRDS):
        own = group == number
        if own.any():
            yield {
                "from": float(values[own].min()),
                "to": float(values[own].max()),
                "pairs": int(own.sum()),
                "base": _rho(gold, base, own),
                "adapted": _rho(gold, adapted, own),
            }


def _rho(gold: Floats, cosines: Floats, own: NDArray[np.bool_]) -> float | None:
    if own.sum() < FEWEST or np.ptp(gold[own]) == 0:
        return None
    return metrics.spearman(gold[own], cosines[own])
