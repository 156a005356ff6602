"""Groups of queries or pairs that are measured apart, beside the figure of all; no verdict asks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pipeline.evaluation.significance import Comparison

FEWEST: Final = 30
_FIGURES: Final = frozenset({"base", "adapted", "low", "high"})

Compare = Callable[[NDArray[np.bool_]], Comparison | None]


def apart(names: Sequence[str], compare: Compare) -> dict[str, dict[str, float | None]]:
    """Return how many items each group has, and its figures where they are 30 or more.

    ``names`` has the group of each item; ``compare`` is given which items are the group's, shape
    (items,), and returns None where there is no figure. One group alone is none.
    """
    column: NDArray[Any] = np.array([name or "none" for name in names])
    different = sorted(set(column.tolist()))
    return {name: _row(column == name, compare) for name in different if len(different) > 1}


def _row(own: NDArray[np.bool_], compare: Compare) -> dict[str, float | None]:
    row: dict[str, float | None] = {"items": int(own.sum())}
    found = compare(own) if own.sum() >= FEWEST else None
    return row if found is None else row | found.model_dump(include=set(_FIGURES))
