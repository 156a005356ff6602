"""Labelled pairs by the strategy that mined them: how far each model follows their labels.

No held-out pair is labelled (docs/decisions/0001), so these are pairs that the adapted model was
trained on, with labels that are annotators' opinions. What they show is where it could follow the
labels and where it could not; they say nothing of how good it is, and no verdict asks them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline.evaluation import groups
from pipeline.evaluation.compared import Systems
from pipeline.evaluation.resampling import Bootstrap
from pipeline.evaluation.sets import PairSet, SetPair
from pipeline.evaluation.significance import Comparison, compare_spearman
from pipeline.records import LabeledPair

NAME: Final = "labelled pairs"


def labelled(pairs: Iterable[LabeledPair], most: int) -> PairSet:
    """Return up to ``most`` labelled pairs of each strategy, which ones by their ids."""
    taken: dict[str, int] = {}
    kept: list[SetPair] = []
    for pair in sorted(pairs, key=lambda pair: pair.id):
        taken[pair.strategy] = taken.get(pair.strategy, 0) + 1
        if taken[pair.strategy] <= most:
            kept.append(SetPair(pair.sentence1, pair.sentence2, pair.score, pair.strategy))
    return PairSet(NAME, "domain", "graded", tuple(kept))


def by_strategy(
    given: PairSet, systems: Systems, bootstrap: Bootstrap
) -> dict[str, dict[str, float | None]]:
    """Return ρ of base and adapted with the labels of each strategy, where there are enough."""
    label = np.array([pair.score for pair in given.pairs])
    base, adapted = systems.base.cosines(given), systems.adapted.cosines(given)

    def compare(own: NDArray[np.bool_]) -> Comparison | None:
        if np.ptp(label[own]) == 0:
            return None
        return compare_spearman(label[own], base[own], adapted[own], bootstrap)

    return groups.apart([pair.group for pair in given.pairs], compare)
