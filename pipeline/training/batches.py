"""Which pairs make up a step: seeded, the same however often a run is stopped and resumed."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

Order = Callable[[Sequence[float], int, random.Random], list[list[int]]]


def steps(pairs: int, batch_pairs: int, epochs: float) -> int:
    """Return the number of steps: whole batches of the epochs, at least one."""
    per_epoch = max(1, pairs // batch_pairs)
    return max(1, round(per_epoch * epochs))


def batches(scores: Sequence[float], size: int, seed: int, sampler: str) -> Iterator[list[int]]:
    """Yield batches of indices without end, each epoch in a new order; a remainder is left out.

    ``size`` is cut to the number of pairs. A score that is not a number counts as above 1.
    """
    generator, order = random.Random(seed), SAMPLERS[sampler]  # noqa: S311 - not for secrets
    size = min(size, len(scores))
    while True:
        yield from order(scores, size, generator)


def shuffled(scores: Sequence[float], size: int, generator: random.Random) -> list[list[int]]:
    """Return the batches of one epoch, pairs in random order."""
    order = generator.sample(range(len(scores)), len(scores))
    return [order[start : start + size] for start in range(0, len(order) - size + 1, size)]


def graded(scores: Sequence[float], size: int, generator: random.Random) -> list[list[int]]:
    """Return the batches of one epoch such that each spans the range of the labels.

    The pairs are sorted by label (ties in random order) and cut into ``size`` strata; a batch takes
    one pair of each. The ranking objectives learn from strictly ordered comparisons, and equal
    quotas of every part of the range give the most of them that an even deal can.
    """
    drawn = generator.sample(range(len(scores)), len(scores) // size * size)
    known = [math.inf if math.isnan(score) else score for score in scores]
    drawn.sort(key=known.__getitem__)  # stable: ties keep their random order
    count = len(drawn) // size
    strata = [drawn[start : start + count] for start in range(0, len(drawn), count)]
    for stratum in strata:
        generator.shuffle(stratum)
    return [[stratum[batch] for stratum in strata] for batch in range(count)]


SAMPLERS: Final[dict[str, Order]] = {"random": shuffled, "graded": graded}


def comparisons(scores: Sequence[float]) -> int:
    """Return how many pairs of labels are strictly ordered, of n(n - 1)/2 possible ones."""
    known: NDArray[np.float64] = np.asarray(scores, dtype=np.float64)
    known = known[~np.isnan(known)]
    _, counts = np.unique(known, return_counts=True)
    return int(len(known) * (len(known) - 1) // 2 - (counts * (counts - 1) // 2).sum())
