"""Base against adapted on every set: each text encoded once, each figure beside its interval."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from pipeline.encoder import Encoder
from pipeline.evaluation import references
from pipeline.evaluation.changes import changes
from pipeline.evaluation.compared import NAMES, Lookup, Measured, Systems, about, measured
from pipeline.evaluation.resampling import Bootstrap
from pipeline.evaluation.sets import EvaluationSet, PairSet
from pipeline.evaluation.significance import holm
from pipeline.evaluation.slices import slices
from pipeline.evaluation.strategies import by_strategy
from pipeline.evaluation.verdict import decide
from pipeline.records import Record, pair_id
from pipeline.sections import EvaluateSettings

FEWEST_PAIRS: Final = 10
FEW_PAIRS: Final = 30


class MeasuredPair(Record):
    """A pair of a set with the cosines that base and adapted give it."""

    id: str
    sentence1: str
    sentence2: str
    category: str
    gold: float
    base: float
    adapted: float


class Models(NamedTuple):
    """What is compared: the model that is adapted, what came of it, and others by name."""

    base: Encoder
    adapted: Encoder
    others: Mapping[str, Encoder]


class Measurement(NamedTuple):
    """The summary of an evaluation, and the pairs of the set that the model is adapted for."""

    summary: dict[str, Any]
    pairs: list[MeasuredPair]


def measure(
    models: Models,
    sets: Sequence[EvaluationSet],
    settings: EvaluateSettings,
    labelled: PairSet | None = None,
) -> Measurement:
    """Compare models on evaluation sets; the first set of the domain carries the verdict.

    Sets of fewer than ten pairs are left out, with a note: there is no figure worth stating. Pairs
    that were trained on, ``labelled``, are looked at by mining strategy, and nothing rests on them.
    """
    usable = [one for one in sets if not (isinstance(one, PairSet) and _size(one) < FEWEST_PAIRS)]
    looked_at = [*usable, labelled] if labelled and labelled.pairs else usable
    texts = list(dict.fromkeys(text for one in looked_at for text in one.texts))
    systems = Systems(
        Lookup(models.base, texts, "encode with base"),
        Lookup(models.adapted, texts, "encode with adapted"),
        {name: Lookup(one, texts, f"encode with {name}") for name, one in models.others.items()},
    )
    bootstrap = Bootstrap(settings.resamples, settings.confidence, settings.seed)
    found = corrected([measured(one, systems, bootstrap, settings.allowed_loss)
                       .model_copy(update={"references": references.of(one)})
                       for one in usable])  # fmt: skip
    verdict = decide(found, settings.confidence)
    aim = next(one for one in usable if one.role == "domain")
    scored = aim if isinstance(aim, PairSet) else None
    pairs = _pairs(scored, systems) if scored else []
    summary = {
        "sets": [one.model_dump() | {"about": about(one)} for one in found],
        "labels": NAMES,
        "slices": slices(scored, systems) if scored else {},
        "strategies": by_strategy(labelled, systems, bootstrap) if labelled else {},
        "changes": changes(aim, systems, settings),
        "confidence": settings.confidence,
        "verdict": verdict.word,
        "reasons": list(verdict.reasons),
        "notes": list(_notes(sets, found)),
    }
    return Measurement(summary, pairs)


def corrected(found: Sequence[Measured]) -> list[Measured]:
    """Return the rows with their p-values corrected over all of them (Holm)."""
    adjusted = holm([row.found.p for row in found])
    return [
        row.model_copy(update={"found": row.found.model_copy(update={"p_holm": float(p)})})
        for row, p in zip(found, adjusted, strict=True)
    ]


def _size(one: PairSet) -> int:
    return len(one.pairs)


def _pairs(given: PairSet, systems: Systems) -> list[MeasuredPair]:
    base, adapted = systems.base.cosines(given), systems.adapted.cosines(given)
    return [
        MeasuredPair(
            id=pair_id(pair.sentence1, pair.sentence2),
            sentence1=pair.sentence1,
            sentence2=pair.sentence2,
            category=pair.group,
            gold=pair.score,
            base=float(base[row]),
            adapted=float(adapted[row]),
        )
        for row, pair in enumerate(given.pairs)
    ]


def _notes(sets: Sequence[EvaluationSet], found: Sequence[Measured]) -> Iterator[str]:
    for one in sets:
        if isinstance(one, PairSet) and _size(one) < FEWEST_PAIRS:
            few = f"{_size(one)} pairs are too few for a figure, {FEWEST_PAIRS} needed"
            yield f"The set {one.name} is left out: {few}."
    for row in found:
        if row.kind != "retrieval" and row.items < FEW_PAIRS:
            detectable = f"{row.found.minimum_detectable:.2f}"
            yield (
                f"The set {row.name} has {row.items} pairs only: a difference below {detectable} "
                "cannot be told from noise."
            )
