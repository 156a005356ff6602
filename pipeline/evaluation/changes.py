"""What adaptation does to scores and to the space of vectors, on the pairs of one set."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np

from pipeline.encoder import cosine
from pipeline.evaluation import saturation, shift
from pipeline.evaluation.compared import Lookup, Systems
from pipeline.evaluation.metrics import Floats
from pipeline.evaluation.resampling import Bootstrap
from pipeline.evaluation.sets import EvaluationSet, PairSet, SearchSet
from pipeline.sections import EvaluateSettings

RESAMPLES: Final = 2_000  # of intervals that no verdict rests on


class _Pairs(NamedTuple):
    """Pairs of texts; ``gold`` is None where nobody scored them."""

    left: list[str]
    right: list[str]
    gold: Floats | None


def changes(given: EvaluationSet, systems: Systems, settings: EvaluateSettings) -> dict[str, Any]:
    """Return the shift of scores and the saturation, as plain data.

    Of a search the pairs are each query with its answers, and with those of the query before it.
    """
    pairs = _scored(given) if isinstance(given, PairSet) else _searched(given)
    bootstrap = Bootstrap(RESAMPLES, settings.confidence, settings.seed)
    texts = list(dict.fromkeys([*pairs.left, *pairs.right]))
    row = {text: number for number, text in enumerate(texts)}
    rows = np.array([(row[a], row[b]) for a, b in zip(pairs.left, pairs.right, strict=True)])
    base, adapted = (_cosines(system, pairs) for system in (systems.base, systems.adapted))
    moved = shift.score_shift(
        base,
        adapted,
        pairs.gold,
        shift.Options(
            target_precision=settings.target_precision,
            same_meaning=settings.same_meaning,
            threshold=settings.threshold,
            bootstrap=bootstrap,
        ),
    )
    found = saturation.saturation(
        systems.base.of(texts),
        systems.adapted.of(texts),
        saturation.Pairs(rows, pairs.gold),
        saturation.Options(same_meaning=settings.same_meaning, bootstrap=bootstrap),
    )
    return {"set": given.name, "shift": moved.model_dump(), "saturation": found.model_dump()}


def _scored(given: PairSet) -> _Pairs:
    return _Pairs(*given.sides, np.array([pair.score for pair in given.pairs]))


def _searched(given: SearchSet) -> _Pairs:
    answers = [(row, place) for row, own in enumerate(given.relevant) for place in own]
    before = [(row - 1, place) for row, place in answers]
    chosen = [*answers, *before]
    left = [given.queries[row] for row, _ in chosen]
    return _Pairs(left, [given.corpus[place] for _, place in chosen], None)


def _cosines(system: Lookup, pairs: _Pairs) -> Floats:
    return cosine(system.of(pairs.left), system.of(pairs.right))
