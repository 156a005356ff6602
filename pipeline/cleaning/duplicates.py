"""Pieces of text that say the same in the same words, found without comparing all with all.

Exact duplicates share their id. Near-duplicates share most of their word 3-grams: sketches propose
them (:mod:`pipeline.sketches`), and the true Jaccard similarity of the texts, read again, decides.
The sketches lie on disk and one band of them is in memory at a time, so memory grows by some fifty
bytes a text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline.cleaning.components import Components
from pipeline.cleaning.semantic import similar_pairs
from pipeline.cleaning.spool import Order, Spool
from pipeline.encoder import Encoder
from pipeline.progress import Progress
from pipeline.sketches import Hashes, Layout, Places, jaccard, layout_for, shingled, sketched

Texts = Callable[[Places], list[str]]
Pairs = NDArray[np.int64]  # shape (pairs, 2)

AT_ONCE: Final = 256  # texts, or pairs of texts, in memory
# In a band where more texts than this agree, each is compared with so many of those before it.
WINDOW: Final = 64
REMEMBERED: Final = 4_000_000  # pairs that were compared and found different


def find(spool: Spool, order: Order, threshold: float, folder: Path) -> Components:
    """Return which usable pieces are duplicates of each other, by rank.

    Similarity is followed from text to text, so two ends of a chain are together. The root of a
    component is its first piece by name. ``folder`` is for the sketches.
    """
    count = len(order.ids)
    found = Components(count)
    found.join_equal(order.ids, np.arange(count))
    items = np.sort(np.unique(order.ids, return_index=True)[1].astype(np.int64))

    def texts(columns: Places) -> list[str]:
        return spool.texts(order.positions[items[columns]])

    bands = Bands(folder / "bands", layout_for(threshold), len(items))
    with Progress("clean: sketch", len(items), "text") as progress:
        for start in range(0, len(items), AT_ONCE):
            columns = np.arange(start, min(start + AT_ONCE, len(items)))
            bands.write(start, sketched(shingled(texts(columns)), bands.layout))
            progress.advance(len(columns))
    join_similar(found, items, bands, texts, threshold)
    return found


def join_meanings(
    found: Components, spool: Spool, order: Order, encoder: Encoder, threshold: float
) -> None:
    """Join texts whose vectors have a cosine of at least ``threshold``; of duplicates, one.

    All vectors are in memory, dimensions times four bytes a text.
    """
    items = np.unique(found.roots())
    parts = [
        encoder.encode(spool.texts(order.positions[items[start : start + AT_ONCE]]), label="")
        for start in range(0, len(items), AT_ONCE)
    ]
    for one, other in similar_pairs(np.concatenate(parts), threshold):
        found.join(int(items[one]), int(items[other]))


class Bands:
    """The band hashes of many texts in a file; iterating yields one band of all texts at a time."""

    def __init__(self, path: Path, layout: Layout, count: int) -> None:
        self.layout = layout
        self._path, self._count = path, count
        with path.open("wb") as stream:
            stream.truncate(layout.bands * count * 8)

    def write(self, start: int, hashes: Hashes) -> None:
        """Put in the hashes of the texts from ``start`` on, shape (bands, texts)."""
        with self._path.open("r+b") as stream:
            for band, row in enumerate(hashes):
                stream.seek((band * self._count + start) * 8)
                stream.write(row.tobytes())

    def __iter__(self) -> Iterator[Hashes]:
        for band in range(self.layout.bands):
            yield np.fromfile(
                self._path, dtype=np.uint64, count=self._count, offset=8 * band * self._count
            )


def join_similar(
    found: Components, items: Places, bands: Iterable[Hashes], texts: Texts, threshold: float
) -> None:
    """Join the ``items`` whose texts overlap by at least ``threshold`` (Jaccard).

    Column ``c`` of ``bands``, and of what ``texts`` is asked for, speaks of ``items[c]``.
    """
    different = np.zeros(0, dtype=np.int64)
    for hashes in bands:
        for pairs in collisions(hashes):
            roots = found.roots()[items[pairs]]
            codes = pairs[:, 0] * len(items) + pairs[:, 1]
            fresh = (roots[:, 0] != roots[:, 1]) & ~np.isin(codes, different)
            alike = _alike(pairs[fresh], texts, threshold)
            for one, other in items[pairs[fresh][alike]].tolist():
                found.join(one, other)
            if len(different) < REMEMBERED:
                different = np.union1d(different, codes[fresh][~alike])


def collisions(hashes: Hashes) -> Iterator[Pairs]:
    """Yield the pairs of places with the same hash, neighbours first; the lower place is first."""
    order = np.argsort(hashes, kind="stable")
    ordered = hashes[order]
    for distance in range(1, min(WINDOW, len(hashes) - 1) + 1):
        same = ordered[distance:] == ordered[:-distance]
        if not same.any():
            return
        yield np.stack([order[:-distance][same], order[distance:][same]], axis=1)


def _alike(pairs: Pairs, texts: Texts, threshold: float) -> NDArray[np.bool_]:
    """Return for each pair whether its texts are similar."""
    alike = np.zeros(len(pairs), dtype=bool)
    for start, end in pairwise([*range(0, len(pairs), AT_ONCE), len(pairs)]):
        columns, places = np.unique(pairs[start:end], return_inverse=True)
        sets = shingled(texts(columns)).sets()
        alike[start:end] = [
            jaccard(sets[one], sets[other]) >= threshold
            for one, other in places.reshape(-1, 2).tolist()
        ]
    return alike
