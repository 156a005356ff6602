"""Near-duplicates among a million documents: how many are found, how surely, in what memory?"""

from __future__ import annotations

import logging
import tempfile
import time
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from benchmarks._record import Figure, Measurement
from benchmarks._synthetic import apart, documents
from pipeline.cleaning import duplicates
from pipeline.cleaning.spool import Piece, Spool

log = logging.getLogger(__name__)

CLAIM: Final = (
    "Among 1,000,000 documents of 100 words, at least 95 % of the planted pairs of Jaccard 0.8 are "
    "found, and of what is found at least 95 % is such a pair, within 6 GiB."
)
SEED: Final = 23
DOCUMENTS: Final = 1_000_000
QUICK: Final = 40_000
THRESHOLD: Final = 0.8


class Found(NamedTuple):
    """Pairs that were planted, pairs found, and those that are both; seconds of each part."""

    planted: int
    found: int
    right: int
    decoys: int
    writing: float
    searching: float


def measure(*, quick: bool) -> Measurement:
    """Plant, search and compare; ``quick`` among 40,000 documents."""
    count = QUICK if quick else DOCUMENTS
    found, peak = apart(searched, count, SEED)
    figures = (
        Figure.of("documents of 100 words", count, ""),
        Figure.of("pairs planted at Jaccard 0.8 to 0.85", found.planted, ""),
        Figure.of("decoys at Jaccard 0.75 to 0.8", found.decoys, ""),
        Figure.of("recall", found.right / found.planted, "", ">=", 0.95),
        Figure.of("precision", found.right / max(1, found.found), "", ">=", 0.95),
        Figure.of("peak memory", peak / 2**30, "GiB", "<=", 6),
        Figure.of("search", found.searching, "s"),
        Figure.of("spool written", found.writing, "s"),
    )
    return Measurement(figures, SEED)


def searched(count: int, seed: int) -> Found:
    """Return what a search among ``count`` documents finds."""
    with (
        tempfile.TemporaryDirectory(prefix="duplicates-") as name,
        Spool(Path(name) / "spool.sqlite") as spool,
    ):
        start = time.perf_counter()
        spool.add(Piece(document) for document in documents(count, seed))
        order = spool.order()
        written = time.perf_counter()
        roots = duplicates.find(spool, order, THRESHOLD, Path(name)).roots()
        ended = time.perf_counter()
        kinds = [piece.document.name[9:] for piece in spool.pieces()]
    planted = kinds.count("planted")
    # In order of names a copy comes right after its original.
    right = sum(kind == "planted" and roots[at] == roots[at - 1] for at, kind in enumerate(kinds))
    sizes = np.unique(roots, return_counts=True)[1]
    pairs = int((sizes * (sizes - 1) // 2).sum())
    return Found(planted, pairs, right, kinds.count("decoy"), written - start, ended - written)
