"""Ways to propose pairs. Adding one is a function and a line in ``STRATEGIES``.

A strategy sees the texts of the train documents and proposes pairs of their indices. Every choice
is made by a hash of the texts concerned, not by a running random generator, so changing one
document moves only the pairs near it, and labels that are already paid for stay in use.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import bm25s
import numpy as np
from numpy.typing import NDArray

from pipeline.encoder import Encoder
from pipeline.records import digest_of

Proposal = tuple[str, str, int, int]  # sentence1, sentence2, document index of each

# Which neighbour a text is paired with: near ones often, further ones sometimes.
RANKS: Final = (0, 0, 1, 2, 4, 8, 16)


@dataclass(frozen=True)
class Texts:
    """The texts that strategies choose from; index i of every list is one document."""

    leads: list[str]  # the opening of each document
    firsts: list[str]  # its first sentence
    rests: list[str]  # the opening of what follows, "" when there is nothing
    encoder: Encoder
    seed: int

    @cached_property
    def dense(self) -> NDArray[np.int64]:
        """Nearest texts by the frozen encoder's cosine, nearest first; shape (texts, ranks)."""
        vectors = self.encoder.encode(self.leads, "encode texts")
        blocks = [vectors[start : start + 512] @ vectors.T for start in range(0, len(vectors), 512)]
        return _nearest(np.concatenate(blocks))

    @cached_property
    def lexical(self) -> NDArray[np.int64]:
        """Nearest texts by BM25, nearest first; shape (texts, ranks)."""
        tokens = bm25s.tokenize(self.leads, stopwords="en", show_progress=False, return_ids=False)
        none = np.zeros(len(tokens), dtype=np.float32)  # a text may hold stop words only
        if not any(tokens):
            return _nearest(np.stack([none] * len(tokens)))
        index = bm25s.BM25()
        index.index(tokens, show_progress=False)
        return _nearest(np.stack([index.get_scores(words) if words else none for words in tokens]))

    def draw(self, what: str, *texts: str) -> int:
        """Return a number that depends on the seed and ``texts`` alone."""
        return int(digest_of(str(self.seed), what, *texts), 16)


def _nearest(scores: NDArray[np.floating]) -> NDArray[np.int64]:
    np.fill_diagonal(scores, -np.inf)
    count = min(max(RANKS) + 1, scores.shape[0] - 1)
    return np.argsort(-scores, axis=1, kind="stable")[:, :count]


def same_document(texts: Texts) -> Iterator[Proposal]:
    """Pair the first sentence of a document with what follows it."""
    for index, (first, rest) in enumerate(zip(texts.firsts, texts.rests, strict=True)):
        if len(first.split()) >= 4 and len(rest.split()) >= 5:
            yield first, rest, index, index


def dense(texts: Texts) -> Iterator[Proposal]:
    """Pair a text with one of its neighbours by the frozen encoder."""
    yield from _neighbours(texts, texts.dense, "dense")


def lexical(texts: Texts) -> Iterator[Proposal]:
    """Pair a text with one of its neighbours by BM25."""
    yield from _neighbours(texts, texts.lexical, "lexical")


def random(texts: Texts) -> Iterator[Proposal]:
    """Pair texts that have nothing to do with each other, by the order of their hashes."""
    order = sorted(range(len(texts.leads)), key=lambda i: texts.draw("random", texts.leads[i]))
    for first, second in itertools.pairwise(order):
        yield texts.leads[first], texts.leads[second], first, second


def _neighbours(texts: Texts, nearest: NDArray[np.int64], what: str) -> Iterator[Proposal]:
    for index, lead in enumerate(texts.leads):
        rank = RANKS[texts.draw(what, lead) % len(RANKS)]
        if rank < nearest.shape[1]:
            other = int(nearest[index, rank])
            yield lead, texts.leads[other], index, other


STRATEGIES: Final[dict[str, Callable[[Texts], Iterator[Proposal]]]] = {
    "same_document": same_document,
    "dense": dense,
    "lexical": lexical,
    "random": random,
}
