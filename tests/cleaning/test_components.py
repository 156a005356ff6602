from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipeline.cleaning.components import Components

LINKS = st.lists(st.tuples(st.integers(0, 11), st.integers(0, 11)), max_size=20)


def spread(links: list[tuple[int, int]], count: int) -> list[int]:
    """Return the smallest item that each can be reached from, by following links to the end."""
    smallest = list(range(count))
    for _ in range(count):
        for one, other in links:
            smallest[one] = smallest[other] = min(smallest[one], smallest[other])
    return smallest


@given(LINKS, st.randoms(use_true_random=False))
def test_the_smallest_item_stands_for_all_that_hang_together_in_any_order(
    links: list[tuple[int, int]], generator: object
) -> None:
    found = Components(12)
    generator.shuffle(links)  # type: ignore[attr-defined]
    for one, other in links:
        found.join(one, other)
    expected = spread(links, 12)
    assert found.roots().tolist() == expected
    assert [found.root(item) for item in range(12)] == expected


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 11)), max_size=20))
def test_items_with_an_equal_key_hang_together(pairs: list[tuple[int, int]]) -> None:
    found = Components(12)
    keys = np.array([key for key, _ in pairs], dtype=np.uint64)
    found.join_equal(keys, np.array([item for _, item in pairs], dtype=np.int64))
    links = [(a, b) for key, a in pairs for other, b in pairs if key == other]
    assert found.roots().tolist() == spread(links, 12)


def test_nothing_hangs_together_with_nothing() -> None:
    assert Components(0).roots().tolist() == []
    assert len(Components(3)) == 3
