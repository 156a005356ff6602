"""What the mined pairs cover: how evenly, and how much a training batch can learn from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from pipeline.mining.sampler import BINS, Sample, tenths

BATCH: Final = 32  # pairs, drawn at random


def coverage(sample: Sample) -> dict[str, Any]:
    """Return pairs and candidates by expected label and by strategy, as the report shows them."""
    expected = sample.likeness.expected
    counts = np.bincount(tenths(expected), minlength=BINS).tolist()
    return {
        "pairs": counts,
        "candidates": sample.candidates,
        "batch": BATCH,
        "comparisons": comparisons(counts, BATCH),
        "possible": BATCH * (BATCH - 1) // 2,
        "strategies": {
            name: {
                "candidates": sample.proposed[name],
                "pairs": int(taken.sum()),
                "mean": round(float(expected[taken].mean()), 4) if taken.any() else None,
            }
            for number, name in enumerate(sample.pool.names)
            if name in sample.proposed
            for taken in [sample.pool.strategy == number]
        },
    }


def comparisons(counts: Sequence[int], batch: int) -> float:
    """Return how many pairs of pairs of a random batch are expected to be strictly ordered.

    ``counts`` are the pairs by label; pairs with the same label are in no order. At most
    ``batch * (batch - 1) / 2``, where all labels differ.
    """
    total = sum(counts)
    if total < 2:
        return 0.0
    tied = sum(count * (count - 1) for count in counts) / (total * (total - 1))
    return round(batch * (batch - 1) / 2 * (1 - tied), 2)
