"""Union-find: which of many numbered things hang together (Tarjan, 1975).

The smallest number of a component stands for it, so the result does not depend on the order in
which links are given.
"""

from __future__ import annotations

from array import array

import numpy as np
from numpy.typing import NDArray

Places = NDArray[np.int64]


class Components:
    """Things 0 to ``count`` - 1, each alone at first; eight bytes each."""

    def __init__(self, count: int) -> None:
        self._parents = array("q", range(count))

    def __len__(self) -> int:
        return len(self._parents)

    def root(self, item: int) -> int:
        """Return the smallest item of the component of ``item``."""
        parents = self._parents
        while parents[item] != item:
            parents[item] = parents[parents[item]]
            item = parents[item]
        return item

    def join(self, one: int, other: int) -> None:
        """Make one component of the components of two items."""
        low, high = sorted((self.root(one), self.root(other)))
        self._parents[high] = low

    def join_equal(self, keys: NDArray[np.uint64], items: Places) -> None:
        """Join all ``items`` that have the same key; ``keys`` and ``items`` lie side by side."""
        order = np.argsort(keys, kind="stable")
        same = keys[order[1:]] == keys[order[:-1]]
        pairs = zip(items[order[:-1][same]].tolist(), items[order[1:][same]].tolist(), strict=True)
        for one, other in pairs:
            self.join(one, other)

    def roots(self) -> Places:
        """Return the root of every item, shape (items,)."""
        found = np.frombuffer(self._parents, dtype=np.int64).copy()
        while True:
            above = found[found]
            if np.array_equal(above, found):
                return found
            found = above
