"""Base against adapted: every text encoded once, every figure beside its interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from pipeline.encoder import Encoder, Vectors, cosine
from pipeline.evaluation import metrics, references, retrieval
from pipeline.evaluation.metrics import Floats
from pipeline.evaluation.retrieval import Task
from pipeline.evaluation.significance import (
    Bootstrap,
    Comparison,
    compare_means,
    compare_spearman,
)
from pipeline.evaluation.verdict import decide
from pipeline.gold import GoldPair
from pipeline.records import Document, Record
from pipeline.sections import EvaluateSettings

FEWEST_PAIRS: Final = 10


class MeasuredPair(Record):
    """A gold test pair with the cosines that base and adapted give it."""

    id: str
    sentence1: str
    sentence2: str
    category: str
    gold: float
    base: float
    adapted: float


class Measurement(NamedTuple):
    """The summary of an evaluation, and the gold pairs behind it."""

    summary: dict[str, Any]
    pairs: list[MeasuredPair]


def measure(
    base: Encoder,
    adapted: Encoder,
    gold: Sequence[GoldPair],
    documents: Sequence[Document],
    settings: EvaluateSettings,
) -> Measurement:
    """Compare two encoders on gold pairs and on search among held-out documents.

    ``gold`` are the test pairs; with fewer than ten there is no ρ worth stating, and retrieval
    alone is measured.
    """
    task = retrieval.build(documents, settings)
    notes = list(task.notes)
    if 0 < len(gold) < FEWEST_PAIRS:
        notes.append(
            f"{len(gold)} gold test pairs are too few for a figure, {FEWEST_PAIRS} needed."
        )
        gold = []
    texts = [text for pair in gold for text in (pair.sentence1, pair.sentence2)]
    texts = list(dict.fromkeys([*texts, *task.queries, *task.corpus]))
    systems = (
        _Vectors(texts, base.encode(texts, label="encode with base")),
        _Vectors(texts, adapted.encode(texts, label="encode with adapted")),
    )
    pairs = _measured(gold, systems)
    found = _compared(pairs, _searched(task, systems), settings)
    summary = _summary(found, pairs, settings)
    summary["retrieval"] |= {"texts": len(task.corpus), "queries": len(task.queries),
                             "distractors": task.distractors}  # fmt: skip
    summary["references"] = {"char_tfidf": references.char_tfidf(gold, task)}
    summary["notes"] = notes
    return Measurement(summary, pairs)


class _Vectors:
    """The vectors of one encoder, found by text."""

    def __init__(self, texts: Sequence[str], vectors: Vectors) -> None:
        self._rows = {text: row for row, text in enumerate(texts)}
        self._vectors = vectors

    def of(self, texts: Sequence[str]) -> Vectors:
        return self._vectors[[self._rows[text] for text in texts]]


_Systems = tuple[_Vectors, _Vectors]


class _Searched(NamedTuple):
    """nDCG@10 and MRR@10 of each query."""

    ndcg: Floats
    mrr: Floats


def _measured(gold: Sequence[GoldPair], systems: _Systems) -> list[MeasuredPair]:
    if not gold:
        return []
    left, right = [pair.sentence1 for pair in gold], [pair.sentence2 for pair in gold]
    base, adapted = (cosine(vectors.of(left), vectors.of(right)) for vectors in systems)
    return [
        MeasuredPair(
            id=pair.id,
            sentence1=pair.sentence1,
            sentence2=pair.sentence2,
            category=pair.category,
            gold=pair.score,
            base=float(base[row]),
            adapted=float(adapted[row]),
        )
        for row, pair in enumerate(gold)
    ]


def _searched(task: Task, systems: _Systems) -> tuple[_Searched, _Searched]:
    found = [metrics.search(vectors.of(task.queries), vectors.of(task.corpus))
             for vectors in systems]  # fmt: skip
    base, adapted = (
        _Searched(
            metrics.ndcg(places, task.relevant), metrics.reciprocal_rank(places, task.relevant)
        )
        for places in found
    )
    return base, adapted


class _Compared(NamedTuple):
    gold: Comparison | None
    ndcg: Comparison
    mrr: Comparison


def _compared(
    pairs: Sequence[MeasuredPair],
    searched: tuple[_Searched, _Searched],
    settings: EvaluateSettings,
) -> _Compared:
    bootstrap = Bootstrap(settings.resamples, settings.confidence, settings.seed)
    base, adapted = searched
    gold = None
    if pairs:
        columns = np.array([(pair.gold, pair.base, pair.adapted) for pair in pairs]).T
        gold = compare_spearman(columns[0], columns[1], columns[2], bootstrap)
    return _Compared(
        gold,
        compare_means(base.ndcg, adapted.ndcg, bootstrap),
        compare_means(base.mrr, adapted.mrr, bootstrap),
    )


def _summary(
    found: _Compared, pairs: Sequence[MeasuredPair], settings: EvaluateSettings
) -> dict[str, Any]:
    verdict = decide(found.gold, found.ndcg, settings.allowed_loss, settings.confidence)
    gold = None
    if found.gold is not None:
        counted = {"pairs": len(pairs), "confidence": settings.confidence}
        gold = found.gold.model_dump() | counted | {"by_category": _by_category(pairs)}
    return {
        "gold": gold,
        "retrieval": {
            "ndcg@10": found.ndcg.model_dump(),
            "mrr@10": found.mrr.model_dump(),
            "minimum_detectable": found.ndcg.minimum_detectable,
            "confidence": settings.confidence,
            "allowed_loss": settings.allowed_loss,
        },
        "verdict": verdict.word,
        "reasons": list(verdict.reasons),
    }


def _by_category(pairs: Sequence[MeasuredPair]) -> Mapping[str, Mapping[str, float]]:
    groups: dict[str, list[MeasuredPair]] = {}
    for pair in pairs:
        groups.setdefault(pair.category or "none", []).append(pair)
    return {
        name: {
            "pairs": len(members),
            "base_mean": float(np.mean([pair.base for pair in members])),
            "adapted_mean": float(np.mean([pair.adapted for pair in members])),
            "gold_mean": float(np.mean([pair.gold for pair in members])),
        }
        for name, members in sorted(groups.items())
    }
