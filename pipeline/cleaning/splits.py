"""Which documents may be trained on, and which only measure.

A split is decided for a whole component: what near-duplicates, a shared source document, duplicates
named by the source, gold pairs and, if asked for, a shared group tie together. So no near-duplicate
of a test text, and no other part of its document, is trained on. A component that the gold set
speaks of goes to the gold pair's split; the others are drawn by a hash of their smallest id, so
that adding documents never moves those that they have no tie with.

Groups that are kept whole are not tied by near-duplicates: what a bot or a template wrote stands in
most repositories, and would make one of them all. Of such a text the copy that is held out stays.
"""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.cleaning.components import Components
from pipeline.gold import GoldPair
from pipeline.records import Document, Split, digest_of, text_id
from pipeline.sections import CleanSettings
from pipeline.sentences import lead
from pipeline.sketches import Hashes, Places

SPLITS: Final[tuple[Split, ...]] = ("train", "dev", "test")
GOLD_WORDS: Final = 40  # gold texts are the leads of documents, cut here
LARGE: Final = 0.05  # share of the documents from which on a component is reported

GoldLinks = Mapping[str, list[GoldPair]]


class Placed(NamedTuple):
    """By rank: the root of a piece's component, and the number of its split in ``SPLITS``."""

    roots: Places
    splits: NDArray[np.int8]


class Links:
    """What ties usable pieces to each other, gathered piece by piece in order of their ranks."""

    def __init__(self, pairs: Iterable[GoldPair], settings: CleanSettings) -> None:
        self._settings = settings
        self._gold = gold_links(pairs)
        self._said = array("b")  # the split that gold asks for, by rank; 0: none
        self._grouped = array("b")  # by rank, whether it goes with a group
        self._ties, self._names = _Keys(), _Keys()

    def add(self, document: Document) -> None:
        """Take the next piece into account."""
        rank = len(self._said)
        split = 0
        for key in _gold_keys(document) if self._gold else ():
            for pair in self._gold.get(key, ()):
                split = max(split, SPLITS.index(pair.split))
                self._ties.add(rank, "gold", pair.id)
        self._said.append(split)
        self._names.add(rank, "name", document.name)
        for name in (document.parent, *document.duplicates.split("\n")):
            if name:
                self._ties.add(rank, "name", name)
        grouped = bool(document.group) and self._settings.split_by == "group"
        self._grouped.append(grouped)
        if grouped:
            self._ties.add(rank, "group", document.group)

    def place(self, found: Components, ids: Hashes) -> Placed:
        """Return the splits; ``found`` holds the near-duplicates, and may be given the ties too."""
        found = self._tied(found)
        ties, names = self._ties.arrays(), self._names.arrays()
        spoken_of = np.isin(names[0], ties[0])  # a name alone ties nothing: many may be "README"
        found.join_equal(
            np.concatenate([ties[0], names[0][spoken_of]]),
            np.concatenate([ties[1], names[1][spoken_of]]),
        )
        roots = found.roots()
        smallest = ids.copy()
        np.minimum.at(smallest, roots, ids)
        said = np.array(self._said, dtype=np.int8)
        np.maximum.at(said, roots, said.copy())
        splits = np.zeros(len(roots), dtype=np.int8)
        for root in np.unique(roots).tolist():
            drawn = draw(f"{int(smallest[root]):016x}", self._settings)
            splits[root] = said[root] or SPLITS.index(drawn)
        return Placed(roots, splits[roots])

    def _tied(self, found: Components) -> Components:
        """Return what near-duplicates tie: all that has no group which is kept whole."""
        grouped = np.array(self._grouped, dtype=bool)
        if not grouped.any():
            return found
        alone = np.flatnonzero(~grouped)
        tied = Components(len(grouped))
        tied.join_equal(found.roots()[alone].astype(np.uint64), alone)
        return tied


def standing(clusters: Places, splits: NDArray[np.int8]) -> Places:
    """Return by rank the piece that stands for its cluster: of those held out furthest the first.

    ``clusters`` are the roots of the near-duplicates, ``splits`` numbers in ``SPLITS``, by rank.
    """
    order = np.lexsort((np.arange(len(clusters)), -splits, clusters))
    first = np.unique(clusters[order], return_index=True)[1]
    inverse = np.unique(clusters, return_inverse=True)[1]
    chosen: Places = order[first][inverse]
    return chosen


def gold_links(pairs: Iterable[GoldPair]) -> GoldLinks:
    """Return the gold pairs by what leads a document there: its name or the id of its text."""
    links: dict[str, list[GoldPair]] = defaultdict(list)
    for pair in pairs:
        for name, text in ((pair.name1, pair.sentence1), (pair.name2, pair.sentence2)):
            links[f"text {text_id(text)}"].append(pair)
            if name:
                links[f"name {name}"].append(pair)
    return links


def draw(identity: str, settings: CleanSettings) -> Split:
    """Return the split of a component that gold does not speak of, by its smallest text id."""
    share = int(digest_of(str(settings.seed), identity), 16) / 16**16
    if share < settings.test_fraction:
        return "test"
    return "dev" if share < settings.test_fraction + settings.dev_fraction else "train"


def large(roots: Places) -> Iterator[tuple[int, int]]:
    """Yield root and size of the components that hold more than ``LARGE`` of all, largest first.

    ``roots`` are those of the pieces that are kept.
    """
    distinct, sizes = np.unique(roots, return_counts=True)
    for place in np.argsort(-sizes, kind="stable").tolist():
        if sizes[place] <= max(1, LARGE * len(roots)):
            return
        yield int(distinct[place]), int(sizes[place])


def _gold_keys(document: Document) -> Iterator[str]:
    yield f"name {document.name}"
    yield f"name {document.parent}"
    yield f"text {document.id}"
    yield f"text {text_id(lead(document.text, GOLD_WORDS))}"


class _Keys:
    """Hashed keys side by side with the ranks of the pieces that have them."""

    def __init__(self) -> None:
        self._keys, self._ranks = array("Q"), array("q")

    def add(self, rank: int, kind: str, value: str) -> None:
        self._keys.append(int(digest_of(kind, value), 16))
        self._ranks.append(rank)

    def arrays(self) -> tuple[Hashes, Places]:
        return np.array(self._keys, dtype=np.uint64), np.array(self._ranks, dtype=np.int64)
