"""How similar two texts look before anyone is asked: by their letters, and by their vectors.

Both are cosines, of character n-grams and of the current encoder, each brought to a scale on which
0 is what texts that have nothing to do with each other show (the median of random pairs) and 1 is
equality: the cosines of many encoders lie above 0.9 for any two texts. The label that a pair is
expected to get is the mean of the two to the power of ``CURVE``, because similarities crowd near 0
and grades do not (docs/decisions/0012 has figures). It places a pair; no label is made of it.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.encoder import Vectors
from pipeline.mining.texts import Texts

NGRAMS: Final = (3, 5)
CURVE: Final = 0.75
_AT_ONCE: Final = 20_000  # pairs whose n-grams are compared at a time

Values = NDArray[np.float32]
Places = NDArray[np.int32]


class Likeness(NamedTuple):
    """Of some pairs, in [0, 1]: likeness by letters, likeness by vectors, the expected label."""

    lexical: Values
    dense: Values
    expected: Values


class Scale:
    """Measures the likeness of pairs against random pairs of the same corpus."""

    def __init__(self, texts: Texts) -> None:
        from sklearn.feature_extraction.text import TfidfVectorizer  # noqa: PLC0415 - slow

        self._encoder = texts.encoder
        self._ngrams = TfidfVectorizer(
            analyzer="char_wb", ngram_range=NGRAMS, sublinear_tf=True, dtype=np.float32
        )
        known = self._ngrams.fit_transform(texts.leads)
        pairs = [pair for line in texts.lines for pair in itertools.pairwise(line)]
        first, second = np.array(pairs, dtype=np.int32).reshape(-1, 2).T
        self._letters = float(np.median(_sparse(known, first, second)))
        self._vectors = float(np.median(_dense(texts.vectors, first, second)))

    def of(self, texts: Sequence[str], first: Places, second: Places) -> Likeness:
        """Return the likeness of each pair of ``texts`` that ``first`` and ``second`` point at."""
        if not len(first):
            nothing = np.zeros(0, np.float32)
            return Likeness(nothing, nothing, nothing)
        lexical = _scaled(_sparse(self._ngrams.transform(texts), first, second), self._letters)
        vectors = self._encoder.encode(texts, "encode candidates")
        dense = _scaled(_dense(vectors, first, second), self._vectors)
        expected: Values = ((lexical + dense) / np.float32(2)) ** np.float32(CURVE)
        return Likeness(lexical, dense, expected)


def _scaled(cosines: Values, unrelated: float) -> Values:
    scaled: Values = np.clip((cosines - unrelated) / max(1 - unrelated, 1e-6), 0, 1)
    return scaled


def _sparse(rows: Any, first: Places, second: Places) -> Values:  # noqa: ANN401 - scipy's, untyped
    """Return the cosine of each pair of sparse rows of unit length."""
    found = [
        np.asarray(rows[first[part]].multiply(rows[second[part]]).sum(axis=1)).ravel()
        for part in _parts(len(first))
    ]
    return np.concatenate([np.zeros(0), *found]).astype(np.float32)


def _dense(vectors: Vectors, first: Places, second: Places) -> Values:
    """Return the cosine of each pair of rows of unit length."""
    found = [
        np.einsum("ij,ij->i", vectors[first[part]], vectors[second[part]])
        for part in _parts(len(first))
    ]
    return np.concatenate([np.zeros(0), *found]).astype(np.float32)


def _parts(count: int) -> list[slice]:
    return [slice(at, at + _AT_ONCE) for at in range(0, count, _AT_ONCE)]
