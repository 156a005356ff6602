"""Texts by the word 3-grams they share: true overlap, and sketches by which likely pairs are found.

A text's sketch is its MinHash signature (Broder, "On the resemblance and containment of
documents", 1997), folded into bands (Leskovec, Rajaraman, Ullman, "Mining of Massive Datasets",
chapter 3.4): two texts that agree in a whole band are a candidate pair. Sketches only propose; who
must be sure compares the sets. Short texts use 3-grams too, on purpose: in a text of ten words one
other word is another meaning ("is a digit", "is a letter"), and it changes three of the eight
3-grams, so such texts stay apart.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import chain
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.words import WORD

SIZE: Final = 3  # words of a shingle
SEED: Final = 7  # of the permutations; they only propose, so it is no setting
PERMUTATIONS: Final = 128  # most that a sketch is made of
_MISSED: Final = 0.001  # share of pairs at the threshold that may go unproposed
_LONGEST_BAND: Final = 8
_PUNCTUATION: Final = ".,;:!?\"'()"
_ODD: Final = np.uint64(0x9E3779B97F4A7C15)
_SHIFT: Final = np.uint64(29)
_HALF: Final = np.uint64(32)

Hashes = NDArray[np.uint64]
Places = NDArray[np.int64]


class Layout(NamedTuple):
    """How a signature is folded: ``bands`` hashes of ``rows`` permutations each."""

    bands: int
    rows: int


class Shingled(NamedTuple):
    """The shingles of many texts, one text after the other; every text has at least one."""

    values: Hashes
    starts: Places

    def sets(self) -> list[Hashes]:
        """Return the distinct shingles of each text, sorted."""
        ends = np.append(self.starts[1:], len(self.values))[: len(self.starts)]
        return [np.unique(self.values[a:b]) for a, b in zip(self.starts, ends, strict=True)]


def words(text: str) -> list[str]:
    """Return the words of ``text``; case and punctuation around them do not count.

    Signs that stand alone are words: "a < b" is not "a > b". So are characters of scripts without
    spaces.
    """
    text = text.casefold()
    found = text.split() if text.isascii() else WORD.findall(text)
    return [word.strip(_PUNCTUATION) or word for word in found]


def shingled(texts: Sequence[str]) -> Shingled:
    """Return the word 3-grams of ``texts`` as 64-bit hashes, the same on every machine.

    A text of fewer words is one shingle.
    """
    from pandas.util import hash_array  # noqa: PLC0415 - slow to import

    # Lone surrogates, which JSON files may hold, cannot be hashed.
    listed = [_padded(words(text.encode("utf-8", "replace").decode())) for text in texts]
    flat = np.array(list(chain.from_iterable(listed)), dtype=object)
    sizes = np.array([len(found) for found in listed], dtype=np.int64)
    if not len(flat):
        return Shingled(np.zeros(0, np.uint64), np.zeros(0, np.int64))
    values = _combined(hash_array(flat, categorize=False))
    inside = np.ones(len(flat), dtype=bool)
    ends = np.cumsum(sizes)
    inside[ends - 1] = inside[ends - 2] = False  # there a window would reach into the next text
    return Shingled(
        values[inside[: len(values)]], ends - sizes - (SIZE - 1) * np.arange(len(sizes))
    )


def jaccard(one: Hashes, other: Hashes) -> float:
    """Return the share of shingles that both sets have among all that either has."""
    shared = np.intersect1d(one, other, assume_unique=True).size
    return float(shared / (one.size + other.size - shared))


def layout_for(threshold: float) -> Layout:
    """Return the bands that propose all but a thousandth of the pairs at ``threshold``.

    Among those the longest bands, which propose the fewest pairs in vain. Below 0.1, where no
    number of bands would do, all permutations are used.
    """
    for rows in range(_LONGEST_BAND, 0, -1):
        agree = threshold**rows
        bands = 1 if agree >= 1 else math.ceil(math.log(_MISSED) / math.log1p(-max(agree, 1e-9)))
        if bands * rows <= PERMUTATIONS:
            return Layout(bands, rows)
    return Layout(PERMUTATIONS, 1)


def sketched(texts: Shingled, layout: Layout) -> Hashes:
    """Return the band hashes of ``texts``, shape (bands, texts)."""
    factors, offsets = _permutations(layout.bands * layout.rows)
    bands = np.zeros((layout.bands, len(texts.starts)), dtype=np.uint64)
    if not len(texts.starts):
        return bands
    for number, (factor, offset) in enumerate(zip(factors, offsets, strict=True)):
        moved = texts.values ^ offset
        moved *= factor
        moved >>= _HALF  # the upper half is where all bits have had their say
        band = bands[number // layout.rows]
        band[:] = _stirred(band) + np.minimum.reduceat(moved, texts.starts)
    return bands


def _padded(found: list[str]) -> list[str]:
    return found + [""] * (SIZE - len(found))  # no word is empty, so nothing else reads the same


def _combined(hashes: Hashes) -> Hashes:
    """Return a hash of every window of three, in which the order counts."""
    first, second, third = hashes[:-2], hashes[1:-1], hashes[2:]
    return _stirred(_stirred(_stirred(first) + second) + third)


def _stirred(values: Hashes) -> Hashes:
    return (values ^ (values >> _SHIFT)) * _ODD


def _permutations(count: int) -> tuple[Hashes, Hashes]:
    """Return odd factors and offsets; a raw bit stream never changes with the library's version."""
    drawn = np.random.PCG64(SEED).random_raw(2 * count).astype(np.uint64)
    return drawn[:count] | np.uint64(1), drawn[count:]
