"""The nearest texts of every text: by cosine of vectors and by BM25, exactly, in bounded memory.

Scores are worked out for a block of texts at a time, and of a block only the best are kept, so
memory grows with the number of texts and not with its square. Of equal scores the lower index
comes first: the same texts give the same neighbours.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.encoder import Vectors
from pipeline.errors import ConfigError
from pipeline.progress import Progress

BLOCK_BYTES: Final = 64 * 2**20  # scores held at a time, by each thread
NONE: Final = -1  # stands where a text has fewer neighbours
_TOGETHER: Final = 64  # texts scored by BM25 at a time: of more, the cache holds less than it must
_GROUPS: Final = 64  # scores of which only the largest is looked at first

Scores = NDArray[np.float32]
Indices = NDArray[np.int32]


class Neighbours(NamedTuple):
    """Nearest first: places and scores, both of shape (texts, ranks); ``NONE`` where no more."""

    near: Indices
    score: Scores


def by_cosine(vectors: Vectors, ranks: int, block_bytes: int = BLOCK_BYTES) -> Neighbours:
    """Return the nearest texts by the dot product of unit vectors, shape (texts, dimensions).

    Exact: time grows with the square of the number of texts (docs/decisions/0012 has figures).
    """
    columns = np.ascontiguousarray(vectors.T)

    def scores(rows: slice) -> Scores:
        block: Scores = vectors[rows] @ columns
        return block

    size = _rows(len(vectors), block_bytes)
    return _in_blocks(scores, len(vectors), ranks, (size, 1))  # BLAS has threads of its own


def by_bm25(texts: Sequence[str], ranks: int, block_bytes: int = BLOCK_BYTES) -> Neighbours:
    """Return the nearest texts by BM25 (the Lucene variant of bm25s, English stop words left out).

    Only texts that share a word are neighbours; a text of stop words has none. The scores of a
    block are a product: what each word adds to each text (bm25s's index, sparse), and how often
    the texts of the block say the word.
    """
    words = _words(texts)
    if words is None:
        return _nothing(len(texts), ranks)
    said, added = words

    def scores(rows: slice) -> Scores:
        return np.ascontiguousarray((added @ said[rows].T.toarray()).T)

    size = min(_TOGETHER, _rows(len(texts), block_bytes))
    found = _in_blocks(scores, len(texts), ranks, (size, os.cpu_count() or 1))
    return Neighbours(np.where(found.score > 0, found.near, NONE), np.maximum(found.score, 0))


def approximately(vectors: Vectors, ranks: int) -> Neighbours:
    """Return most of the nearest texts by cosine, from a graph of neighbours (HNSW, usearch).

    Malkov and Yashunin, https://arxiv.org/abs/1603.09320. Built by one thread: by several, the
    graph would differ from run to run, and with it the pairs.

    Raises:
        ConfigError: when usearch is not installed.
    """
    try:
        from usearch.index import Index  # noqa: PLC0415 - an extra
    except ImportError as error:
        message = (
            f"mine.exact_texts: {len(vectors):,} texts are searched with usearch, which is not "
            "installed: pip install 'angle-adapt[neighbours]', or raise mine.exact_texts"
        )
        raise ConfigError(message) from error
    ranks = min(ranks, len(vectors) - 1)
    index = Index(ndim=vectors.shape[1], metric="ip", dtype="f32")
    index.add(np.arange(len(vectors)), vectors, threads=1)
    matches = index.search(vectors, ranks + 1)
    keys, score = matches.keys.astype(np.int64), 1 - matches.distances
    score[keys == np.arange(len(keys))[:, None]] = -np.inf  # itself, last
    order = np.lexsort((keys, -score), axis=1)[:, :ranks]
    keys, score = np.take_along_axis(keys, order, 1), np.take_along_axis(score, order, 1)
    return Neighbours(keys.astype(np.int32), score.astype(np.float32))


def _words(texts: Sequence[str]) -> tuple[Any, Any] | None:
    """Return how often each text says each word, and what the word adds to the text's score.

    Sparse matrices of shape (texts, words); None when there is no word.
    """
    import bm25s  # noqa: PLC0415 - these two take a second that other stages need not wait
    from scipy.sparse import csr_matrix  # noqa: PLC0415

    logging.getLogger("bm25s").setLevel(logging.WARNING)  # at DEBUG of its own accord
    tokens = bm25s.tokenize(list(texts), stopwords="en", show_progress=False, return_ids=False)
    if not any(tokens):
        return None
    index = bm25s.BM25()
    index.index(tokens, show_progress=False)
    ids = [index.get_tokens_ids(words) for words in tokens]
    ends = np.cumsum([0, *map(len, ids)])
    flat = np.fromiter((word for words in ids for word in words), dtype=np.int32, count=ends[-1])
    held = index.scores
    size = len(held["indptr"]) - 1
    said = csr_matrix((np.ones(len(flat), np.float32), flat, ends), shape=(len(texts), size))
    said.sum_duplicates()
    parts = (held["data"], held["indices"], held["indptr"])
    return said, csr_matrix(parts, shape=(size, len(texts))).T.tocsr()


def _rows(texts: int, block_bytes: int) -> int:
    return max(1, block_bytes // (4 * max(1, texts)))


def _in_blocks(
    scores: Callable[[slice], Scores], texts: int, ranks: int, limits: tuple[int, int]
) -> Neighbours:
    """Return the best of each row; ``scores`` gives ``limits[0]`` rows to each of some threads."""
    ranks = max(0, min(ranks, texts - 1))
    found = _nothing(texts, ranks)
    if ranks == 0:
        return found
    size, threads = limits

    def fill(rows: slice) -> int:
        block = scores(rows)
        own = np.arange(len(block))
        block[own, rows.start + own] = -np.inf
        found.near[rows], found.score[rows] = best(block, ranks)
        return len(block)

    with Progress("find neighbours", texts, "text") as progress:
        for done in _run(fill, [slice(at, at + size) for at in range(0, texts, size)], threads):
            progress.advance(done)
    return found


def _run(fill: Callable[[slice], int], parts: Sequence[slice], threads: int) -> Iterator[int]:
    if threads == 1 or len(parts) == 1:
        yield from map(fill, parts)
        return
    with ThreadPoolExecutor(threads) as pool:
        yield from pool.map(fill, parts)


def best(scores: Scores, count: int) -> tuple[NDArray[np.intp], Scores]:
    """Return the ``count`` largest of each row, largest first: indices and scores.

    Of equal ones the lower index comes first, as in a stable sort of the whole row. The largest of
    ``count`` groups bound the row's ``count``-th score from below, and few scores reach the bound.
    """
    rows, columns = scores.shape
    groups = max(min(columns, 4 * count), columns // _GROUPS)
    size = columns // groups
    tops = scores[:, : groups * size].reshape(rows, size, groups).max(axis=1)
    bound = np.partition(tops, groups - count, axis=1)[:, groups - count]
    row, column = np.divmod(np.flatnonzero(scores >= bound[:, None]), columns)
    reached = scores[row, column]
    order = np.lexsort((column, -reached, row))
    starts = np.searchsorted(row, np.arange(rows))  # rows ascend, in that order and before
    chosen = order[starts[:, None] + np.arange(count)]
    return column[chosen], reached[chosen]


def _nothing(texts: int, ranks: int) -> Neighbours:
    ranks = max(0, min(ranks, texts - 1))
    return Neighbours(
        np.full((texts, ranks), NONE, np.int32), np.full((texts, ranks), 0, np.float32)
    )
