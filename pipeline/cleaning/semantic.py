"""Texts that mean the same, by the vectors of an encoder."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]

# What rounding takes from the cosine of a vector with itself.
_ROUNDING: Final = 1e-6


def similar_pairs(
    vectors: Vectors, threshold: float, block: int = 1024
) -> Iterator[tuple[int, int]]:
    """Yield every pair (i, j), i < j, of rows whose cosine is at least ``threshold``.

    Exact: all are compared with all, ``block`` rows with ``block`` rows at a time, so memory beside
    ``vectors`` [texts, dimensions] is one block by one block. Rows of zeros are similar to nothing.
    Pairs come in order of i's block, then of j's.
    """
    for start in range(0, len(vectors), block):
        here = _unit(vectors[start : start + block])
        for other in range(start, len(vectors), block):
            there = here if other == start else _unit(vectors[other : other + block])
            near = np.greater_equal(here @ there.T, threshold - _ROUNDING)
            near &= np.logical_and.outer(here.any(axis=1), there.any(axis=1))
            if other == start:
                near = np.triu(near, 1)
            for row, column in np.argwhere(near):
                yield start + int(row), other + int(column)


def _unit(rows: Vectors) -> Vectors:
    rows = np.asarray(rows, np.float32)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: Vectors = np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 0)
    return unit
