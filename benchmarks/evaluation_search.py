"""Exact search of many queries in many texts, vectors given, and the figures of it."""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from benchmarks._record import Figure, Measurement
from pipeline.config import CHECKOUT
from pipeline.encoder import Vectors
from pipeline.evaluation import metrics

log = logging.getLogger(__name__)

CLAIM: Final = (
    "On two cores, vectors given, 1,000 queries find their 100 nearest of 100,000 texts, exactly, "
    "and are measured, within 20 seconds; no matrix of all similarities is held."
)
TEXTS: Final = 100_000
QUERIES: Final = 1_000
QUICK: Final = 10_000  # texts
DIMENSIONS: Final = 576
DEPTH: Final = 100
ANSWERS: Final = 3
CORES: Final = 2
SEED: Final = 17
PEER: Final = "sentence_transformers"
# What a part of the measurement runs, in a process of its own so that its memory is its own.
_PROGRAM: Final = """
import json, sys
from benchmarks.evaluation_search import PARTS
print(json.dumps(PARTS[sys.argv[1]](int(sys.argv[2]))))
"""


def measure(*, quick: bool) -> Measurement:
    """Search with this project's function and with a peer's; ``quick`` in a tenth of the texts."""
    texts = QUICK if quick else TEXTS
    ours = _run("ours", texts)
    figures = [
        Figure.of("texts", texts, ""),
        Figure.of("queries", QUERIES, ""),
        Figure.of(f"search to depth {DEPTH}", ours["seconds"], "s", "<=", 20),
        Figure.of("search, nDCG@10, MRR@10 and Recall@100", ours["all"], "s"),
        Figure.of("peak memory, the vectors among it", ours["gib"], "GiB", "<=", 1),
    ]
    if importlib.util.find_spec(PEER) is None:
        log.warning("not compared: pip install sentence-transformers for the peer's search")
    else:
        theirs = _run(PEER, texts)
        same = np.mean(np.array(ours["first"]) == np.array(theirs["first"]))
        figures += [
            Figure.of("sentence-transformers' semantic_search", theirs["seconds"], "s"),
            Figure.of("ours, of its time", ours["seconds"] / theirs["seconds"], ""),
            Figure.of("queries with the same first text", float(same), "", ">=", 1),
        ]
    return Measurement(tuple(figures), SEED)


def _run(name: str, texts: int) -> dict[str, Any]:
    environment = os.environ | {"OMP_NUM_THREADS": str(CORES)}
    done = subprocess.run(  # noqa: S603 - our own program, no shell
        [sys.executable, "-c", _PROGRAM, name, str(texts)],
        cwd=CHECKOUT, env=environment, check=True, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


def vectors_of(texts: int) -> tuple[Vectors, Vectors]:
    """Return unit vectors of queries and texts; texts lie in clusters of some fifty, as topics."""
    draw = np.random.default_rng(SEED)
    topics = draw.standard_normal((max(1, texts // 50), DIMENSIONS), dtype=np.float32)
    sides = []
    for count in (QUERIES, texts):
        side = topics[draw.integers(len(topics), size=count)]
        side += draw.standard_normal(side.shape, dtype=np.float32)
        side /= np.linalg.norm(side, axis=1, keepdims=True)
        sides.append(side)
    return sides[0], sides[1]


def _ours(texts: int) -> dict[str, Any]:
    queries, corpus = vectors_of(texts)
    draw = np.random.default_rng(SEED)
    relevant = [
        dict(zip(rows.tolist(), (3, 2, 1), strict=True))
        for rows in draw.integers(texts, size=(QUERIES, ANSWERS))
        if len(set(rows.tolist())) == ANSWERS
    ]
    relevant += [{0: 1}] * (QUERIES - len(relevant))
    start = time.perf_counter()
    found = metrics.search(queries, corpus, DEPTH)
    seconds = time.perf_counter() - start
    metrics.ndcg(found, relevant)
    metrics.reciprocal_rank(found, relevant)
    metrics.recall(found, relevant, DEPTH)
    whole = time.perf_counter() - start
    first = found[:, 0].tolist()
    return {"seconds": seconds, "all": whole, "gib": _memory(), "first": first}


def _theirs(texts: int) -> dict[str, Any]:
    import torch  # noqa: PLC0415 - not in the process of ours
    from sentence_transformers import util  # noqa: PLC0415 - optional, and not in ours

    torch.set_num_threads(CORES)
    queries, corpus = (torch.from_numpy(side) for side in vectors_of(texts))
    start = time.perf_counter()
    found = util.semantic_search(queries, corpus, top_k=DEPTH, score_function=util.dot_score)
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "first": [rows[0]["corpus_id"] for rows in found]}


def _memory() -> float:
    """Return the highest memory of this process so far, in GiB."""
    unit = 2**30 if sys.platform == "darwin" else 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


PARTS: Final[dict[str, Callable[[int], dict[str, Any]]]] = {"ours": _ours, PEER: _theirs}
