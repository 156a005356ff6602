"""One evaluation set under several systems: each measure of base and adapted, and its interval."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from pydantic import Field

from pipeline.encoder import Encoder, Vectors, cosine
from pipeline.evaluation import binary, groups, metrics
from pipeline.evaluation.metrics import Floats, Places
from pipeline.evaluation.resampling import Bootstrap
from pipeline.evaluation.sets import EvaluationSet, PairSet, Role, SearchSet
from pipeline.evaluation.significance import (
    Comparison,
    compare_average_precision,
    compare_means,
    compare_pearson,
    compare_spearman,
)
from pipeline.records import Record

DEPTH: Final = 100  # places of a search that are looked at
FEWEST_IN_GROUP: Final = 10

NAMES: Final = {
    "spearman": "Spearman's ρ",
    "pearson": "Pearson's r",
    "average_precision": "average precision",
    "best_f1": "best F1",
    "auroc": "AUROC",
    "ndcg@10": "nDCG@10",
    "mrr@10": "MRR@10",
    "recall@10": "recall@10",
    "recall@100": "recall@100",
    "char_tfidf": "by letters (TF-IDF)",
    "bm25": "by words (BM25)",
}


class Points(NamedTuple):
    """A figure of base and adapted that has no interval of its own."""

    base: float
    adapted: float


class Measured(Record):
    """A set, its measure for base and adapted, and what stands beside it.

    ``further`` are other measures of the same set, by name, ``points`` those without an interval.
    ``others`` compares adapted with other models (each in the place of base), ``references`` are
    figures of systems without a model.
    """

    name: str
    role: Role
    kind: str
    measure: str
    items: int  # pairs or queries
    texts: int  # that are searched; of pairs 0
    found: Comparison
    allowed_loss: float
    further: dict[str, Comparison] = Field(default_factory=dict)
    others: dict[str, Comparison] = Field(default_factory=dict)
    references: dict[str, float] = Field(default_factory=dict)
    points: dict[str, Points] = Field(default_factory=dict)
    groups: dict[str, dict[str, float | None]] = Field(default_factory=dict)


def about(row: Measured) -> str:
    """Return what a set holds, in words."""
    if row.kind == "retrieval":
        return f"{row.items:,} queries over {row.texts:,} texts"
    return f"{row.items:,} pairs"


class Lookup:
    """The vectors of one encoder, found by text; each text is encoded once."""

    def __init__(self, encoder: Encoder, texts: Iterable[str], label: str) -> None:
        unique = list(dict.fromkeys(texts))
        self._rows = {text: row for row, text in enumerate(unique)}
        self._vectors = encoder.encode(unique, label=label)

    def of(self, texts: Sequence[str]) -> Vectors:
        """Return the vectors of ``texts``, shape (texts, dimensions)."""
        return self._vectors[[self._rows[text] for text in texts]]

    def cosines(self, pairs: PairSet) -> Floats:
        """Return the cosine of each pair."""
        left, right = pairs.sides
        return cosine(self.of(left), self.of(right))

    def places(self, search: SearchSet) -> Places:
        """Return the rows of the corpus that each query finds, nearest first."""
        queries, corpus = self.of(search.queries), self.of(search.corpus)
        return metrics.search(queries, corpus, DEPTH, search.excluded or None)


class Systems(NamedTuple):
    """The vectors of base and adapted, and of the models that adapted is compared with besides."""

    base: Lookup
    adapted: Lookup
    others: Mapping[str, Lookup]


def measured(
    given: EvaluationSet, systems: Systems, bootstrap: Bootstrap, allowed_loss: float
) -> Measured:
    """Return all figures of one set but the references."""
    allowed = allowed_loss if given.allowed_loss is None else given.allowed_loss
    if isinstance(given, PairSet):
        found = _pairs(given, systems, bootstrap)
    else:
        found = _search(given, systems, bootstrap)
    return found.model_copy(update={"allowed_loss": allowed})


Compare = Callable[[Any, Any, Any, Bootstrap], Comparison]


def _pairs(given: PairSet, systems: Systems, bootstrap: Bootstrap) -> Measured:
    gold = np.array([pair.score for pair in given.pairs])
    base, adapted = systems.base.cosines(given), systems.adapted.cosines(given)
    graded = given.kind == "graded"
    compare: Compare = compare_spearman if graded else compare_average_precision
    measure = "spearman" if graded else "average_precision"
    return Measured(
        name=given.name,
        role=given.role,
        kind=given.kind,
        measure=measure,
        items=len(gold),
        texts=0,
        found=compare(gold, base, adapted, bootstrap),
        allowed_loss=0.0,
        further={"pearson": compare_pearson(gold, base, adapted, bootstrap)} if graded else {},
        others={
            name: compare(gold, other.cosines(given), adapted, bootstrap)
            for name, other in systems.others.items()
        },
        points={} if graded else _points(gold, base, adapted),
        groups=_groups(given, gold, base, adapted),
    )


def _points(gold: Floats, base: Floats, adapted: Floats) -> dict[str, Points]:
    f1 = [binary.best_f1(gold, cosines).f1 for cosines in (base, adapted)]
    return {
        "best_f1": Points(*f1),
        "auroc": Points(binary.auroc(gold, base), binary.auroc(gold, adapted)),
    }


def _search(given: SearchSet, systems: Systems, bootstrap: Bootstrap) -> Measured:
    places = [system.places(given) for system in (systems.base, systems.adapted)]

    def compared(measure: Measure, base: Places) -> Comparison:
        one, two = (measure(found, given.relevant) for found in (base, places[1]))
        return compare_means(one, two, bootstrap)

    first, *rest = SEARCHES
    one, two = (SEARCHES[first](found, given.relevant) for found in places)
    return Measured(
        name=given.name,
        role=given.role,
        kind="retrieval",
        measure=first,
        items=len(given.queries),
        texts=len(given.corpus),
        found=compare_means(one, two, bootstrap),
        allowed_loss=0.0,
        further={name: compared(SEARCHES[name], places[0]) for name in rest},
        others={
            name: compared(SEARCHES[first], other.places(given))
            for name, other in systems.others.items()
        },
        groups=groups.apart(given.groups, lambda own: compare_means(one[own], two[own], bootstrap)),
    )


Relevant = Sequence[Mapping[int, int]]
Measure = Callable[[Places, Relevant], Floats]

SEARCHES: Final[dict[str, Measure]] = {
    "ndcg@10": lambda found, relevant: metrics.ndcg(found, relevant, 10),
    "mrr@10": lambda found, relevant: metrics.reciprocal_rank(found, relevant, 10),
    "recall@10": lambda found, relevant: metrics.recall(found, relevant, 10),
    "recall@100": lambda found, relevant: metrics.recall(found, relevant, 100),
}


def _groups(
    given: PairSet, gold: Floats, base: Floats, adapted: Floats
) -> dict[str, dict[str, float | None]]:
    """Return the figures of each group of pairs; ρ where there are enough that differ."""
    names = np.array([pair.group or "none" for pair in given.pairs])
    found: dict[str, dict[str, float | None]] = {}
    for name in sorted(set(names.tolist())) if len(set(names.tolist())) > 1 else []:
        own = names == name
        row: dict[str, float | None] = {
            "pairs": int(own.sum()),
            "base_mean": float(base[own].mean()),
            "adapted_mean": float(adapted[own].mean()),
            "gold_mean": float(gold[own].mean()),
        }
        if own.sum() >= FEWEST_IN_GROUP and np.ptp(gold[own]) > 0:
            row["base"] = metrics.spearman(gold[own], base[own])
            row["adapted"] = metrics.spearman(gold[own], adapted[own])
        found[name] = row
    return found
