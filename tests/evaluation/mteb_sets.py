"""Small sets, and an encoder of no model, for the tests around MTEB."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from pipeline.encoder import Vectors
from pipeline.evaluation import items
from pipeline.evaluation.items import ItemSet
from pipeline.evaluation.sets import PairSet, SearchSet, SetPair

CLASSES = ("files", "sockets", "numbers")


class Hashed:
    """Vectors that follow from the words of a text, so that texts with common words are near."""

    dimensions = 24

    def __init__(self, identity: str = "hashed-1") -> None:
        self.identity = identity
        self.encoded = 0

    def encode(self, texts: Sequence[str], label: str = "encode") -> Vectors:
        assert label
        self.encoded += len(texts)
        rows = [sum((self._word(w) for w in t.split()), np.zeros(self.dimensions)) for t in texts]
        vectors = np.asarray(rows, dtype=np.float32)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    def _word(self, word: str) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:8], "big")
        return np.random.default_rng(seed).normal(size=self.dimensions)


def sentence(number: int, words: int = 6) -> str:
    return " ".join(f"w{value}" for value in np.random.default_rng(number).integers(0, 40, words))


def graded(name: str = "orders", pairs: int = 40) -> PairSet:
    scores = np.random.default_rng(1).integers(0, 6, pairs) / 5
    rows = (SetPair(sentence(n), sentence(n + 1), float(s)) for n, s in enumerate(scores))
    return PairSet(name, "domain", "graded", tuple(rows))


def duplicates(name: str = "tickets", pairs: int = 60) -> PairSet:
    rows = []
    for number in range(pairs):
        words = sentence(number, 8).split()
        other = words[:4] + sentence(number + 1000, 4).split() if number % 3 == 0 else []
        second = " ".join(other) or sentence(number + 2000, 8)
        rows.append(SetPair(" ".join(words), second, float(number % 3 == 0)))
    return PairSet(name, "domain", "binary", tuple(rows))


def search(name: str = "manual") -> SearchSet:
    corpus = tuple(sentence(number, 9) for number in range(80))
    queries = tuple(" ".join(corpus[row].split()[:3]) + f" q{row}" for row in range(20))
    relevant = tuple({row: 2, (row * 7 + 3) % 80: 1} for row in range(20))
    excluded = tuple(frozenset({(row + 40) % 80, (row + 41) % 80}) for row in range(20))
    return SearchSet(name, "domain", queries, corpus, relevant, excluded)


def labelled(name: str = "intents", each: int = 16) -> ItemSet:
    rows = [
        (f"{label} {label} {sentence(number, 3)} n{number}", label, split)
        for label in CLASSES
        for split in ("train", "test")
        for number in range(each)
    ]
    return items.of_rows(name, rows)
