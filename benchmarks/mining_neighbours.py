"""Mining of many texts: how long do all their neighbours take, and the choice of pairs?"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from benchmarks._record import Figure, Measurement
from pipeline.config import CHECKOUT
from pipeline.encoder import Vectors
from pipeline.mining import neighbours
from pipeline.mining.stage import mine
from pipeline.mining.texts import RANKS
from pipeline.records import Document, text_id
from pipeline.sections import MineSettings

CLAIM: Final = (
    "The neighbours of 100,000 texts by BM25 and, vectors given, by cosine are found within five "
    "minutes on two cores, exactly; memory does not grow with the square of the texts."
)
SEED: Final = 11
TEXTS: Final = 100_000
QUICK: Final = 10_000
CORES: Final = 2
# What a part of the measurement runs, in a process of its own so that its memory is its own.
_PROGRAM: Final = """
import json, sys
from benchmarks.mining_neighbours import PARTS
print(json.dumps(PARTS[sys.argv[1]](int(sys.argv[2]))))
"""


def measure(*, quick: bool) -> Measurement:
    """Find all neighbours; ``quick`` of a tenth of the texts."""
    texts = QUICK if quick else TEXTS
    found = {name: _run(name, texts) for name in PARTS}
    both = found["BM25"]["seconds"] + found["cosine"]["seconds"]
    recall = found["usearch"].pop("recall")
    figures = [
        Figure.of("texts", texts, ""),
        Figure.of("BM25 and cosine, exact", both, "s", "<=", 300),
    ]
    for name, part in found.items():
        figures.append(Figure.of(f"{name}: time", part["seconds"], "s"))
        figures.append(Figure.of(f"{name}: peak memory", part["gib"], "GiB"))
    figures.append(Figure.of("usearch: share of the exact neighbours", recall, "", ">="))
    return Measurement(tuple(figures), SEED)


def _run(name: str, texts: int) -> dict[str, Any]:
    command = [sys.executable, "-c", _PROGRAM, name, str(texts)]
    environment = os.environ | {"OMP_NUM_THREADS": str(CORES)}
    done = subprocess.run(  # noqa: S603 - our own program, no shell
        command, cwd=CHECKOUT, env=environment, check=True, capture_output=True, text=True
    )
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


def texts_of(count: int) -> list[str]:
    """Return texts of 25 words whose frequencies fall as in English (Zipf and Mandelbrot)."""
    draw = np.random.default_rng(SEED)
    frequent = 1 / (np.arange(50_000) + 2.7)
    words = draw.choice(len(frequent), size=(count, 25), p=frequent / frequent.sum())
    return [" ".join(f"w{word}" for word in row) for row in words.tolist()]


def vectors_of(count: int) -> Vectors:
    """Return unit vectors of 576 dimensions in clusters of some fifty, as a topic's texts are."""
    draw = np.random.default_rng(SEED)
    topics = draw.normal(size=(max(1, count // 50), 576)).astype(np.float32)
    vectors = topics[draw.integers(len(topics), size=count)]
    vectors += draw.normal(size=vectors.shape).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def _bm25(count: int) -> dict[str, float]:
    said = texts_of(count)
    return _timed(lambda: neighbours.by_bm25(said, max(RANKS) + 1))


def _cosine(count: int) -> dict[str, float]:
    vectors = vectors_of(count)
    return _timed(lambda: neighbours.by_cosine(vectors, max(RANKS) + 1))


def _usearch(count: int) -> dict[str, float]:
    vectors, ranks = vectors_of(count), max(RANKS) + 1
    kept: list[Any] = []
    figures = _timed(lambda: kept.append(neighbours.approximately(vectors, ranks)))
    some = np.random.default_rng(SEED).choice(count, 500, replace=False)
    scores = vectors[some] @ vectors.T
    scores[np.arange(len(some)), some] = -np.inf
    exact = neighbours.best(scores, ranks)[0]
    shared = [len({*a} & {*b}) / ranks for a, b in zip(exact, kept[0].near[some], strict=True)]
    return figures | {"recall": float(np.mean(shared))}


class _Given:
    """An encoder that knows its texts."""

    identity = "given"

    def __init__(self, texts: Sequence[str], vectors: Vectors) -> None:
        self._places, self._vectors = dict(zip(texts, range(len(texts)), strict=True)), vectors

    def encode(self, texts: Sequence[str], label: str = "") -> Vectors:  # noqa: ARG002
        found: Vectors = self._vectors[np.array([self._places[text] for text in texts])]
        return found


def _mined(count: int) -> dict[str, float]:
    """Mine as the stage does, all strategies and the sampler, with an encoder that looks up."""
    said, vectors = texts_of(count), vectors_of(count)
    rows = [
        Document(id=text_id(text), text=text, name=str(number), source="")
        for number, text in enumerate(said)
    ]
    settings = MineSettings(texts=count, pairs=count // 2)
    return _timed(lambda: mine(rows, settings, _Given(said, vectors)))


def _timed(work: Callable[[], object]) -> dict[str, float]:
    """Return the seconds that ``work`` takes and the process's peak memory in GiB."""
    start = time.perf_counter()
    work()
    seconds = time.perf_counter() - start
    unit = 2**30 if sys.platform == "darwin" else 2**20
    return {"seconds": seconds, "gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit}


PARTS: Final = {
    "BM25": _bm25,
    "cosine": _cosine,
    "usearch": _usearch,
    "mine, half as many pairs": _mined,
}
