"""Which texts of a batch are positives of each other, and which may not be called negatives."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

Positives = Literal["threshold", "label"]
Indices = NDArray[np.int64]

# Pairs labelled above this share of the threshold are too similar to be negatives.
NEGATIVE_SHARE: Final = 0.5


class Links(NamedTuple):
    """For each of the batch's texts a list of others: those of text i begin at ``bound[i]``."""

    bound: Indices  # (texts + 1,)
    others: Indices  # (links,)
    order: Indices  # (links,): k for the pair k, k + pairs for the same one reversed

    @classmethod
    def between(cls, pairs: Indices, texts: int) -> Self:
        """Return the links of ``texts`` texts, both directions of all ``pairs``, (pairs, 2)."""
        start, end = pairs.T.ravel(), pairs[:, ::-1].T.ravel()
        order = np.argsort(start, kind="stable")
        bound = np.zeros(texts + 1, dtype=np.int64)
        np.cumsum(np.bincount(start, minlength=texts), out=bound[1:])
        return cls(bound, end[order], order)

    def of(self, texts: Indices) -> tuple[Indices, Indices]:
        """Return what ``texts`` are linked to: places in ``texts``, and the linked texts."""
        counts = self.bound[texts + 1] - self.bound[texts]
        place = np.repeat(np.arange(len(texts)), counts)
        first = self.bound[texts] - np.cumsum(counts) + counts
        return place, self.others[np.arange(len(place)) + first[place]]


class Anchors(NamedTuple):
    """Some texts that have positives."""

    texts: Indices  # (anchors,), ascending
    row: Indices  # (positives,): places in `texts`
    positive: Indices  # (positives,): the other text
    share: NDArray[np.float64]  # (positives,): what the loss of this positive counts
    excluded: NDArray[np.bool_]  # (anchors, all texts): no candidates


class Relations(NamedTuple):
    """What the labels of a batch say about its distinct texts.

    * Two texts are positives when their label is at or above the threshold (``threshold``), or as
      far as it is above 0 (``label``).
    * Two texts are near when their label is above half the threshold. Related are near texts and
      those near to the same third text: siblings of one anchor, positives of a positive.
    * A label at or below half the threshold says that two texts are different, whatever else links
      them, so a hard negative stays one.

    Candidates of an anchor are all texts but itself, its positives and those related to it. A pair
    that the batch holds more than once, in any order, counts with its lowest label as a positive
    and with its highest as a negative: where its labels contradict each other it is neither. A
    label that is not a number counts as 1. Labels and threshold are compared in float32.
    """

    positive: Links
    weight: NDArray[np.float32]  # (positive links,), above 0
    near: Links
    different: Links

    @classmethod
    def of(
        cls, pairs: Indices, score: NDArray[np.float32], texts: int, threshold: float,
        positives: Positives = "threshold",
    ) -> Self:  # fmt: skip
        """Return the relations of ``texts`` texts, numbered as in ``pairs``, shape (pairs, 2)."""
        pairs, lowest, highest = _distinct(pairs, score, texts)
        limit = np.float32(threshold)
        weight = lowest if positives == "label" else (lowest >= limit).astype(np.float32)
        chosen, near = weight > 0, highest > np.float32(NEGATIVE_SHARE) * limit
        positive = Links.between(pairs[chosen], texts)
        return cls(
            positive=positive,
            weight=np.tile(weight[chosen], 2)[positive.order],
            near=Links.between(pairs[near], texts),
            different=Links.between(pairs[~near], texts),
        )

    @property
    def anchors(self) -> Indices:
        """The texts that have a positive."""
        return np.flatnonzero(np.diff(self.positive.bound))

    @property
    def shares(self) -> NDArray[np.float64]:
        """What each positive link counts, in sum 1; shape (positive links,).

        An anchor counts as much as its best positive, and shares this among its positives by their
        weights. With a threshold this is the mean over anchors of the mean over their positives.
        """
        weight = self.weight.astype(np.float64)
        if not len(weight):
            return weight
        counts = np.diff(self.positive.bound)
        first = self.positive.bound[:-1][counts > 0]
        best, total = np.maximum.reduceat(weight, first), np.add.reduceat(weight, first)
        weight *= np.repeat(best / total / best.sum(), counts[counts > 0])
        return weight

    def blocks(self, rows: int) -> Iterator[Anchors]:
        """Yield all texts that have positives, ``rows`` at a time."""
        anchors, shares, bound = self.anchors, self.shares, self.positive.bound
        for start in range(0, len(anchors), rows):
            texts = anchors[start : start + rows]
            share = shares[bound[texts[0]] : bound[texts[-1] + 1]]
            yield Anchors(texts, *self.positive.of(texts), share, self.excluded(texts))

    def excluded(self, anchors: Indices) -> NDArray[np.bool_]:
        """Return which texts are no candidates of ``anchors``; shape (anchors, texts)."""
        out = np.zeros((len(anchors), len(self.near.bound) - 1), dtype=np.bool_)
        row, near = self.near.of(anchors)
        step, related = self.near.of(near)
        out[row[step], related] = True
        out[self.different.of(anchors)] = False
        out[row, near] = True
        out[self.positive.of(anchors)] = True
        out[np.arange(len(anchors)), anchors] = True
        return out


def _distinct(
    pairs: Indices, score: NDArray[np.float32], texts: int
) -> tuple[Indices, NDArray[np.float32], NDArray[np.float32]]:
    """Return the distinct pairs of two different texts, with their lowest and highest label."""
    two = pairs[:, 0] != pairs[:, 1]
    pairs = np.sort(pairs[two], axis=1)
    label = np.nan_to_num(score[two], nan=1.0)
    _, first, group = np.unique(
        pairs[:, 0] * texts + pairs[:, 1], return_index=True, return_inverse=True
    )
    lowest, highest = np.full(len(first), np.inf, np.float32), np.zeros(len(first), np.float32)
    np.minimum.at(lowest, group, label)
    np.maximum.at(highest, group, label)
    return pairs[first], lowest, highest
