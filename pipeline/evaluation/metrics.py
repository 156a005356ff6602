"""What is measured: Spearman's ρ of graded similarity, nDCG@10 and MRR@10 of exact search."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import stats

DEPTH: Final = 10

_BLOCK: Final = 1 << 24  # similarities held at once: 64 MiB of float32

Floats = NDArray[np.float64]
Places = NDArray[np.intp]


def spearman(left: NDArray[Any], right: NDArray[Any]) -> float:
    """Return Spearman's ρ, tied values sharing their mean rank; 0 when one side is constant."""
    if len(left) < 2 or np.ptp(left) == 0 or np.ptp(right) == 0:
        return 0.0
    return float(stats.spearmanr(left, right).statistic)


def best(scores: NDArray[Any], depth: int = DEPTH) -> Places:
    """Return the columns of the ``depth`` highest scores of each row, highest first.

    Equal scores keep the order of their columns, at the edge of the list too.
    """
    depth = min(depth, scores.shape[1])
    columns = np.sort(np.argpartition(-scores, depth - 1, axis=1)[:, :depth], axis=1)
    values = np.take_along_axis(scores, columns, axis=1)
    crowded = (scores >= values.min(axis=1, keepdims=True)).sum(axis=1) > depth
    order = np.argsort(-values, axis=1, kind="stable")
    found = np.take_along_axis(columns, order, axis=1)
    for row in np.flatnonzero(crowded):  # ties at the edge: argpartition chose among them freely
        found[row] = np.argsort(-scores[row], kind="stable")[:depth]
    return found


def blocks(queries: int, corpus: int) -> Iterator[slice]:
    """Yield slices of the queries whose similarities with the whole corpus fit in memory."""
    step = max(1, _BLOCK // max(corpus, 1))
    for start in range(0, queries, step):
        yield slice(start, start + step)


def search(queries: NDArray[Any], corpus: NDArray[Any], depth: int = DEPTH) -> Places:
    """Return the rows of ``corpus`` nearest to each query by inner product; exact, in blocks."""
    found = [best(queries[rows] @ corpus.T, depth) for rows in blocks(len(queries), len(corpus))]
    return np.concatenate(found)


def hits(found: Places, relevant: Sequence[AbstractSet[int]]) -> NDArray[np.bool_]:
    """Return whether each place found is relevant to its query, shape of ``found``."""
    rows = [np.isin(row, list(wanted)) for row, wanted in zip(found, relevant, strict=True)]
    return np.array(rows, dtype=bool).reshape(found.shape)


def ndcg(found: Places, relevant: Sequence[AbstractSet[int]], depth: int = DEPTH) -> Floats:
    """Return nDCG at ``depth`` of each query; every relevant text counts the same."""
    found = found[:, :depth]
    gains = 1.0 / np.log2(np.arange(depth) + 2.0)
    ideal = np.cumsum(gains)[[min(len(wanted), depth) - 1 for wanted in relevant]]
    values: Floats = (hits(found, relevant) * gains[: found.shape[1]]).sum(axis=1) / ideal
    return values


def reciprocal_rank(
    found: Places, relevant: Sequence[AbstractSet[int]], depth: int = DEPTH
) -> Floats:
    """Return 1 / place of the first relevant text of each query, 0 when none is in ``depth``."""
    hit = hits(found[:, :depth], relevant)
    values: Floats = np.where(hit.any(axis=1), 1.0 / (hit.argmax(axis=1) + 1.0), 0.0)
    return values
