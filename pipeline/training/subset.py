"""Nested subsets of the training pairs, for learning curves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from pipeline.records import ScoredTexts, digest_of, pair_id

P = TypeVar("P", bound=ScoredTexts)


def nested(pairs: Sequence[P], share: float, seed: int) -> Sequence[P]:
    """Return ``share`` of the pairs, at least one, in their order.

    A hash of the seed and a pair's id decides who comes first, so with one seed every subset lies
    in the larger ones, in whatever order the pairs come, and another seed draws another subset.

    Args:
        pairs: what may be trained on.
        share: in (0, 1].
        seed: of the draw.
    """
    if share == 1.0 or not pairs:
        return pairs
    drawn = [digest_of(str(seed), pair_id(pair.sentence1, pair.sentence2)) for pair in pairs]
    first = sorted(range(len(pairs)), key=lambda row: (drawn[row], row))
    return [pairs[row] for row in sorted(first[: max(1, round(share * len(pairs)))])]
