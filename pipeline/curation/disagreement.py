"""Pairs that annotators disagree about, for a stronger annotator or a person to be asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from pydantic import Field

from pipeline.curation.combine import Scores
from pipeline.records import Pair, Record


class Disagreement(Record):
    """One annotator's opinion of a pair that the annotators disagree about."""

    pair_id: str
    sentence1: str
    sentence2: str
    annotator: str
    score: float | None = Field(description="calibrated, in [0, 1]; none where it has no opinion")
    spread: float = Field(description="highest less lowest score of the pair")


def spread(columns: Mapping[str, Scores]) -> Scores:
    """Return the highest less the lowest score of each pair; 0 where fewer than two scored it."""
    scores = np.stack(list(columns.values()))
    held = np.isfinite(scores)
    highest = np.where(held, scores, -np.inf).max(axis=0)
    lowest = np.where(held, scores, np.inf).min(axis=0)
    found: Scores = np.where(held.sum(axis=0) > 1, highest - lowest, 0.0)
    return found


def disagreements(
    pairs: Sequence[Pair], columns: Mapping[str, Scores], threshold: float
) -> list[Disagreement]:
    """Return the pairs with a spread above ``threshold``, widest first; a row for each annotator.

    ``columns`` are calibrated scores by annotator in the order of ``pairs``, NaN for no opinion.
    """
    apart = spread(columns)
    wide = [number for number in range(len(pairs)) if apart[number] > threshold]
    wide.sort(key=lambda number: (-apart[number], pairs[number].id))
    return [
        Disagreement(
            pair_id=pairs[number].id,
            sentence1=pairs[number].sentence1,
            sentence2=pairs[number].sentence2,
            annotator=name,
            score=float(scores[number]) if np.isfinite(scores[number]) else None,
            spread=float(apart[number]),
        )
        for number in wide
        for name, scores in columns.items()
    ]
